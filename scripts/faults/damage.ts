import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openRecordStore } from '../../agent/records/sqlite/open.ts';
import { randomNumbers } from '../bench/statistics.ts';
import { makeSampleState, permissionsNobodyGave } from './sample-state.ts';

export type DamageOutcome = {
  readonly copies: number;
  /** Copies of which the damage was noticed: something was set aside, left out or verified again. */
  readonly noticed: number;
  /** What any copy allowed that nobody gave, and what kept one from being opened. */
  readonly failures: readonly string[];
};

const FLIPS = 8;

/**
 * Damages copies of a state directory at random, opens each as the agent does, and looks for a permission
 * that nobody gave. Each copy is hit in one way: some bits or bytes of the database, of its log or of the
 * key; a piece cut off, set to zero, or put in the place of another. The same seed damages the same.
 */
export function damageCopies(copies: number, seed: number): DamageOutcome {
  // In memory where there is such a place: 10,000 copies with their flushes take long on a disk.
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'pullwarden-damage-'));
  const random = randomNumbers(seed);
  try {
    const states = [join(folder, 'closed'), join(folder, 'killed')];
    makeStates(states[0] ?? '', states[1] ?? '');
    const failures: string[] = [];
    let noticed = 0;
    for (let copy = 0; copy < copies; copy += 1) {
      const stateDir = join(folder, 'copy');
      rmSync(stateDir, { recursive: true, force: true });
      cpSync(states[random(states.length)] ?? '', stateDir, { recursive: true });
      const damage = damageOne(stateDir, random);
      const outcome = open(stateDir);
      if (outcome.noticed) noticed += 1;
      failures.push(
        ...outcome.failures.map((failure) => `seed ${seed}, copy ${copy} (${damage}): ${failure}`),
      );
    }
    return { copies, noticed, failures };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** One that was closed, everything in the database; one that was killed, much of it in the log. */
function makeStates(closed: string, killed: string): void {
  makeSampleState(closed);
  const { store } = openRecordStore({ stateDir: closed });
  store.recordImagePullFailed('reg.example.com/team-24/app:1');
  store.mergeCredentials('reg.example.com/team-5/app:1', `sha256:${'0'.repeat(63)}5`, {
    kubernetesSecrets: [{ namespace: 'team-5', name: 'regcred', uid: 'uid-5', credentialHash: 'hash-5' }],
  });
  cpSync(closed, killed, { recursive: true });
  rmSync(join(killed, 'records.db-shm'), { force: true });
  store.close();
}

function damageOne(stateDir: string, random: (below: number) => number): string {
  const files = readdirSync(stateDir).filter((name) => /^(records\.db(-wal)?|hmac\.key)$/.test(name));
  const name = files[random(files.length)] ?? 'records.db';
  const path = join(stateDir, name);
  const bytes = readFileSync(path);
  const at = random(Math.max(1, bytes.length));
  const length = Math.min(bytes.length - at, 1 + random(512));
  switch (random(5)) {
    case 0:
      for (let flip = 0; flip <= random(FLIPS); flip += 1) {
        const where = random(Math.max(1, bytes.length));
        bytes[where] = (bytes[where] ?? 0) ^ (1 << random(8));
      }
      break;
    case 1:
      if (bytes.length > 0) bytes[at] = random(256);
      break;
    case 2:
      writeFileSync(path, bytes.subarray(0, at));
      return `${name} cut at ${at}`;
    case 3:
      bytes.fill(0, at, at + length);
      break;
    default:
      bytes.copy(bytes, random(Math.max(1, bytes.length)), at, at + length);
  }
  writeFileSync(path, bytes);
  return `${name} at ${at}`;
}

function open(stateDir: string): { readonly noticed: boolean; readonly failures: readonly string[] } {
  let noticed = false;
  try {
    const opened = openRecordStore({
      stateDir,
      onNotice: () => {
        noticed = true;
      },
    });
    const failures = permissionsNobodyGave(opened);
    opened.store.close();
    return { noticed, failures };
  } catch (error) {
    return { noticed, failures: [error instanceof Error ? (error.stack ?? error.message) : String(error)] };
  }
}
