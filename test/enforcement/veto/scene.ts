import type { AccessRequest } from '../../../agent/access/request.ts';
import { allowed, type Doubt, type Verdict } from '../../../agent/access/verdict.ts';
import type { Access } from '../../../agent/access/verifier.ts';
import { createFuse } from '../../../agent/enforcement/fuse.ts';
import { createHandover } from '../../../agent/enforcement/handover.ts';
import type { Enforcement, Judgement } from '../../../agent/enforcement/judgement.ts';
import type { EnforcementSettings } from '../../../agent/enforcement/plan.ts';
import { createVeto } from '../../../agent/enforcement/veto/create-container.ts';
import type { PreparedContainer } from '../../../agent/enforcement/veto/create-request.ts';
import type { TimeBudget } from '../../../agent/enforcement/veto/time-budget.ts';
import type { CreateContainerRequest } from '../../../agent/nri/messages.ts';
import type { Pod, PodContainer } from '../../../agent/pods/pod-source.ts';
import type { RuntimeImage } from '../../../agent/runtime/runtime.ts';

export const IMAGE = 'reg.example.com/team-a/app:1';
/** In kubelet's own writing; the other with CRI-O's. */
export const CONTENT = `sha256:${'a'.repeat(64)}`;
export const OTHER_CONTENT = `sha256:${'b'.repeat(64)}`;

export const appContainer: PodContainer = {
  name: 'app',
  image: IMAGE,
  imagePullPolicy: 'IfNotPresent',
  kind: 'container',
  imageVolumes: [],
};

export const webPod: Pod = {
  namespace: 'team-a',
  name: 'web',
  uid: 'uid-web',
  serviceAccountName: 'default',
  imagePullSecrets: [],
  containers: [appContainer],
};

export function imageOf(id: string, ...repoTags: string[]): RuntimeImage {
  return { id, repoTags, repoDigests: [], pinned: false };
}

const enforcing: EnforcementSettings = {
  mode: 'enforce',
  onUnverifiable: 'deny',
  unmanaged: 'audit',
  enforceNamespaces: ['*'],
  exemptNamespaces: ['kube-system'],
  revokeRunning: 'report',
  ownPodUid: 'uid-agent',
};

type SceneOptions = {
  readonly settings?: Partial<EnforcementSettings>;
  /** Default: every pod that is asked for is known, and it is as webPod. */
  readonly getPod?: () => Promise<Pod | undefined>;
  readonly configSource?: string;
  /** By name; default: IMAGE is CONTENT, and nothing else is there. */
  readonly imageStatus?: (image: string) => Promise<RuntimeImage | undefined>;
  /** Default: no name is sure to mean what it meant. */
  readonly isKept?: (name: string, image: RuntimeImage) => boolean;
  /** Default: everything is allowed. */
  readonly judge?: (request: AccessRequest) => Promise<Access | Verdict> | Verdict;
  /** For everything that is asked about; default: none. */
  readonly doubt?: Doubt;
  /** The fuse opens beyond so many refusals of containers with standing. */
  readonly fuseCount?: number;
  readonly budget?: TimeBudget;
};

/** A veto on a node of one pod, with everything that it reports. */
export function vetoScene(options: SceneOptions = {}) {
  const reported: { judgement: Judgement; enforcement: Enforcement | undefined }[] = [];
  const asked: AccessRequest[] = [];
  const prepared: PreparedContainer[] = [];
  const handover = createHandover();
  let inProgress = 0;
  let refusedAgain = 0;
  const fuse = createFuse(
    { count: options.fuseCount ?? 1_000, share: 0, namespaces: 1, windowMs: 60_000 },
    { now: () => performance.now(), onOpen: () => undefined, onClose: () => undefined },
  );
  const imageStatus =
    options.imageStatus ?? (async (name) => (name === IMAGE ? imageOf(CONTENT) : undefined));
  const doubtOf = () => options.doubt ?? 'none';
  const veto = createVeto({
    pods: { getPod: options.getPod ?? (async ({ uid }) => ({ ...webPod, uid })) },
    configSourceOf: async () => options.configSource,
    imageNames: { imageStatus, isKept: options.isKept ?? (() => false) },
    ensureAccess: async (request) => {
      asked.push(request);
      const answer = (await options.judge?.(request)) ?? allowed('recordMatched', '');
      return 'reason' in answer ? { verdict: answer, doubt: doubtOf() } : answer;
    },
    doubtOf,
    settings: { ...enforcing, ...options.settings },
    fuse,
    census: { withStanding: () => 10 },
    handover,
    budget: options.budget ?? {
      patienceMs: (_namespace, ms) => ms,
      created: () => undefined,
      spent: () => undefined,
    },
    report: {
      verdict: () => undefined,
      enforced: (judgement, enforcement) => reported.push({ judgement, enforcement }),
    },
    onRefusedAgain: () => {
      refusedAgain += 1;
    },
    onInProgress: () => {
      inProgress += 1;
    },
  });
  veto.onPrepared((container) => prepared.push(container));
  let containers = 0;

  /** Asks as the runtime does; gives the container's id, and why it was refused. */
  async function create(question: Partial<CreateContainerRequest> & { patienceMs?: number } = {}) {
    containers += 1;
    const { patienceMs = 5_000, ...more } = question;
    const { namespace, name, uid } = webPod;
    const id = `container-${containers}`;
    const refusal = await veto
      .createContainer(
        {
          id,
          podSandboxId: 'sandbox-1',
          pod: { namespace, name, uid },
          containerName: 'app',
          image: IMAGE,
          ...more,
        },
        performance.now() + patienceMs,
      )
      .then(() => undefined)
      .catch((error: Error) => `${error.name}: ${error.message}`);
    return { id, refusal };
  }

  return {
    veto,
    reported,
    asked,
    prepared,
    create,
    /** Who judges a container that uses this content, once it exists. */
    whoJudges: (id: string, imageRef: string = CONTENT) =>
      handover.claimForGuard({ id, imageRef, mountedImages: async () => [] }),
    inProgress: () => inProgress,
    refusedAgain: () => refusedAgain,
    fuse,
  };
}
