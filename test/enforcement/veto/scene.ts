import type { AccessRequest } from '../../../agent/access/request.ts';
import { allowed, type Verdict } from '../../../agent/access/verdict.ts';
import type { Access } from '../../../agent/access/verifier.ts';
import { createFuse } from '../../../agent/enforcement/fuse.ts';
import type { Enforcement, Judgement } from '../../../agent/enforcement/judgement.ts';
import type { EnforcementSettings } from '../../../agent/enforcement/plan.ts';
import { type CreateQuestion, createVeto } from '../../../agent/enforcement/veto/create-container.ts';
import type { PreparedContainer } from '../../../agent/enforcement/veto/create-request.ts';
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
  exemptNamespaces: new Set(['kube-system']),
  ownPodUid: 'uid-agent',
};

type SceneOptions = {
  readonly settings?: Partial<EnforcementSettings>;
  /** Default: there is any pod that is asked for, and it is as webPod. */
  readonly getPod?: () => Promise<Pod | undefined>;
  /** By name; default: IMAGE is CONTENT, and nothing else is there. */
  readonly imageStatus?: (image: string) => Promise<RuntimeImage | undefined>;
  /** Default: everything is allowed. */
  readonly judge?: (request: AccessRequest) => Promise<Access> | Verdict;
  /** The fuse opens beyond so many refusals. */
  readonly fuseCount?: number;
};

/** A veto on a node of one pod, with everything that it tells. */
export function vetoScene(options: SceneOptions = {}) {
  const told: { judgement: Judgement; enforcement: Enforcement | undefined }[] = [];
  const asked: AccessRequest[] = [];
  const prepared: PreparedContainer[] = [];
  let inProgress = 0;
  let refusedAgain = 0;
  const fuse = createFuse(
    { count: options.fuseCount ?? 1_000, share: 0, namespaces: 1, windowMs: 60_000 },
    () => performance.now(),
    () => undefined,
  );
  const veto = createVeto({
    pods: { getPod: options.getPod ?? (async ({ uid }) => ({ ...webPod, uid })) },
    runtime: {
      imageStatus: options.imageStatus ?? (async (name) => (name === IMAGE ? imageOf(CONTENT) : undefined)),
    },
    ensureAccess: async (request) => {
      asked.push(request);
      const answer = await options.judge?.(request);
      if (answer === undefined) return { verdict: allowed('recordMatched', '') };
      return 'reason' in answer ? { verdict: answer } : answer;
    },
    settings: { ...enforcing, ...options.settings },
    fuse,
    containersOnNode: () => 10,
    onJudged: (judgement, enforcement) => told.push({ judgement, enforcement }),
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
  async function create(question: Partial<CreateQuestion> & { patienceMs?: number } = {}) {
    containers += 1;
    const { patienceMs = 5_000, ...more } = question;
    const { namespace, name, uid } = webPod;
    const id = `container-${containers}`;
    const refusal = await veto
      .createContainer({
        id,
        podSandboxId: 'sandbox-1',
        pod: { namespace, name, uid },
        containerName: 'app',
        image: IMAGE,
        deadlineMs: performance.now() + patienceMs,
        ...more,
      })
      .then(() => undefined)
      .catch((error: Error) => `${error.name}: ${error.message}`);
    return { id, refusal };
  }

  return {
    veto,
    told,
    asked,
    prepared,
    create,
    inProgress: () => inProgress,
    refusedAgain: () => refusedAgain,
    fuse,
  };
}
