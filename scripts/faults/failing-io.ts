import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openRecordStore } from '../../agent/records/sqlite/open.ts';
import { randomNumbers } from '../bench/statistics.ts';
import { imageOf, imageRefOf } from './sample-state.ts';

export type FailingIoOutcome = {
  readonly runs: number;
  /** Runs in which a call failed so that a pull did not get as far as the disk. */
  readonly hit: number;
  readonly failures: readonly string[];
};

const SOURCE = fileURLToPath(new URL('./failing-io.c', import.meta.url));
const WRITER = fileURLToPath(new URL('./child-faulty-writer.ts', import.meta.url));
const ERRORS = ['ENOSPC', 'EIO', 'EROFS'] as const;
/** Calls that the writer makes, about. */
const CALLS = 90;
const PULLS = 6;

/**
 * Lets a process write records on a disk whose n-th write, flush or open fails, once or from then on, whole
 * or torn, and opens what it left: all that it said was on the disk is, and nothing is granted that it did
 * not begin.
 */
export function failIo(runs: number, seed: number): FailingIoOutcome {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-failing-io-'));
  const random = randomNumbers(seed);
  const failures: string[] = [];
  let hit = 0;
  try {
    const library = join(folder, 'failing-io.so');
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, SOURCE, '-ldl']);
    const before = join(folder, 'before');
    const first = openRecordStore({ stateDir: before });
    first.store.takeInventory([]);
    first.store.recordImagePulled(imageOf(0), imageRefOf(0), { nodePodsAccessible: true });
    first.store.close();
    for (let run = 0; run < runs; run += 1) {
      const stateDir = join(folder, 'state');
      rmSync(stateDir, { recursive: true, force: true });
      cpSync(before, stateDir, { recursive: true });
      const fault = {
        FAULT_DIR: stateDir,
        FAULT_AT: String(1 + random(CALLS)),
        FAULT_ERRNO: String(constants.errno[ERRORS[random(ERRORS.length)] ?? 'EIO']),
        FAULT_LASTS: String(random(2)),
        FAULT_TORN: String(random(2)),
      };
      const outcome = runOnce(stateDir, { ...fault, LD_PRELOAD: library });
      if (outcome.settled < PULLS) hit += 1;
      const what = JSON.stringify(fault);
      failures.push(...outcome.failures.map((failure) => `seed ${seed}, run ${run}: ${failure} ${what}`));
    }
    return { runs, hit, failures };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function runOnce(
  stateDir: string,
  fault: NodeJS.ProcessEnv,
): { readonly settled: number; readonly failures: readonly string[] } {
  const child = spawnSync(process.execPath, [WRITER, stateDir, '1', String(PULLS)], {
    encoding: 'utf8',
    env: { ...process.env, ...fault },
  });
  const numbersOf = (what: string) =>
    child.stdout
      .split('\n')
      .filter((line) => line.startsWith(`${what} `))
      .map((line) => Number(line.slice(what.length + 1)));
  const failures: string[] = [];
  if (child.status !== 0) failures.push(`the writer ended with ${child.status}: ${child.stderr}`);
  const settled = numbersOf('settled');
  const begun = numbersOf('begun');
  const { store } = openRecordStore({
    stateDir,
    onNotice: ({ kind, message }) => failures.push(`${kind}: ${message}`),
  });
  for (const n of [0, ...settled]) {
    if (store.pulledRecord(imageRefOf(n))?.credentialMapping.size !== 1)
      failures.push(`settled pull ${n} was lost`);
  }
  const allowed = new Set([0, ...begun].map(imageRefOf));
  for (const { imageRef } of store.listGrants()) {
    if (!allowed.has(imageRef)) failures.push(`${imageRef} was granted by nobody`);
  }
  if (store.takeInventory([])) failures.push('the inventory was taken once more');
  store.close();
  return { settled: settled.length, failures };
}
