import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { createAllowance } from '../../../agent/access/bytes/allowance.ts';

/** Work that ends when told. */
function held() {
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { work: () => ended, end };
}

describe('the bytes of a namespace', () => {
  it('are so many an hour, counted from its first one', () => {
    let clock = 0;
    const allowance = createAllowance({ bytesPerHour: 100 }, () => clock);
    allowance.spend('team-a', 70);
    clock += 1_800_000;
    allowance.spend('team-a', 20);
    expect([allowance.left('team-a'), allowance.left('team-b')]).toEqual([10, 100]);
    allowance.spend('team-a', 50);
    expect(allowance.left('team-a')).toBe(0);
    clock += 1_800_000;
    expect(allowance.left('team-a')).toBe(100);
  });
});

describe('places', () => {
  it('two at a time, of different registries and for different namespaces', async () => {
    const allowance = createAllowance({ bytesPerHour: 1 }, () => 0);
    const started: string[] = [];
    const [first, second] = [held(), held()];
    const enter = (registry: string, namespace: string, work: () => Promise<void> = async () => {}) =>
      allowance.inPlace({ registry, namespace }, () => {
        started.push(`${registry} ${namespace}`);
        return work();
      });
    void enter('a', 'x', first.work);
    void enter('a', 'y');
    void enter('b', 'x');
    void enter('b', 'y', second.work);
    void enter('c', 'z');
    expect(started).toEqual(['a x', 'b y']);
    second.end();
    await vi.waitFor(() => expect(started).toEqual(['a x', 'b y', 'c z']));
    first.end();
    await vi.waitFor(() => expect(started).toContain('a y'));
    await vi.waitFor(() => expect(started).toContain('b x'));
  });

  it('are given back by work that fails, and its failure is told', async () => {
    const allowance = createAllowance({ bytesPerHour: 1 }, () => 0);
    const who = { registry: 'a', namespace: 'x' };
    await expect(allowance.inPlace(who, () => Promise.reject(new Error('away')))).rejects.toThrow('away');
    await expect(allowance.inPlace(who, async () => 'done')).resolves.toBe('done');
  });

  it('who dawdles gives its place to the next, and never holds up others', async () => {
    const allowance = createAllowance({ bytesPerHour: 1, placeMs: 5 }, () => 0);
    const slow = [held(), held()];
    for (const [n, { work }] of slow.entries())
      void allowance.inPlace({ registry: `slow${n}`, namespace: `slow${n}` }, work);
    await expect(allowance.inPlace({ registry: 'a', namespace: 'x' }, async () => 'done')).resolves.toBe(
      'done',
    );
    for (const { end } of slow) end();
    await turn();
  });
});
