import { accessSync, constants, type Stats, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { openDecisionsReadOnly } from '../../records/decisions.ts';
import { openRecordStoreReadOnly } from '../../records/sqlite/open.ts';
import { timeText } from '../output.ts';
import { type Finding, failure, messageOf, ok, warning } from './finding.ts';

const MEBIBYTE = 1024 * 1024;
/** Both databases at their largest stay below this; a disk that is full means records in memory only. */
const LOW_SPACE_BYTES = 200 * MEBIBYTE;
const NO_SPACE_BYTES = 10 * MEBIBYTE;
/** Before the project began no clock was right. */
const EARLIEST = Date.UTC(2024, 0, 1);
const CLOCK_TOLERANCE_MS = 60_000;

type Newest = { readonly finding: Finding; readonly newest: number };

/**
 * State directory, databases, free space, and the clock against what is on record. `now` in ms since the
 * epoch.
 */
export function checkState(stateDir: string, now: number): Finding[] {
  const directory = checkDirectory(stateDir);
  const space = checkSpace(stateDir);
  const records = checkDatabase('records database', stateDir, 'records.db', () => {
    const { store } = openRecordStoreReadOnly(stateDir);
    try {
      const all = store.listPulledRecords();
      const newest = Math.max(0, ...all.map((record) => record.lastUpdatedTime));
      return { finding: ok('records database', `${all.length} images on record`), newest };
    } finally {
      store.close();
    }
  });
  const decisions = checkDatabase('decisions database', stateDir, 'decisions.db', () => {
    const reader = openDecisionsReadOnly(stateDir);
    try {
      const [last] = reader.list({ limit: 1 });
      const detail = last === undefined ? 'empty' : `last entry at ${timeText(last.time)}`;
      return { finding: ok('decisions database', detail), newest: last?.time ?? 0 };
    } finally {
      reader.close();
    }
  });
  const clock = checkClock(now, Math.max(records.newest, decisions.newest));
  return [directory, space, records.finding, decisions.finding, clock];
}

/**
 * Certificates, tokens and backoffs depend on the time of day; a clock that jumped back makes records look
 * new.
 */
export function checkClock(now: number, newest: number): Finding {
  if (now < EARLIEST) {
    return failure(
      'clock',
      `it is ${timeText(now)} here`,
      'set the clock: no registry certificate is valid at that time',
    );
  }
  if (newest > now + CLOCK_TOLERANCE_MS) {
    return warning(
      'clock',
      `it is ${timeText(now)} here, but there is an entry of ${timeText(newest)}`,
      'see whether the clock is right and kept by NTP',
    );
  }
  return ok('clock', timeText(now));
}

function checkDirectory(stateDir: string): Finding {
  try {
    const info = statSync(stateDir, { throwIfNoEntry: false });
    if (info === undefined) return checkMissing(stateDir);
    if (!info.isDirectory())
      return failure('state directory', `${stateDir} is not a directory`, 'name another with --state-dir');
    accessSync(stateDir, constants.R_OK | constants.W_OK | constants.X_OK);
    return checkMode(stateDir, info);
  } catch (error) {
    return failure('state directory', messageOf(error), 'mount it writable and run as its owner (root)');
  }
}

function checkMode(stateDir: string, info: Stats): Finding {
  const mode = (info.mode & 0o777).toString(8).padStart(4, '0');
  return (info.mode & 0o077) === 0
    ? ok('state directory', `${stateDir}, mode ${mode}`)
    : warning(
        'state directory',
        `${stateDir} has mode ${mode}`,
        `chmod 0700 ${stateDir} (the agent does so when it starts)`,
      );
}

function checkMissing(stateDir: string): Finding {
  const parent = nearestExisting(stateDir);
  accessSync(parent, constants.W_OK | constants.X_OK);
  return ok('state directory', `${stateDir} does not exist yet; the agent makes it when it first runs`);
}

function checkSpace(stateDir: string): Finding {
  try {
    const { bavail, bsize } = statfsSync(nearestExisting(stateDir));
    const free = bavail * bsize;
    const detail = `${Math.floor(free / MEBIBYTE)} MiB free`;
    const advice = 'free some space: on a full disk what is new is kept in memory only';
    if (free < NO_SPACE_BYTES) return failure('free space', detail, advice);
    return free < LOW_SPACE_BYTES ? warning('free space', detail, advice) : ok('free space', detail);
  } catch (error) {
    return failure('free space', messageOf(error), 'see whether the state directory can be reached');
  }
}

function checkDatabase(check: string, stateDir: string, file: string, read: () => Newest): Newest {
  try {
    if (statSync(join(stateDir, file), { throwIfNoEntry: false }) === undefined) {
      return { finding: ok(check, 'none yet; the agent makes it when it first runs'), newest: 0 };
    }
    return read();
  } catch (error) {
    const advice = 'see the log of the agent: it sets a damaged database aside and makes a new one';
    return { finding: failure(check, messageOf(error), advice), newest: 0 };
  }
}

function nearestExisting(path: string): string {
  let candidate = resolve(path);
  while (statSync(candidate, { throwIfNoEntry: false }) === undefined) candidate = dirname(candidate);
  return candidate;
}
