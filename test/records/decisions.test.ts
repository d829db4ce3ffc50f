import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { describe, expect, it } from 'vitest';
import {
  type DecisionEntry,
  type Decisions,
  openDecisions,
  openDecisionsReadOnly,
} from '../../agent/records/decisions.ts';
import { useStateDirectory } from './state-directory.ts';

const stateDir = useStateDirectory();

function entryOf(changes: Partial<DecisionEntry> = {}): DecisionEntry {
  return {
    time: 1_000,
    namespace: 'team-b',
    pod: 'web-1',
    podUid: 'uid-1',
    container: 'app',
    containerId: 'c1',
    image: 'reg.example.com/team-a/app:1',
    imageRef: 'sha256:aaa',
    pullPolicy: 'IfNotPresent',
    verdict: 'denied',
    reason: 'registryRefused',
    message: 'the registry refused it',
    mode: 'enforce',
    action: 'stop',
    outcome: 'stopped',
    durationMs: 12.5,
    ...changes,
  };
}

function times(decisions: Pick<Decisions, 'list'>): number[] {
  return decisions.list({ limit: 1_000 }).map(({ time }) => time);
}

describe('the audit trail', () => {
  it('gives back what was written, newest first, after a restart too', () => {
    const decisions = openDecisions(stateDir());
    decisions.append(entryOf({ time: 1 }));
    decisions.append(entryOf({ time: 2, verdict: 'allowed', reason: 'recordMatched' }));
    decisions.close();
    const again = openDecisions(stateDir());
    expect(again.list({ limit: 10 })).toEqual([
      entryOf({ time: 2, verdict: 'allowed', reason: 'recordMatched' }),
      entryOf({ time: 1 }),
    ]);
    expect((statSync(join(stateDir(), 'decisions.db')).mode & 0o777).toString(8)).toBe('600');
    again.close();
  });

  it('is filtered by verdict, time, namespace and pod, and limited', () => {
    const decisions = openDecisions(stateDir());
    decisions.append(entryOf({ time: 1 }));
    decisions.append(entryOf({ time: 2, verdict: 'unverifiable' }));
    decisions.append(entryOf({ time: 3, namespace: 'team-c' }));
    decisions.append(entryOf({ time: 4, pod: 'web-2' }));
    const found = (filter: object) => decisions.list({ limit: 10, ...filter }).map(({ time }) => time);
    expect(found({ denied: true })).toEqual([4, 3, 1]);
    expect(found({ denied: false })).toEqual([2]);
    expect(found({ since: 3 })).toEqual([4, 3]);
    expect(found({ namespace: 'team-b' })).toEqual([4, 2, 1]);
    expect(found({ namespace: 'team-b', pod: 'web-2' })).toEqual([4]);
    expect(found({ limit: 1 })).toEqual([4]);
    decisions.close();
  });

  it('cuts a message that is too long', () => {
    const decisions = openDecisions(stateDir());
    decisions.append(entryOf({ message: 'x'.repeat(100_000) }));
    expect(decisions.list({ limit: 1 })[0]?.message).toHaveLength(1_024);
    decisions.close();
  });

  it('keeps no more entries than it may', () => {
    const decisions = openDecisions(stateDir(), { maxRows: 50 });
    for (let time = 0; time < 1_000; time += 1) decisions.append(entryOf({ time }));
    const kept = times(decisions);
    expect(kept[0]).toBe(999);
    expect(kept.length).toBeGreaterThanOrEqual(50);
    expect(kept.length).toBeLessThanOrEqual(151);
    decisions.close();
  });

  it('keeps none that is older than it may be', () => {
    const decisions = openDecisions(stateDir(), { maxAgeMs: 1_000 });
    for (let time = 0; time < 50; time += 1) decisions.append(entryOf({ time }));
    decisions.close();
    const later = openDecisions(stateDir(), { maxAgeMs: 1_000 });
    later.append(entryOf({ time: 5_000 }));
    expect(times(later)).toEqual([5_000]);
    later.close();
  });

  it('is read by the command line while the agent writes', () => {
    const decisions = openDecisions(stateDir());
    decisions.append(entryOf({ time: 1 }));
    const reader = openDecisionsReadOnly(stateDir());
    decisions.append(entryOf({ time: 2 }));
    expect(times(reader)).toEqual([2, 1]);
    reader.close();
    decisions.close();
  });

  it('sets a damaged file aside and goes on', () => {
    openDecisions(stateDir()).close();
    writeFileSync(join(stateDir(), 'decisions.db'), 'not a database '.repeat(1_000));
    const problems: string[] = [];
    const decisions = openDecisions(stateDir(), { onProblem: ({ reason }) => problems.push(reason) });
    decisions.append(entryOf({ time: 7 }));
    expect(problems).toEqual(['databaseCorrupt']);
    expect(times(decisions)).toEqual([7]);
    expect(readdirSync(stateDir()).some((name) => name.startsWith('decisions.db.damaged-'))).toBe(true);
    decisions.close();
  });

  it.each([
    ['written by a newer Pullwarden', () => makeNewer()],
    ['in the place of a directory', () => writeFileSync(stateDir(), '')],
  ])('goes on in memory where the file is %s', (_how, spoil) => {
    spoil();
    const problems: string[] = [];
    const decisions = openDecisions(stateDir(), { onProblem: ({ message }) => problems.push(message) });
    decisions.append(entryOf({ time: 7 }));
    expect(problems).toEqual([expect.stringContaining('in memory only')]);
    expect(times(decisions)).toEqual([7]);
    decisions.close();
  });

  it('reports an entry that it could not write instead of failing', () => {
    const problems: string[] = [];
    const decisions = openDecisions(stateDir(), { onProblem: ({ message }) => problems.push(message) });
    decisions.close();
    decisions.append(entryOf());
    expect(problems).toEqual([expect.stringContaining('not written')]);
  });
});

function makeNewer(): void {
  openDecisions(stateDir()).close();
  const db = new SqliteDatabase(join(stateDir(), 'decisions.db'));
  db.pragma('user_version = 99');
  db.close();
}
