import { LRUCache } from 'lru-cache';
import type { Seen } from '../../registry/outage.ts';
import type { PullOutcome } from '../../runtime/runtime.ts';
import { askByPull, type PullingRuntime, type PullWord } from './ask-by-pull.ts';
import { askRegistry, type RegistryToAsk, type RegistryWord } from './ask-registry.ts';
import {
  type Answer,
  type Ask,
  type Granted,
  type NotGranted,
  type Question,
  registryOf,
} from './question.ts';
import type { Shares } from './shares.ts';

/** `registry` never pulls: for nodes whose mirrors serve without asking, and where pulls are dear. */
export type ProofBy = 'pull' | 'registry';

export type AskOptions = {
  readonly runtime: PullingRuntime;
  /** Undefined where there is no such client, on the command line of an agent that runs elsewhere. */
  readonly registry: RegistryToAsk;
  /**
   * All pulls wait here, whatever registry they are from: the runtime downloads few things at once, for
   * kubelet as well.
   */
  readonly pulls: Pick<Shares, 'take'>;
  readonly proof: ProofBy;
  /** May the runtime have a way to this registry of its own, by a mirror or by credentials? Never throws. */
  readonly mayHaveOwnWay: (registry: string) => Promise<boolean>;
  /** Does a pull without the pod's credentials count where the registry itself does not grant it? */
  readonly runtimeGrants: 'allow' | 'deny';
  /** For a pull of content that is present, in ms: longer than that, the runtime waits for somebody else. */
  readonly pullTimeoutMs: number;
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly onPull: (outcome: PullOutcome['outcome'], seconds: number) => void;
  /** Both were asked: what each of them said. */
  readonly onSecondOpinion: (pull: PullWord['said'], registry: RegistryWord['answer']) => void;
};

/** A registry that only the runtime reaches is not tried directly for this long (ms). */
const OUT_OF_REACH_MS = 300_000;
const MAX_REGISTRIES = 1_000;

export type Asking = {
  readonly ask: Ask;
  /** Registries that the runtime reaches and the agent does not, as last seen. */
  onlyReachedByRuntime(): readonly string[];
};

/**
 * Asks the registry itself, and the runtime where that leaves something open: the registry cannot be reached
 * from here, or nobody's credentials were offered and the runtime may have a way of its own. The registry's
 * own word is final. A wrong password costs it two requests this way; through a pull, containerd makes 12 or
 * 24 of it.
 */
export function createAsking(options: AskOptions): Asking {
  const { runtime, registry, now } = options;
  const outOfReach = new LRUCache<string, number>({ max: MAX_REGISTRIES });

  const isOutOfReach = (host: string): boolean => (outOfReach.get(host) ?? -Infinity) > now();

  async function pull(question: Question): Promise<PullWord> {
    const { namespace, urgent } = question;
    const word = await options.pulls.take(
      { registry: 'runtime', namespace, urgent },
      () => askByPull(runtime, question, options.pullTimeoutMs, options.onPull),
      ({ said }) => said !== 'nothing',
    );
    return word ?? tooManyPulls;
  }

  /** The registry first, unless it was out of reach a moment ago. */
  async function byRegistry(question: Question): Promise<RegistryWord | undefined> {
    return isOutOfReach(registryOf(question.name)) ? undefined : askRegistry(registry, question);
  }

  /** Nobody's credentials were refused: does it matter whether the runtime has some? */
  async function mayGrantItself({ name }: Question): Promise<boolean> {
    return options.runtimeGrants === 'allow' && (await options.mayHaveOwnWay(registryOf(name)));
  }

  /**
   * Whom a pull that succeeded was granted to. Where there are mirrors, or credentials of the runtime's own,
   * it may have been granted whatever the pod offered, a wrong password as well.
   */
  async function grantedTo({ credential, name }: Question): Promise<Granted['to']> {
    if (credential === undefined) return 'runtime';
    return (await options.mayHaveOwnWay(registryOf(name))) ? 'runtime' : 'credential';
  }

  async function ask(question: Question): Promise<Answer> {
    if (options.proof === 'registry') return askRegistry(registry, question);
    const word = await byRegistry(question);
    if (word !== undefined && isFinal(word, question)) return word;
    if (word?.answer === 'refused' && !(await mayGrantItself(question))) return word;
    const pulled = await pull(question);
    const to = pulled.said === 'granted' ? await grantedTo(question) : undefined;
    const second = word ?? (to === 'credential' ? undefined : await askRegistry(registry, question));
    if (second) options.onSecondOpinion(pulled.said, second.answer);
    if (second && (second.answer === 'granted' || isOtherContent(second))) return second;
    // What a mirror gave or refused tells nothing about who can reach the registry.
    const wasReached = to === 'credential' || (pulled.said === 'refused' && pulled.byRegistry);
    if (second?.answer === 'unverifiable' && !hasSpoken(second) && wasReached) {
      outOfReach.set(registryOf(question.name), now() + OUT_OF_REACH_MS);
    }
    const { repository } = question.name;
    if (to === 'credential') return { answer: 'granted', to, message: `pulled ${repository}` };
    if (to === 'runtime' && !isRefused(question, second) && options.runtimeGrants === 'allow')
      return { answer: 'granted', to, message: `the runtime pulled ${repository} by itself` };
    return notGranted(pulled, second);
  }

  return {
    ask,
    onlyReachedByRuntime: () => [...outOfReach.keys()].filter(isOutOfReach).sort(),
  };
}

const OF_THE_REGISTRY: ReadonlySet<Seen> = new Set([
  'challenge',
  'redirect',
  'serverError',
  'tokenServer',
  'tooManyRequests',
]);

/**
 * Did the registry itself tell the agent of its trouble? Then a refusal that the runtime heard is no more of
 * its own: containerd 1.6 names the registry where the object store behind it answered.
 */
function hasSpoken(word: RegistryWord | undefined): boolean {
  return word?.seen !== undefined && OF_THE_REGISTRY.has(word.seen);
}

const tooManyPulls: PullWord = {
  said: 'nothing',
  reason: 'verificationInProgress',
  message: 'too many pulls of this namespace are waiting for their turn',
};

/** Nothing that the runtime could say would change it. */
function isFinal(word: RegistryWord, { credential }: Question): boolean {
  if (word.answer === 'granted') return true;
  if (word.answer === 'refused') return credential !== undefined;
  return word.reason === 'registryForbidsImage';
}

/**
 * A pull of content that is present asks for no more than a HEAD answer: where the very bytes were asked for
 * and others came, that is no registry's yes.
 */
function isOtherContent({ seen }: RegistryWord): boolean {
  return seen === 'digestMismatch' || seen === 'tooLarge';
}

/** What nobody's credentials were refused may be granted to the runtime's own; a pod's own that is refused is final. */
function isRefused({ credential }: Question, registry: RegistryWord | undefined): boolean {
  return registry?.answer === 'refused' && credential !== undefined;
}

function notGranted(pulled: PullWord, registry: RegistryWord | undefined): NotGranted {
  // The registry's own refusal stands; the runtime found nothing of its own to pull with.
  if (registry?.answer === 'refused') return registry;
  if (pulled.said === 'refused' && pulled.byRegistry && !hasSpoken(registry)) {
    return { answer: 'refused', message: `by the runtime: ${pulled.message}` };
  }
  if (registry?.answer === 'unverifiable') {
    if (pulled.said === 'granted') return registry;
    // Where the node itself is in the way, that is what has to be mended first.
    const reason = pulled.said === 'nothing' ? pulled.reason : registry.reason;
    return { answer: 'unverifiable', reason, message: `${registry.message}; the runtime: ${pulled.message}` };
  }
  const reason = pulled.said === 'nothing' ? pulled.reason : 'registryUnavailable';
  const message = pulled.said === 'granted' ? 'only the runtime itself was granted it' : pulled.message;
  return { answer: 'unverifiable', reason, message };
}
