import { LRUCache } from 'lru-cache';
import type { PullOutcome } from '../../runtime/runtime.ts';
import { askByPull, type PullingRuntime, type PullWord } from './ask-by-pull.ts';
import { askRegistry, type RegistryToAsk, type RegistryWord } from './ask-registry.ts';
import { type Answer, type Ask, type Question, registryOf } from './question.ts';
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

  async function ask(question: Question): Promise<Answer> {
    if (options.proof === 'registry') return askRegistry(registry, question);
    const word = await byRegistry(question);
    if (word !== undefined && isFinal(word, question)) return word;
    if (word?.answer === 'refused' && !(await mayGrantItself(question))) return word;
    const pulled = await pull(question);
    const second = word ?? (pulled.said === 'granted' ? undefined : await askRegistry(registry, question));
    if (second) options.onSecondOpinion(pulled.said, second.answer);
    if (second?.answer === 'unverifiable' && wasReached(pulled)) {
      outOfReach.set(registryOf(question.name), now() + OUT_OF_REACH_MS);
    }
    if (second?.answer === 'granted') return second;
    return conclude(question, pulled, second, options.runtimeGrants);
  }

  return {
    ask,
    onlyReachedByRuntime: () => [...outOfReach.keys()].filter(isOutOfReach).sort(),
  };
}

/** Did the runtime get through to where the agent did not? What a mirror refused tells nothing about that. */
function wasReached(pulled: PullWord): boolean {
  return pulled.said === 'granted' || (pulled.said === 'refused' && pulled.byRegistry);
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

function conclude(
  { name, credential }: Question,
  pulled: PullWord,
  registry: RegistryWord | undefined,
  runtimeGrants: AskOptions['runtimeGrants'],
): Answer {
  if (pulled.said === 'granted') {
    if (credential) return { answer: 'granted', to: 'credential', message: `pulled ${name.repository}` };
    if (runtimeGrants === 'allow') {
      return { answer: 'granted', to: 'runtime', message: `the runtime pulled ${name.repository} by itself` };
    }
  }
  // The registry's own refusal stands; the runtime found nothing of its own to pull with.
  if (registry?.answer === 'refused') return registry;
  if (pulled.said === 'refused' && pulled.byRegistry) {
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
