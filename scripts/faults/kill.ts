import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openRecordStore } from '../../agent/records/sqlite/open.ts';
import { randomNumbers } from '../bench/statistics.ts';
import { imageRefOf } from './sample-state.ts';

export type KillOutcome = {
  readonly kills: number;
  /** Pulls that a writer said it had settled before it was killed. */
  readonly settled: number;
  readonly failures: readonly string[];
};

const WRITER = fileURLToPath(new URL('./child-writer.ts', import.meta.url));
/** Of one writer, from the moment at which it has opened the records. */
const LONGEST_LIFE_MS = 60;

/**
 * Kills a process that writes records, again and again on the same state directory, each time at a random
 * moment, and opens what it left: no pull that was settled may be lost, none that was not may be granted.
 */
export async function killWriters(kills: number, seed: number): Promise<KillOutcome> {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-kill-'));
  const stateDir = join(folder, 'state');
  const random = randomNumbers(seed);
  const settled = new Set<number>();
  const failures: string[] = [];
  try {
    for (let kill = 0; kill < kills; kill += 1) {
      const begun = await runAndKill(stateDir, random(LONGEST_LIFE_MS), settled);
      failures.push(
        ...check(stateDir, settled, begun).map((failure) => `seed ${seed}, kill ${kill}: ${failure}`),
      );
    }
    return { kills, settled: settled.size, failures };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Returns the pulls that the writer began and did not say it had settled. */
async function runAndKill(
  stateDir: string,
  lifeMs: number,
  settled: Set<number>,
): Promise<ReadonlySet<number>> {
  const child = spawn(process.execPath, [WRITER, stateDir, String(settled.size)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const begun = new Set<number>();
  for await (const line of createInterface({ input: child.stdout })) {
    const [what, number] = line.split(' ');
    if (what === 'open') void sleep(lifeMs).then(() => child.kill('SIGKILL'));
    if (what === 'begun') begun.add(Number(number));
    if (what !== 'settled') continue;
    settled.add(Number(number));
    begun.delete(Number(number));
  }
  await exited;
  return begun;
}

function check(stateDir: string, settled: Set<number>, begun: ReadonlySet<number>): readonly string[] {
  const failures: string[] = [];
  const { store } = openRecordStore({
    stateDir,
    onNotice: ({ kind, message }) => failures.push(`${kind}: ${message}`),
  });
  for (const n of settled) {
    if (store.pulledRecord(imageRefOf(n))?.credentialMapping.size !== 1)
      failures.push(`settled pull ${n} was lost`);
  }
  // It announces a pull before it begins, and a settled one after: the last may be settled without our
  // having heard.
  const unheard = [...begun].filter((n) => store.pulledRecord(imageRefOf(n)) !== undefined);
  if (unheard.length > 1) failures.push(`${unheard.length} pulls were granted that were not settled`);
  for (const n of unheard) settled.add(n);
  if (store.recordCount !== settled.size) {
    failures.push(`${store.recordCount} records of ${settled.size} settled pulls`);
  }
  if (store.takeInventory([])) failures.push('the inventory was taken once more');
  store.close();
  return failures;
}
