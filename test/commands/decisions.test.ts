import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type DecisionsFlags, listDecisions } from '../../agent/commands/decisions.ts';
import { CommandError } from '../../agent/errors.ts';
import { stateDirectory } from './state.ts';

let state: ReturnType<typeof stateDirectory>;

beforeAll(() => {
  state = stateDirectory();
});

afterAll(() => state.remove());

function listed(flags: DecisionsFlags): { namespace: string; verdict: string; time: string }[] {
  let text = '';
  listDecisions(state, flags, { output: 'json', print: (part) => (text += part) });
  return JSON.parse(text);
}

describe('decisions', () => {
  it('come with the newest first', () => {
    const times = listed({}).map(({ time }) => Date.parse(time));
    expect(times).toHaveLength(3);
    expect(times).toEqual([...times].sort((a, b) => b - a));
  });

  it('can be narrowed to denied ones, a namespace, a time and a number', () => {
    expect(listed({ denied: true }).map(({ verdict }) => verdict)).toEqual(['denied', 'denied']);
    expect(listed({ namespace: 'team-c' })).toHaveLength(1);
    expect(listed({ since: '1h' })).toHaveLength(2);
    expect(listed({ since: '20m' })).toHaveLength(1);
    expect(listed({ limit: '1' })).toHaveLength(1);
  });

  it('are one line each in a table, whatever tenants wrote', () => {
    let text = '';
    listDecisions(state, {}, { output: 'table', print: (part) => (text += part) });
    expect(text.trimEnd().split('\n')).toHaveLength(4);
    expect(text).toContain('evil\\u001b[2J\\nallowed');
    expect(text).toContain('stop: stopped');
  });

  it.each([{ since: '1d' }, { since: 'yesterday' }, { limit: '0' }, { limit: '1.5' }, { limit: 'all' }])(
    'refuse %j',
    (flags) => {
      expect(() => listed(flags)).toThrow(CommandError);
    },
  );
});
