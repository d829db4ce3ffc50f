import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import { RecordStoreError, RuntimeError } from '../../errors.ts';
import { imageIdKey } from '../../image/image-id.ts';
import type { RecordStore } from '../../records/record-store.ts';
import type { ImagePullCredentials } from '../../records/types.ts';
import type { PullOutcome, Runtime } from '../../runtime/runtime.ts';
import type { Name } from '../names.ts';
import type { PodCredential } from '../pod-credentials.ts';
import type { UnverifiableReason } from '../verdict.ts';
import { createBackoff } from './backoff.ts';

/** What the registry said to one pod's credentials. */
export type RepullAnswer =
  | { readonly answer: 'granted' }
  | { readonly answer: 'refused'; readonly message: string }
  | { readonly answer: 'unverifiable'; readonly reason: UnverifiableReason; readonly message: string };

/** A tenant's secrets may hold thousands; each refusal of a wrong password costs the registry up to 24 requests. */
const MAX_CREDENTIALS = 20;

/** An outage ends by itself, other than a refusal: asked again no later than this, so that it is noticed. */
const MAX_UNAVAILABLE_MS = 30_000;
const MAX_REGISTRIES = 1_000;

type NotGranted = Exclude<RepullAnswer, { answer: 'granted' }>;

export type RepullRequest = {
  readonly name: Name;
  /** The content in use; what the record will be about. */
  readonly imageRef: string;
  /** In kubelet's order; empty means that the pod has none for this repository: then it is tried anonymously. */
  readonly credentials: readonly PodCredential[];
  /** Containers that start now go before those that ran already. */
  readonly urgent: boolean;
};

export type RepullerOptions = {
  readonly runtime: Pick<Runtime, 'pullImage' | 'imageStatus'>;
  readonly store: Pick<
    RecordStore,
    'recordPullIntent' | 'recordImagePulled' | 'recordImagePullFailed' | 'mergeCredentials'
  >;
  readonly pullTimeoutMs: number;
  /** Pulls at once per registry: one registry that hangs must not hold up the others. */
  readonly maxParallelPulls: number;
  /** Milliseconds. */
  readonly now: () => number;
  readonly onRepull: (outcome: PullOutcome['outcome'], seconds: number) => void;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
};

export type Repuller = (request: RepullRequest) => Promise<RepullAnswer>;

/**
 * Re-pulls content that is present with a pod's own credentials, to hear whether the registry grants it, and keeps
 * kubelet's bookkeeping around it: intent before, record or end of intent after. Equal questions in flight share one
 * pull; a question that was not granted is not asked again before its backoff ends.
 */
export function createRepuller(options: RepullerOptions): Repuller {
  const { runtime, store, now } = options;
  const backoff = createBackoff<NotGranted>();
  const inFlight = new Map<string, Promise<RepullAnswer>>();
  const queues = new Map<string, PQueue>();
  /** When each registry last granted or refused something. */
  const lastWord = new LRUCache<string, number>({ max: MAX_REGISTRIES });

  async function inQueueOf(
    registry: string,
    urgent: boolean,
    ask: () => Promise<RepullAnswer>,
  ): Promise<RepullAnswer> {
    const queue = queues.get(registry) ?? new PQueue({ concurrency: options.maxParallelPulls });
    queues.set(registry, queue);
    try {
      return await queue.add(ask, { priority: urgent ? 1 : 0 });
    } finally {
      if (queue.size === 0 && queue.pending === 0 && queues.get(registry) === queue) queues.delete(registry);
    }
  }

  async function pull(image: string, credential: PodCredential | undefined): Promise<PullOutcome> {
    const started = performance.now();
    const outcome = await runtime.pullImage(image, credential?.credential, options.pullTimeoutMs);
    options.onRepull(outcome.outcome, (performance.now() - started) / 1000);
    return outcome;
  }

  /** Some registries say "no such manifest" instead of refusing, and some have really lost the digest: the tag tells. */
  async function askRegistry(name: Name, credential: PodCredential | undefined): Promise<RepullAnswer> {
    for (const image of name.pulls) {
      const outcome = await pull(image, credential);
      if (outcome.outcome !== 'notFound') return answerOf(outcome);
    }
    const { tag } = name;
    if (tag === undefined || name.pulls.includes(tag)) return refusedAsNotFound(name);
    try {
      // Pulling a tag that is not on the node would bring in an image that nobody asked for.
      if ((await runtime.imageStatus(tag)) === undefined) return refusedAsNotFound(name);
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error;
      return { answer: 'unverifiable', reason: 'runtimeUnavailable', message: error.message };
    }
    const outcome = await pull(tag, credential);
    return outcome.outcome === 'notFound' ? refusedAsNotFound(name) : answerOf(outcome);
  }

  function shared(request: RepullRequest, credential: PodCredential | undefined): Promise<RepullAnswer> {
    const key = JSON.stringify([request.name.pulls, request.name.tag, credential?.secret.credentialHash]);
    const running = inFlight.get(key);
    if (running) return running;
    const asking = inQueueOf(registryOf(request.name), request.urgent, () =>
      askRegistry(request.name, credential),
    ).finally(() => inFlight.delete(key));
    inFlight.set(key, asking);
    return asking;
  }

  /** A record that cannot be written costs another question next time; it must not cost the verdict. */
  function record(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      options.onRecordStoreError(error);
      return false;
    }
  }

  async function askAndRecord(
    request: RepullRequest,
    credential: PodCredential | undefined,
  ): Promise<RepullAnswer> {
    const { image } = request.name;
    const intended = record(() => store.recordPullIntent(image));
    let answer: RepullAnswer | undefined;
    try {
      answer = await shared(request, credential);
      return answer;
    } finally {
      if (answer?.answer === 'granted') {
        const learned = credentialsOf(credential);
        record(() =>
          intended
            ? store.recordImagePulled(image, request.imageRef, learned)
            : store.mergeCredentials(image, request.imageRef, learned),
        );
      } else if (intended) record(() => store.recordImagePullFailed(image));
    }
  }

  /** An answer that still counts; that the registry was unavailable does not once it has answered anybody. */
  function heldAnswer(key: string, registry: string): NotGranted | undefined {
    const held = backoff.held(key, now());
    if (held === undefined) return undefined;
    const isOver = isOutage(held.outcome) && (lastWord.get(registry) ?? -Infinity) > held.since;
    return isOver ? undefined : held.outcome;
  }

  return async (request) => {
    const registry = registryOf(request.name);
    const attempts =
      request.credentials.length > 0 ? request.credentials.slice(0, MAX_CREDENTIALS) : [undefined];
    const notGranted: NotGranted[] = [];
    for (const credential of attempts) {
      const key = JSON.stringify([
        imageIdKey(request.imageRef),
        request.name.repository,
        credential?.secret.credentialHash,
      ]);
      const held = heldAnswer(key, registry);
      const answer = held ?? (await askAndRecord(request, credential));
      if (held === undefined && answer.answer !== 'unverifiable') lastWord.set(registry, now());
      if (answer.answer === 'granted') {
        backoff.succeeded(key);
        return answer;
      }
      // Of several that shared one pull, only the first makes the delay longer.
      const first = held === undefined && heldAnswer(key, registry) === undefined;
      if (first && isTheRegistrysWord(answer)) {
        backoff.failed(key, answer, now(), isOutage(answer) ? MAX_UNAVAILABLE_MS : undefined);
      }
      notGranted.push(answer);
    }
    // A credential that could not be tried might have been granted: only when all were refused is it a refusal.
    const unverifiable = notGranted.find((answer) => answer.answer === 'unverifiable');
    if (unverifiable === undefined && attempts.length < request.credentials.length) return tooManyCredentials;
    return unverifiable ?? notGranted[0] ?? tooManyCredentials;
  };
}

const tooManyCredentials: NotGranted = {
  answer: 'unverifiable',
  reason: 'tooManyCredentials',
  message: `the registry refused the first ${MAX_CREDENTIALS} credentials, and the pod has more`,
};

/** A runtime that was away says nothing about the credential: ask as soon as it is back. */
function isTheRegistrysWord(answer: NotGranted): boolean {
  return answer.answer === 'refused' || answer.reason !== 'runtimeUnavailable';
}

function isOutage(answer: NotGranted): boolean {
  return answer.answer === 'unverifiable' && answer.reason === 'registryUnavailable';
}

function registryOf(name: Name): string {
  return name.repository.slice(0, name.repository.indexOf('/'));
}

function credentialsOf(credential: PodCredential | undefined): ImagePullCredentials {
  return credential === undefined ? { nodePodsAccessible: true } : { kubernetesSecrets: [credential.secret] };
}

function answerOf(outcome: PullOutcome): RepullAnswer {
  switch (outcome.outcome) {
    case 'pulled':
      return { answer: 'granted' };
    case 'refused':
    case 'notFound':
      return { answer: 'refused', message: outcome.message };
    case 'unavailable':
      return { answer: 'unverifiable', reason: 'registryUnavailable', message: outcome.message };
    case 'runtimeUnavailable':
      return { answer: 'unverifiable', reason: 'runtimeUnavailable', message: outcome.message };
    case 'invalid':
      return { answer: 'unverifiable', reason: 'imageNameInvalid', message: outcome.message };
    case 'unknown':
      return { answer: 'unverifiable', reason: 'pullErrorUnknown', message: outcome.message };
  }
}

function refusedAsNotFound(name: Name): NotGranted {
  return {
    answer: 'refused',
    message: `the registry has nothing of ${name.repository} for these credentials`,
  };
}
