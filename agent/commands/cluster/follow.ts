import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { MAX_LIMIT } from '../limit.ts';
import type { Agent } from './agents.ts';
import { type Entry, entryKey, readEntry } from './entries.ts';
import type { Exec } from './exec/exec.ts';

export type Follow = {
  /** Passed on to the agent. */
  readonly filter: readonly string[];
  /** What came before this is known already; milliseconds since the epoch. */
  readonly begin: number;
  /** Entries that are known already. */
  readonly known: readonly Entry[];
  readonly onEntry: (entry: Entry) => void;
  /** Called once when the agent is lost, however often it is tried again, until it has said something. */
  readonly onLost: (problem: string) => void;
  readonly signal: AbortSignal;
};

const FIRST_WAIT_MS = 1_000;
const LONGEST_WAIT_MS = 30_000;
/** A connection that lasted so long was a good one, though nothing may have come over it. */
const STEADY_MS = 60_000;
/** An agent takes its time to start the program, and a verdict to be written. */
const OVERLAP_MS = 10_000;
const MAX_REMEMBERED = 2_000;
const MAX_LINE = 1024 * 1024;

/**
 * Hands on what one agent decides from now on, each verdict once. When the connection ends it is opened again
 * and goes on where it was. Ends with `signal`.
 */
export async function followAgent(exec: Exec, agent: Agent, follow: Follow): Promise<void> {
  const { filter, begin, known, onEntry, onLost, signal } = follow;
  const seen = new LRUCache<string, true>({ max: MAX_REMEMBERED });
  for (const entry of known.toSorted((a, b) => a.time - b.time)) seen.set(entryKey(entry), true);
  let heard = begin;
  let waitMs = FIRST_WAIT_MS;
  let isLost = false;
  while (!signal.aborted) {
    const nonsense = new AbortController();
    const readLine = (line: string): void => {
      const entry = readEntry(line);
      heard = Date.now();
      waitMs = FIRST_WAIT_MS;
      isLost = false;
      if (seen.has(entryKey(entry))) return;
      seen.set(entryKey(entry), true);
      onEntry(entry);
    };
    const onText = byLine((line) => {
      try {
        readLine(line);
      } catch {
        nonsense.abort();
      }
    });
    const asked = Date.now();
    const since = `${Math.ceil((asked - heard + OVERLAP_MS) / 1_000)}s`;
    const words = ['decisions', '--watch', '--end-with-input', '-o', 'json', '--limit', String(MAX_LIMIT)];
    const ended = await exec.follow(
      agent.pod,
      [...words, '--since', since, ...filter],
      (text) => {
        if (!nonsense.signal.aborted) onText(text);
      },
      AbortSignal.any([signal, nonsense.signal]),
    );
    if (signal.aborted) return;
    if (Date.now() - asked > STEADY_MS) {
      waitMs = FIRST_WAIT_MS;
      isLost = false;
    }
    const problem = nonsense.signal.aborted
      ? 'it says what cannot be read: is it of another version?'
      : ended;
    if (!isLost) onLost(problem);
    isLost = true;
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    waitMs = Math.min(LONGEST_WAIT_MS, 2 * waitMs);
  }
}

/** Text in any pieces as whole lines. A line without an end is handed on when it becomes too long. */
function byLine(onLine: (line: string) => void): (text: string) => void {
  let rest = '';
  return (text) => {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > MAX_LINE) lines.push(rest);
    for (const line of lines) if (line !== '') onLine(line);
  };
}
