import type { AccessRequest } from '../../../agent/access/request.ts';
import { allowed, type Doubt, type Verdict } from '../../../agent/access/verdict.ts';
import type { Access } from '../../../agent/access/verifier.ts';
import { createCensus } from '../../../agent/enforcement/census.ts';
import type { Enforcer } from '../../../agent/enforcement/guard/enforcer.ts';
import { createGuard } from '../../../agent/enforcement/guard/guard.ts';
import { createHandover } from '../../../agent/enforcement/handover.ts';
import type { Enforcement, Judgement } from '../../../agent/enforcement/judgement.ts';
import type { Pod, PodContainer } from '../../../agent/pods/pod-source.ts';
import type { MountedImage, RuntimeContainer } from '../../../agent/runtime/runtime.ts';

export const appContainer: PodContainer = {
  name: 'app',
  image: 'reg.example.com/app:1',
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

export const webContainer: RuntimeContainer = {
  id: 'c1',
  podSandboxId: 's1',
  state: 'running',
  createdAt: 1n,
  imageRef: 'sha256:aaa1',
  containerName: 'app',
  pod: { namespace: 'team-a', name: 'web', uid: 'uid-web' },
  attempt: 0,
};

const stopped: Enforcement = { action: 'stop', outcome: 'stopped' };
export const notEnforced = (outcome: Enforcement['outcome']): Enforcement => ({ action: 'none', outcome });

type SceneOptions = {
  /** Default: every pod that is asked for is known, and it is as webPod. */
  readonly getPod?: (ref: { readonly namespace: string }) => Promise<Pod | undefined>;
  readonly configSource?: string;
  readonly doubt?: Doubt;
  readonly mountedImages?: () => Promise<readonly MountedImage[]>;
  /** Default: everything is allowed. */
  readonly judge?: (request: AccessRequest) => Promise<Verdict | Access> | Verdict | Access;
  /** What is found when it is asked again; default: it is still granted. */
  readonly reverify?: (request: AccessRequest) => Promise<Verdict | Access> | Verdict | Access;
  /** What is done about verdicts that do not allow, by default that they are stopped. */
  readonly enforce?: (judgement: Judgement) => Enforcement | undefined;
  readonly turnMs?: number;
  readonly patienceMs?: number;
};

/** A guard, with everything that it asks, enforces and reports. */
export function guardScene(options: SceneOptions = {}) {
  const asked: AccessRequest[] = [];
  const verdicts: string[] = [];
  const reported: { judgement: Judgement; outcome: string }[] = [];
  const enforced: { judgement: Judgement; alreadyRuns: boolean; reverified: boolean }[] = [];
  const handover = createHandover();
  const doubtOf = () => options.doubt ?? 'none';
  const enforce: Enforcer = async (judgement, { alreadyRuns, reverified = false }) => {
    if (judgement.verdict.verdict === 'allowed') return undefined;
    enforced.push({ judgement, alreadyRuns, reverified });
    return options.enforce ? options.enforce(judgement) : stopped;
  };
  const guard = createGuard({
    pods: { getPod: options.getPod ?? (async () => webPod) },
    configSourceOf: async () => options.configSource,
    runtime: {
      imageStatus: async () => undefined,
      mountedImages: options.mountedImages ?? (async () => []),
    },
    ensureAccess: async (request) => {
      asked.push(request);
      const answer = (await options.judge?.(request)) ?? allowed('recordMatched', '');
      return 'reason' in answer ? { verdict: answer, doubt: doubtOf() } : answer;
    },
    reverify: async (request) => {
      const answer = (await options.reverify?.(request)) ?? allowed('repullSucceeded', '');
      return 'reason' in answer ? { verdict: answer, doubt: doubtOf() } : answer;
    },
    doubtOf,
    handover,
    census: createCensus(doubtOf),
    enforce,
    report: {
      verdict: ({ verdict }) => verdicts.push(verdict.reason),
      enforced: (judgement, enforcement) =>
        reported.push({ judgement, outcome: enforcement?.outcome ?? 'allowed' }),
    },
    existing: { delayMs: 0, atOnce: 2, ...(options.turnMs && { turnMs: options.turnMs }) },
    patienceMs: options.patienceMs,
  });
  return {
    guard,
    handover,
    asked,
    enforced,
    verdicts,
    reported,
    /** Reason and outcome of each report. */
    words: () => reported.map(({ judgement, outcome }) => `${judgement.verdict.reason} ${outcome}`),
    async see(container: RuntimeContainer = webContainer, preexisting = false) {
      guard.containerSeen(container, { preexisting });
      await guard.idle();
    },
  };
}

/** Gives the answers in turn, and the last one for ever. */
export function inTurn<Answer>(first: Answer, ...others: readonly Answer[]): () => Answer {
  const answers = [first, ...others];
  let next = 0;
  return () => {
    const answer = answers[Math.min(next, answers.length - 1)] ?? first;
    next += 1;
    return answer;
  };
}
