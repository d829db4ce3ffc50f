import { createAllowance } from '../access/bytes/allowance.ts';
import { type Bytes, type BytesMode, bytesOff, createBytes, type Showing } from '../access/bytes/bytes.ts';
import { createImageLedger, type ImageLedger, type ShownStore } from '../access/bytes/image-ledger.ts';
import type { MatchStore } from '../access/bytes/layer-match.ts';
import { createOpenImages } from '../access/bytes/open-images.ts';
import { createPodCredentialsReader, type NodeCredentialSource } from '../access/pod-credentials.ts';
import { type Asking, createAsking, type ProofBy } from '../access/proof/ask.ts';
import type { PullWord } from '../access/proof/ask-by-pull.ts';
import type { RegistryWord } from '../access/proof/ask-registry.ts';
import { createGuesses } from '../access/proof/guesses.ts';
import { inTurn } from '../access/proof/in-turn.ts';
import { onceAtATime } from '../access/proof/once.ts';
import { createProve } from '../access/proof/prove.ts';
import { recorded } from '../access/proof/recorded.ts';
import { createShares } from '../access/proof/shares.ts';
import { withBackoff } from '../access/proof/with-backoff.ts';
import { createLookup } from '../access/record/lookup.ts';
import type { VerificationPolicy } from '../access/record/policy.ts';
import { createPace } from '../access/renewal/pace.ts';
import { paced } from '../access/renewal/paced.ts';
import { createRenew, type Renew } from '../access/renewal/renew.ts';
import { createReverify, type Reverify, withoutRecord } from '../access/renewal/reverify.ts';
import type { CheckResult } from '../access/request.ts';
import { createFindRight } from '../access/right.ts';
import { verifyRotated } from '../access/rotation.ts';
import { createRuntimeGrants, type RuntimeGrants } from '../access/runtime-grants.ts';
import { createSecretRecheck } from '../access/secret-recheck.ts';
import { createStanding, type StandingOfImages, type StandingStore } from '../access/standing.ts';
import { createVerifier, type RotatedSecrets, type Verifier } from '../access/verifier.ts';
import { PodSourceError, RecordStoreError } from '../errors.ts';
import { isSameImageId } from '../image/image-id.ts';
import type { Pod, PodSource, PullPolicy } from '../pods/pod-source.ts';
import type { RecordStore } from '../records/record-store.ts';
import type { RegistryClient } from '../registry/client.ts';
import type { PullOutcome, Runtime } from '../runtime/runtime.ts';

export type VerificationSettings = {
  readonly policy: VerificationPolicy;
  readonly rotatedSecrets: RotatedSecrets;
  readonly proof: ProofBy;
  readonly runtimeGrants: 'allow' | 'deny';
  readonly bytes: BytesMode;
  readonly trustedRegistries: readonly string[];
  /** Registries and repositories below them that the node itself may pull from. */
  readonly nodeCredentials: readonly string[];
  readonly questionsPerRegistry: number;
  readonly pullTimeoutMs: number;
  /** Questions a minute, at most, about what is on record or runs already. */
  readonly backgroundQuestions: number;
};

/** What verification reads from and asks. */
export type VerificationParts = {
  readonly pods: Pick<PodSource, 'getSecret' | 'getPod'>;
  readonly runtime: Pick<
    Runtime,
    | 'imageStatus'
    | 'imagePieces'
    | 'listImages'
    | 'pullImage'
    | 'blobsOfPieces'
    | 'blob'
    | 'sandbox'
    | 'listContainers'
  >;
  readonly registry: RegistryClient;
  /** May the runtime have a way to this registry of its own, by a mirror or by credentials? */
  readonly mayHaveOwnWay: (registry: string) => Promise<boolean>;
  /** Undefined where the node has nothing to pull with besides the pods' secrets. */
  readonly node: NodeCredentialSource | undefined;
  readonly store: RecordStore;
  readonly standing: StandingStore;
  readonly shown: ShownStore;
  readonly matched: MatchStore;
  readonly keyedHash: (credentialHash: string) => string;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
};

/** Who hears of what verification does; all are counters and log lines. */
export type VerificationListeners = {
  readonly onCheck: (result: CheckResult) => void;
  readonly onEnsured: (pullPolicy: PullPolicy, presentLocally: boolean, pullRequired: boolean) => void;
  readonly onPull: (outcome: PullOutcome['outcome'], seconds: number) => void;
  readonly onSecondOpinion: (pull: PullWord['said'], registry: RegistryWord['answer']) => void;
  readonly onShown: (showing: Showing) => void;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
  /** The secrets that this pod's containers were allowed on have been changed since. */
  readonly onSecretsChanged: (pod: Pod) => void;
  /** Pieces of these images do not count as shown any longer. */
  readonly onBytesInDoubt: (imageRefs: readonly string[]) => void;
};

export type Verification = {
  readonly verifier: Verifier;
  readonly ledger: ImageLedger;
  readonly runtimeGrants: RuntimeGrants;
  readonly doubtOf: StandingOfImages['doubtOf'];
  readonly renew: Renew;
  readonly reverify: Reverify;
  readonly onlyReachedByRuntime: Asking['onlyReachedByRuntime'];
  /** Ends what waits; what is under way ends by itself. */
  close(): void;
};

/** Fetched for one namespace in an hour, only to be hashed and thrown away. */
const BYTES_PER_HOUR = 20 * 2 ** 30;
/** Questions of one namespace that may wait for their turn. */
const MAX_WAITING = 200;

/**
 * containerd 2.1 downloads three things at once for all: one is left for kubelet, and one for another
 * namespace.
 */
const PULLS_AT_ONCE = 2;
const PULLS_OF_NAMESPACE = 1;

/** Puts the verifier together: right, bytes and doubt, and everybody who is asked on the way. */
export function wireVerification(
  settings: VerificationSettings,
  parts: VerificationParts,
  listeners: VerificationListeners,
): Verification {
  const { runtime, store, registry, now } = parts;

  const remember = (write: () => void): void => {
    try {
      write();
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      listeners.onRecordStoreError(error);
    }
  };

  const readCredentials = createPodCredentialsReader(parts.pods, parts.keyedHash, parts.node);
  const runtimeGrants = createRuntimeGrants();
  const pulls = createShares(
    { perRegistry: PULLS_AT_ONCE, perNamespace: PULLS_OF_NAMESPACE, maxWaiting: MAX_WAITING },
    now,
  );
  const { ask, onlyReachedByRuntime } = createAsking({
    ...settings,
    ...listeners,
    runtime,
    registry,
    mayHaveOwnWay: parts.mayHaveOwnWay,
    pulls,
    now,
  });
  const shares = createShares(
    {
      perRegistry: settings.questionsPerRegistry,
      perNamespace: Math.max(1, Math.ceil(settings.questionsPerRegistry / 2)),
      maxWaiting: MAX_WAITING,
    },
    now,
  );
  const asking = recorded(
    inTurn(onceAtATime(ask), shares, createGuesses(now)),
    store,
    runtimeGrants,
    listeners.onRecordStoreError,
  );
  const prove = createProve(readCredentials, withBackoff(asking, now));
  const { policy } = settings;
  const noticeRotation = settings.rotatedSecrets !== 'trust';
  const lookup = createLookup({
    store,
    policy,
    readCredentials,
    noticeRotation,
    onCheck: listeners.onCheck,
    remember,
  });
  const isOpenOnNode = isBelow(settings.nodeCredentials);
  const isTrusted = isBelow(settings.trustedRegistries);
  const findRight = createFindRight({ runtime, store, policy, runtimeGrants, isOpenOnNode, lookup, prove });
  const ledger = createImageLedger({
    runtime,
    store: parts.shown,
    matched: parts.matched,
    believesNew: settings.bytes !== 'always',
    now,
    onDoubt(imageRefs) {
      standing.bytesInDoubt(imageRefs);
      listeners.onBytesInDoubt(imageRefs);
    },
  });
  const bytes: Bytes =
    settings.bytes === 'off'
      ? bytesOff
      : createBytes({
          runtime,
          registry,
          ledger,
          readCredentials,
          allowance: createAllowance({ bytesPerHour: BYTES_PER_HOUR }, now),
          isTrusted,
          open: createOpenImages(store, policy, ledger, isTrusted),
          onShown: listeners.onShown,
        });
  const recheck = createSecretRecheck(readCredentials, listeners.onSecretsChanged);
  const standing = createStanding(parts.standing, bytes.wasBroughtBy);
  const verifier = createVerifier({
    refreshRecords: () => remember(() => store.refresh()),
    findRight,
    verifyRotated: (request, rotated) =>
      verifyRotated({ runtime, store, readCredentials, prove, findRight, remember }, request, rotated),
    rotatedSecrets: settings.rotatedSecrets,
    bytes,
    standing,
    recheck,
    onEnsured: listeners.onEnsured,
  });
  const pace = createPace(settings.backgroundQuestions);
  const askAgain = withBackoff(paced(asking, pace), now);
  const readAgain: typeof readCredentials = (pod, repository, read) =>
    readCredentials(pod, repository, { ...read, fresh: true });
  const onRecordStoreError = listeners.onRecordStoreError;
  const renew = createRenew({
    ...{ store, runtime, readCredentials: readAgain, ask: askAgain, onRecordStoreError },
    podsOf: createPodsOf(runtime, parts.pods),
  });
  const findRightAgain = createFindRight({
    ...{ runtime, store, policy, runtimeGrants, isOpenOnNode },
    lookup: withoutRecord(
      createLookup({ store, policy, readCredentials, noticeRotation, onCheck: () => undefined, remember }),
    ),
    prove: createProve(readAgain, askAgain),
  });
  const reverify = createReverify({
    ...{ store, findRight: findRightAgain, readCredentials: readAgain, renew, onRecordStoreError },
  });
  return {
    verifier,
    renew,
    reverify,
    ledger,
    runtimeGrants,
    doubtOf: standing.doubtOf,
    onlyReachedByRuntime,
    close() {
      recheck.close();
      pace.close();
    },
  };
}

/** Is a repository one of these, or below one of them? */
function isBelow(prefixes: readonly string[]): (repository: string) => boolean {
  return (repository) =>
    prefixes.some((prefix) => repository === prefix || repository.startsWith(`${prefix}/`));
}

export type DryRunSettings = Pick<VerificationSettings, 'policy' | 'rotatedSecrets' | 'nodeCredentials'>;
export type DryRunParts = Omit<VerificationParts, 'standing' | 'shown' | 'matched' | 'mayHaveOwnWay' | 'now'>;

/**
 * A verifier that only looks: nothing is pulled, nothing is written, and nothing is fetched to be shown.
 * Whether anybody is asked is up to the registry that it is handed.
 */
export function wireDryRun(settings: DryRunSettings, parts: DryRunParts): Verifier {
  const nothing = () => undefined;
  const { verifier } = wireVerification(
    {
      ...settings,
      proof: 'registry',
      runtimeGrants: 'deny',
      bytes: 'off',
      trustedRegistries: [],
      questionsPerRegistry: 1,
      pullTimeoutMs: 0,
      backgroundQuestions: 1,
    },
    {
      ...parts,
      // The store refuses what a verdict would teach it: it was opened to be read only.
      standing: { has: () => false, add: nothing, revoke: nothing },
      shown: { holding: nothing, isKnown: () => false, hosts: () => [], add: nothing, keepOnly: nothing },
      matched: { isMatched: () => false, match: nothing, keepOnly: nothing },
      mayHaveOwnWay: async () => false,
      now: () => performance.now(),
    },
    {
      onCheck: nothing,
      onEnsured: nothing,
      onPull: nothing,
      onSecondOpinion: nothing,
      onShown: nothing,
      onRecordStoreError: nothing,
      onSecretsChanged: nothing,
      onBytesInDoubt: nothing,
    },
  );
  return verifier;
}

/** Pods of the node by the containers that use a content, those that the source of pods knows. */
function createPodsOf(
  runtime: Pick<Runtime, 'listContainers'>,
  pods: Pick<PodSource, 'getPod'>,
): (imageRef: string) => AsyncIterable<Pod> {
  return async function* (imageRef) {
    for (const container of await runtime.listContainers()) {
      if (!isSameImageId(container.imageRef, imageRef) || container.pod.name === '') continue;
      const pod = await pods.getPod(container.pod).catch((error: unknown) => {
        if (error instanceof PodSourceError) return undefined;
        throw error;
      });
      if (pod) yield pod;
    }
  };
}
