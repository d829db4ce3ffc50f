import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type AccessQuestion, checkAccess } from '../../agent/access/record/check-access.ts';
import type { PodPullCredentials } from '../../agent/access/record/decide.ts';
import { makePolicy } from '../../agent/access/record/policy.ts';
import type { RecordStore } from '../../agent/records/record-store.ts';
import { openRecordStore } from '../../agent/records/sqlite/open.ts';
import { imageOf, imageRefOf, makeStateDirectory, secretOf } from './sample-node.ts';
import { clockCostNs, quantile, randomNumbers, type Spread, spreadOf } from './statistics.ts';

/** One size of a node; every figure is the middle of the rounds, with the lowest and the highest. */
export type CheckRow = {
  readonly images: number;
  readonly secrets: number;
  readonly hitMedianNs: Spread;
  readonly hitP99Ns: Spread;
  readonly missMedianNs: Spread;
  readonly missP99Ns: Spread;
  readonly settleMedianUs: Spread;
  readonly settleP99Us: Spread;
  readonly startMs: Spread;
};

const IMAGES = [100, 2_000, 10_000];
const SECRETS = [4, 100];
const ROUNDS = 5;
const QUESTIONS = 40_000;
const SETTLES = 300;
const START = fileURLToPath(new URL('./start.ts', import.meta.url));

type Question = { readonly about: AccessQuestion; readonly pod: PodPullCredentials };

/**
 * How long a check takes, from image text, imageRef and the pod's secrets (keyed, as the agent keeps them
 * between verdicts) to the result; how long it takes to settle a pull, durable; and how long to open the
 * store.
 *
 * Each call is timed for itself, so p99 is that of single calls: the clock counts nanoseconds, and what it
 * costs to look at it (about 30 ns) is taken off. Questions go to images in random order, and their strings
 * are not those of the store, so that every comparison is made in full and no cache is warmer than on a node.
 * They are asked once before it counts: what is made at the first question about an image is there, as it is
 * in an agent that has run for a while.
 */
export function benchCheck(onRow: (row: CheckRow) => void): readonly CheckRow[] {
  const rows: CheckRow[] = [];
  for (const images of IMAGES) {
    for (const secrets of SECRETS) {
      const row = measureNode(images, secrets);
      rows.push(row);
      onRow(row);
    }
  }
  return rows;
}

function measureNode(images: number, secrets: number): CheckRow {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-bench-'));
  const stateDir = join(folder, 'state');
  try {
    makeStateDirectory(stateDir, images, secrets);
    const startMs = spreadOf(Array.from({ length: ROUNDS }, () => startOnce(stateDir)));
    const { store } = openRecordStore({ stateDir });
    const random = randomNumbers(images * 1_000 + secrets);
    const hits = questions((image) => secretOf(image, random(secrets)), images, random);
    const misses = questions((image) => secretOf(image, secrets + random(1_000)), images, random);
    const hit = timeChecks(store, hits, 'credentialRecordFound');
    const miss = timeChecks(store, misses, 'mustAuthenticate');
    const settle = timeSettles(store, images, random);
    store.close();
    return {
      images,
      secrets,
      hitMedianNs: hit.median,
      hitP99Ns: hit.p99,
      missMedianNs: miss.median,
      missP99Ns: miss.p99,
      settleMedianUs: settle.median,
      settleP99Us: settle.p99,
      startMs,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A pod for each image, kept as the agent keeps its pods, and asked about in random order. */
function questions(
  secretFor: (image: number) => Question['pod']['secrets'][number],
  images: number,
  random: (below: number) => number,
): readonly Question[] {
  const pods = Array.from({ length: images }, (_, image) => ({
    about: { image: imageOf(image), imageRef: imageRefOf(image) },
    pod: { secrets: [secretFor(image)] },
  }));
  return Array.from({ length: QUESTIONS }, () => pods[random(images)]).filter(
    (question) => question !== undefined,
  );
}

function timeChecks(store: RecordStore, asked: readonly Question[], expected: string) {
  const policy = makePolicy('NeverVerifyPreloadedImages');
  const clockNs = clockCostNs();
  const samples = new Float64Array(asked.length);
  const medians: number[] = [];
  const p99s: number[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    let answered = 0;
    for (let n = 0; n < asked.length; n += 1) {
      const question = asked[n];
      if (!question) continue;
      const { about, pod } = question;
      const before = performance.now();
      const { result } = checkAccess(store, policy, about, pod);
      samples[n] = (performance.now() - before) * 1e6 - clockNs;
      if (result === expected) answered += 1;
    }
    if (answered !== asked.length) throw new Error(`${answered} of ${asked.length} were ${expected}`);
    if (round < 0) continue;
    medians.push(quantile(samples, 0.5));
    p99s.push(quantile(samples, 0.99));
  }
  return { median: spreadOf(medians), p99: spreadOf(p99s) };
}

/**
 * An intent, then the pull that it announced with a secret that is new to the image: two transactions, as a
 * re-pull.
 */
function timeSettles(store: RecordStore, images: number, random: (below: number) => number) {
  const samples = new Float64Array(SETTLES);
  const medians: number[] = [];
  const p99s: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    for (let n = 0; n < SETTLES; n += 1) {
      const at = random(images);
      const image = imageOf(at);
      const imageRef = imageRefOf(at);
      const kubernetesSecrets = [secretOf(at, 10_000 + round * SETTLES + n)];
      const before = performance.now();
      store.recordPullIntent(image);
      store.recordImagePulled(image, imageRef, { kubernetesSecrets });
      samples[n] = (performance.now() - before) * 1e3;
    }
    medians.push(quantile(samples, 0.5));
    p99s.push(quantile(samples, 0.99));
  }
  return { median: spreadOf(medians), p99: spreadOf(p99s) };
}

/** In a process of its own, as an agent starts: nothing compiled yet, no memory taken. */
function startOnce(stateDir: string): number {
  const child = spawnSync(process.execPath, [START, stateDir], { encoding: 'utf8' });
  const milliseconds = Number(child.stdout);
  if (child.status !== 0 || !(milliseconds > 0)) throw new Error(`no start: ${child.stderr}`);
  return milliseconds;
}
