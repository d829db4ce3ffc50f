import { setImmediate as turn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { FuzzTarget } from './nri-targets.ts';
import { seededRandom } from './random.ts';

/** What a run showed; times in ms, memory in bytes after a full garbage collection. */
export interface FuzzReport {
  executions: number;
  perSecond: number;
  longestMs: number;
  /** After a tenth of the executions, when everything is compiled and cached. */
  heapBefore: number;
  heapAfter: number;
}

/** A target did what it must not; the same seed does it again. */
class FuzzFailure extends Error {
  override readonly name = 'FuzzFailure';
}

const batch = 1_000;

function collectedHeap(): number {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  collect();
  return process.memoryUsage().heapUsed;
}

/**
 * Runs every target in turn, `count` times in all.
 * @param onProgress told about every tenth.
 * @throws {FuzzFailure} which names target and seed.
 */
export async function fuzz(
  targets: readonly FuzzTarget[],
  count: number,
  firstSeed: number,
  onProgress: (executions: number) => void = () => {},
): Promise<FuzzReport> {
  const from = performance.now();
  const tenth = Math.max(1, Math.floor(count / 10));
  let longestMs = 0;
  let heapBefore = 0;
  for (let execution = 0; execution < count; execution += 1) {
    const target = targets[execution % targets.length];
    if (target === undefined) throw new RangeError('nothing to fuzz');
    // Spread, because xorshift's first numbers of neighbouring seeds are alike.
    const seed = Math.imul(firstSeed + execution, 0x9e3779b1);
    const began = performance.now();
    try {
      await target.run(seededRandom(seed));
    } catch (cause) {
      throw new FuzzFailure(`${target.name}, seed ${seed}, execution ${execution}`, { cause });
    }
    longestMs = Math.max(longestMs, performance.now() - began);
    // What the targets promised is settled between the batches.
    if (execution % batch === 0) await turn();
    if ((execution + 1) % tenth === 0) {
      heapBefore ||= collectedHeap();
      onProgress(execution + 1);
    }
  }
  await turn();
  const perSecond = Math.round((count * 1_000) / (performance.now() - from));
  return { executions: count, perSecond, longestMs, heapBefore, heapAfter: collectedHeap() };
}
