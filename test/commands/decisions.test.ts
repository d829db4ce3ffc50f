import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DecisionsFlags, listDecisions } from '../../agent/commands/decisions.ts';
import { cutNote } from '../../agent/commands/limit.ts';
import type { OutputFormat } from '../../agent/commands/output.ts';
import { CommandError } from '../../agent/errors.ts';
import { openDecisions } from '../../agent/records/decisions.ts';
import { decision, stateDirectory } from './state.ts';

let state: ReturnType<typeof stateDirectory>;

beforeAll(() => {
  state = stateDirectory();
});

afterAll(() => state.remove());

type Listed = { namespace: string; verdict: string; time: string };

async function printed(flags: DecisionsFlags, output: OutputFormat = 'table', pod?: string): Promise<string> {
  const parts: string[] = [];
  await listDecisions(state, flags, { output, pod, print: (part) => void parts.push(part) });
  return parts.join('');
}

async function listed(flags: DecisionsFlags, pod?: string): Promise<Listed[]> {
  return JSON.parse(await printed(flags, 'json', pod));
}

describe('decisions', () => {
  it('come with the newest first', async () => {
    const times = (await listed({})).map(({ time }) => Date.parse(time));
    expect(times).toHaveLength(3);
    expect(times).toEqual([...times].sort((a, b) => b - a));
  });

  it('can be narrowed to denied ones, a namespace, a time, a pod and a number', async () => {
    expect((await listed({ denied: true })).map(({ verdict }) => verdict)).toEqual(['denied', 'denied']);
    expect(await listed({ namespace: 'team-c' })).toHaveLength(1);
    expect(await listed({ since: '1h' })).toHaveLength(2);
    expect(await listed({ since: '20m' })).toHaveLength(1);
    expect(await listed({ since: '1d' })).toHaveLength(3);
    expect(await listed({ limit: '1' })).toHaveLength(1);
    for (const pod of ['web', 'pod/web', 'pods/web']) expect(await listed({}, pod)).toHaveLength(3);
    expect(await listed({}, 'pod/other')).toEqual([]);
    expect(await listed({ allNamespaces: true })).toHaveLength(3);
  });

  it('are one line each in a table, whatever tenants wrote', async () => {
    const text = await printed({}, 'wide');
    expect(text.trimEnd().split('\n')).toHaveLength(4);
    expect(text).toContain('evil\\u001b[2J\\nallowed');
    expect(text).toContain('stop: stopped');
  });

  it('say how long ago they were, and the exact time in the wide table', async () => {
    expect(await printed({ denied: true })).toMatch(/^AGE .*\n15m .*\n30m /);
    expect(await printed({ denied: true }, 'wide')).toMatch(/\d{4}-\d\d-\d\dT.*Z/);
  });

  it('can be names of pods, each once', async () => {
    expect(await printed({}, 'name')).toBe('pod/web\n');
  });

  it('say in words that there are none, and that there are more', async () => {
    expect(await printed({ denied: true, since: '1m', namespace: 'team-b' })).toBe(
      '(no denied decisions in namespace team-b in the last 1m)\n',
    );
    expect(await printed({ limit: '2' })).toMatch(/\n\(2 of 3; --limit shows more\)\n$/);
    expect(await printed({ limit: '3' })).not.toContain('--limit');
    expect(await printed({ limit: '2' }, 'json')).not.toContain('--limit');
  });

  it('say how many there are in groups of three digits', () => {
    expect(cutNote(100, 2_340)).toBe('(100 of 2,340; --limit shows more)\n');
    expect(cutNote(100, 20_000, true)).toBe('(100 of 20,000 or more; --limit shows more)\n');
  });

  it('fit a terminal of 80 columns, with the verdict in colour', async () => {
    const parts: string[] = [];
    const print = Object.assign((part: string) => void parts.push(part), {
      terminal: { columns: 80, color: true },
    });
    await listDecisions(state, {}, { output: 'table', print });
    const text = parts.join('');
    const lines = stripVTControlCharacters(text).trimEnd().split('\n');
    expect(text).toContain('\u001b[31mdenied\u001b[39m');
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(text).toContain('team-a/app:1');
  });

  it.each([
    [{ since: 'yesterday' }],
    [{ since: '1w' }],
    [{ limit: '0' }],
    [{ limit: '1.5' }],
    [{ limit: 'all' }],
    [{ namespace: 'a', allNamespaces: true }],
  ])('refuse %j', async (flags) => {
    await expect(listed(flags)).rejects.toThrow(CommandError);
  });

  it('are not there where no agent has run, which is no fault of a database', async () => {
    const nowhere = { stateDir: `${state.stateDir}/nowhere` };
    await expect(listDecisions(nowhere, {}, { output: 'table', print: () => {} })).rejects.toMatchObject({
      reason: 'noAgentYet',
    });
  });
});

describe('decisions --watch', () => {
  it('shows what is there, the oldest first, and then each that comes, once', async () => {
    const ended = new AbortController();
    const lines: string[] = [];
    const came = Promise.withResolvers<void>();
    const watching = listDecisions(
      state,
      { watch: true, namespace: 'team-w' },
      {
        output: 'json',
        signal: ended.signal,
        print(part) {
          lines.push(...part.trimEnd().split('\n'));
          if (lines.length === 2) came.resolve();
        },
      },
    );
    const trail = openDecisions(state.stateDir);
    trail.append(decision({ time: Date.now(), namespace: 'team-w', container: 'first' }));
    trail.append(decision({ time: Date.now(), namespace: 'team-w', container: 'second' }));
    trail.close();
    await came.promise;
    ended.abort();
    await watching;
    expect(lines.map((line) => JSON.parse(line).container)).toEqual(['first', 'second']);
  });

  it('ends with its standard input where it is told so, so that nothing stays behind in a pod', async () => {
    const command = ['agent/main.ts', 'decisions', '--watch', '--end-with-input', '-o', 'json'];
    const child = spawn(process.execPath, [...command, '--state-dir', state.stateDir], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const ended = once(child, 'exit');
    await once(child.stdout, 'data');
    child.stdin.end();
    expect(await ended).toEqual([0, null]);
  });
});
