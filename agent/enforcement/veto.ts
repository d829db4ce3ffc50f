import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import type { AccessRequest } from '../access/request.ts';
import { unverifiable, type Verdict } from '../access/verdict.ts';
import type { Access } from '../access/verifier.ts';
import { imageIdKey } from '../image/image-id.ts';
import type { Pod, PodSource } from '../pods/source.ts';
import type { Runtime, RuntimeContainer } from '../runtime/runtime.ts';
import { findSpec } from './find-spec.ts';
import type { Fuse } from './fuse.ts';
import type { Enforcement, Judgement } from './judge.ts';
import { contentNamed, judgeImages } from './judge-images.ts';
import { type EnforcementSettings, planEnforcement } from './plan.ts';
import { planVeto } from './plan-veto.ts';
import { IN_PROGRESS, refusalText } from './refusal.ts';

/** A container that the runtime is about to create. */
export type CreateRequest = {
  readonly id: string;
  readonly podSandboxId: string;
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly containerName: string;
  /** Whoever asks answers by itself then, and what comes later is not heard; in ms of `performance.now()`. */
  readonly deadlineMs: number;
};

export type VetoOptions = {
  readonly pods: Pick<PodSource, 'getPod'>;
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly ensureAccess: (request: AccessRequest) => Promise<Access>;
  readonly settings: EnforcementSettings;
  readonly fuse: Fuse;
  readonly containersOnNode: () => number;
  /** Told of every verdict that the veto acted on; what it leaves to the guard is the guard's to tell. */
  readonly onJudged: (judgement: Judgement, enforcement: Enforcement | undefined) => void;
  /** The verification was not over when the runtime had to be answered. */
  readonly onInProgress: () => void;
};

/** The container must not be created; the message is for kubelet and the tenant. */
export class ContainerRefused extends Error {
  override readonly name = 'ContainerRefused';
}

export type Veto = {
  /** Resolves to let the container be created, in time. @throws ContainerRefused */
  createContainer(request: CreateRequest): Promise<void>;
  /** Was this container created with a verdict on just this content? Then the guard need not judge it again. */
  hasJudged(containerId: string, imageRef: string): boolean;
  /** A pod was bound to the node: what it will ask for and is present already is judged before the question comes. */
  prepare(pod: Pod): void;
};

/** Left of the asker's patience for the way back. */
const MARGIN_MS = 100;
const MAX_REMEMBERED = 10_000;
const PREPARED_AT_ONCE = 2;

type Judged = {
  readonly spec: Judgement['spec'];
  readonly kind: Judgement['kind'];
  /** Of the container's own image. */
  readonly ownImageRef: string;
  /** Of what the verdict is about. */
  readonly imageRef: string;
  readonly access: Access;
};

/**
 * Judges containers before they exist. Whatever it cannot settle, or must not refuse, it lets by: the guard (the
 * container watch) judges everything that was created without a word from here.
 */
export function createVeto(options: VetoOptions): Veto {
  const { settings, runtime } = options;
  /** A question that is asked again while it is being answered waits for the same answer. */
  const inFlight = new Map<string, Promise<Judged>>();
  const judged = new LRUCache<string, string>({ max: MAX_REMEMBERED });
  /** Whose pod was looked for in vain: the search takes longer than the runtime waits, so its end is remembered. */
  const unmanaged = new LRUCache<string, Judged>({ max: MAX_REMEMBERED, ttl: 60_000 });
  const preparing = new PQueue({ concurrency: PREPARED_AT_ONCE });

  async function judge(request: CreateRequest): Promise<Judged> {
    const found = await findSpec(options.pods, request);
    if ('verdict' in found) return withoutSpec(found);
    const own = await contentNamed(runtime, found.spec.image);
    const judgedImage = await judgeImages(found, own, options.ensureAccess, {
      contentOf: ({ image }) => contentNamed(runtime, image),
      urgent: true,
    });
    return { ...judgedImage, kind: found.spec.kind, ownImageRef: typeof own === 'string' ? own : '' };
  }

  function ask(request: CreateRequest): Promise<Judged> {
    const key = `${request.pod.uid}/${request.containerName}`;
    const known = unmanaged.get(key);
    if (known) return Promise.resolve(known);
    const running = inFlight.get(key);
    if (running) return running;
    const asking = judge(request)
      .catch((error: unknown) => brokenBy(error))
      .then((result) => {
        if (result.access.verdict.reason === 'unmanagedPod') unmanaged.set(key, result);
        return result;
      })
      .finally(() => inFlight.delete(key));
    inFlight.set(key, asking);
    return asking;
  }

  /** Undefined when the runtime cannot wait for it. */
  async function inTime(request: CreateRequest, asking: Promise<Judged>): Promise<Judged | undefined> {
    const patience = new AbortController();
    const waitMs = Math.max(0, request.deadlineMs - MARGIN_MS - performance.now());
    const over = sleep(waitMs, undefined, { signal: patience.signal }).catch(() => undefined);
    try {
      return await Promise.race([asking, over]);
    } finally {
      patience.abort();
    }
  }

  /** @throws ContainerRefused */
  function conclude(request: CreateRequest, result: Judged, durationMs: number): void {
    const { spec, kind, ownImageRef, imageRef, access } = result;
    const { verdict } = access;
    const { namespace, uid } = request.pod;
    const judgement = {
      container: containerOf(request, ownImageRef),
      preexisting: false,
      spec,
      kind,
      imageRef,
      verdict,
      durationMs,
    };
    // The runtime gets its answer before the log and the audit trail do: those are writes that may take long.
    const report = (enforcement: Enforcement | undefined) =>
      setImmediate(() => options.onJudged(judgement, enforcement));
    const plan = planEnforcement(settings, verdict, { namespace, podUid: uid, preexisting: false });
    if (plan === undefined) {
      // One that is let run only for the time being is the guard's to follow.
      if (access.revision) return;
      judged.set(request.id, imageIdKey(ownImageRef));
      report(undefined);
      return;
    }
    if (plan.action === 'none') return;
    const key = `${uid}/${request.containerName}`;
    if (!options.fuse.permits({ namespace, key }, options.containersOnNode())) return;
    report({ action: 'veto', outcome: 'refused' });
    throw new ContainerRefused(refusalText(verdict, spec?.image ?? ''));
  }

  return {
    async createContainer(request) {
      const plan = planVeto(settings, request.pod);
      if (plan === 'letBy') return;
      const started = performance.now();
      const answer = await inTime(request, ask(request));
      const answered = performance.now();
      if (answered >= request.deadlineMs) return;
      if (answer === undefined) {
        if (plan === 'judgeOrLetBy' || options.fuse.isOpen()) return;
        options.onInProgress();
        throw new ContainerRefused(refusalText(IN_PROGRESS, ''));
      }
      conclude(request, answer, answered - started);
    },
    hasJudged(containerId, imageRef) {
      return judged.get(containerId) === imageIdKey(imageRef);
    },
    prepare(pod) {
      for (const container of pod.containers.flatMap((spec) => [spec, ...spec.imageVolumes])) {
        // With Always kubelet pulls first, and with Never nothing is asked of a registry.
        if (container.imagePullPolicy !== 'IfNotPresent') continue;
        void preparing.add(async () => {
          const imageRef = await contentNamed(runtime, container.image);
          if (typeof imageRef !== 'string') return;
          await options.ensureAccess({ pod, container, imageRef, urgent: false });
        });
      }
    },
  };
}

function brokenBy(error: unknown): Judged {
  return withoutSpec(unverifiable('internalError', error instanceof Error ? error.message : String(error)));
}

function withoutSpec(verdict: Verdict): Judged {
  return { spec: undefined, kind: undefined, ownImageRef: '', imageRef: '', access: { verdict } };
}

function containerOf(
  { id, podSandboxId, pod, containerName }: CreateRequest,
  imageRef: string,
): RuntimeContainer {
  const createdAt = BigInt(Date.now()) * 1_000_000n;
  return { id, podSandboxId, pod, containerName, imageRef, state: 'created', createdAt, attempt: 0 };
}
