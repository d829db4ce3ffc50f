import type { NotGranted, Question } from '../../agent/access/proof/question.ts';
import { withBackoff } from '../../agent/access/proof/with-backoff.ts';
import { isDue } from '../../agent/access/renewal/due.ts';
import { OPTIONS } from '../../agent/config/options.ts';
import { DEFAULT_TIMINGS } from '../../agent/kubernetes/timings.ts';
import type { Grant } from '../../agent/records/types.ts';
import { SWEEP_MS } from '../../agent/wiring/time.ts';

/** How often things come back by themselves, and what bounds them: taken from the agent's own code. */
export type Paces = {
  readonly watchesPerHour: number;
  /** Each asks once for every secret, service account and namespace on record. */
  readonly sweepsPerHour: number;
  /** Of one image and credential that nobody can answer, however often its containers are tried. */
  readonly questionsInOutagePerHour: number;
  /** So soon does a question that waits notice that the registry is there again, at the latest; s. */
  readonly outageNoticedWithin: number;
  /** Of one grant, with `--record-ttl 24h`. */
  readonly renewalsPerDay: number;
  readonly backgroundPerMinute: number;
  readonly atOncePerRegistry: number;
  /** Between tries to watch the pods again, at most; s. */
  readonly watchRetrySeconds: number;
  /** Containers that ran before the agent are judged within so long; s. */
  readonly existingSeconds: number;
};

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

export async function readPaces(): Promise<Paces> {
  const asked = await askedInOutage();
  const gaps = asked.slice(1).map((at, n) => at - (asked[n] ?? 0));
  return {
    // By chance between once and twice `watchMs`.
    watchesPerHour: HOUR_MS / (1.5 * DEFAULT_TIMINGS.watchMs),
    sweepsPerHour: HOUR_MS / SWEEP_MS,
    questionsInOutagePerHour: asked.length,
    outageNoticedWithin: Math.max(...gaps) / 1_000,
    renewalsPerDay: renewalsPerDay(),
    backgroundPerMinute: Number(OPTIONS.backgroundQuestions.default),
    atOncePerRegistry: Number(OPTIONS.maxParallelPulls.default),
    watchRetrySeconds: DEFAULT_TIMINGS.retry.maxMs / 1_000,
    existingSeconds: Number.parseInt(OPTIONS.existingContainersDelay.default, 10),
  };
}

/** When a registry that is away is asked, within an hour in which somebody wants to know every second. */
async function askedInOutage(): Promise<readonly number[]> {
  let now = 0;
  const asked: number[] = [];
  const ask = withBackoff(
    async () => {
      asked.push(now);
      return away;
    },
    () => now,
  );
  for (; now < HOUR_MS; now += 1_000) await ask(question);
  return asked;
}

const away: NotGranted = { answer: 'unverifiable', reason: 'registryUnavailable', message: 'away' };
const question: Question = {
  imageRef: `sha256:${'a'.repeat(64)}`,
  name: { image: 'reg.example.com/app:1', repository: 'reg.example.com/app', tag: '1', digests: [] },
  credential: undefined,
  namespace: 'team-a',
  podSandboxId: undefined,
  urgent: true,
};

/** On average over many grants: each is asked about at its own age. */
function renewalsPerDay(): number {
  const grants = 1_000;
  let perDay = 0;
  for (let n = 0; n < grants; n += 1) {
    const grantee = { kind: 'kubernetesSecret' as const, namespace: `team-${n}`, name: 's', uid: `u${n}` };
    const grant: Grant = {
      imageRef: 'sha256:aa',
      trimmedImage: 'reg.example.com/app',
      grantee,
      verifiedAt: 0,
    };
    let nowMs = 0;
    while (!isDue(grant, { ttlMs: DAY_MS, nowMs })) nowMs += DAY_MS / 100;
    perDay += DAY_MS / nowMs / grants;
  }
  return perDay;
}
