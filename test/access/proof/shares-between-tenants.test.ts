import { describe, expect, it } from 'vitest';
import { createShares, type SharesSettings, type Turn } from '../../../agent/access/proof/shares.ts';

type Work = { readonly name: string; readonly end: (isWelcome?: boolean) => Promise<void> };

/** Shares on a clock that is set by hand, and what they have begun, in order. */
function line(settings: Partial<SharesSettings> = {}) {
  let ms = 0;
  const begun: Work[] = [];
  const shares = createShares({ perRegistry: 4, perNamespace: 2, maxWaiting: 3, ...settings }, () => ms);
  return {
    begun: () => begun.map(({ name }) => name),
    ask(namespace: string, turn: Partial<Turn> = {}): Promise<boolean | undefined> {
      const name = `${namespace} ${turn.registry ?? 'reg'}`;
      return shares.take(
        { registry: 'reg', namespace, urgent: true, ...turn },
        () =>
          new Promise<boolean>((resolve) => {
            begun.push({
              name,
              async end(isWelcome = true) {
                resolve(isWelcome);
                // The next in line begins after this one's answer has been handed on.
                for (let turns = 0; turns < 5; turns += 1) await Promise.resolve();
              },
            });
          }),
        (isWelcome) => isWelcome,
      );
    },
    pass(by: number) {
      ms += by;
    },
    async end(n: number, isWelcome = true) {
      await begun[n]?.end(isWelcome);
    },
  };
}

describe('a registry that several namespaces ask', () => {
  it('is asked no more at once than it may be, and by one namespace no more than its part', () => {
    const { ask, begun } = line();
    for (const namespace of ['a', 'a', 'a', 'b', 'b', 'b', 'c']) void ask(namespace);
    expect(begun()).toEqual(['a reg', 'a reg', 'b reg', 'b reg']);
  });

  it('is asked next by the namespace that has had least of it, not by the one that came first', async () => {
    const { ask, begun, end, pass } = line({ perRegistry: 1, perNamespace: 1 });
    for (const namespace of ['a', 'a', 'a', 'b']) void ask(namespace);
    pass(100);
    await end(0);
    expect(begun()).toEqual(['a reg', 'b reg']);
  });

  it('puts a namespace behind whose questions are refused', async () => {
    const { ask, begun, end, pass } = line({ perRegistry: 1, perNamespace: 1 });
    for (const namespace of ['guesser', 'good', 'guesser', 'good', 'good']) void ask(namespace);
    pass(10);
    await end(0, false);
    pass(50);
    await end(1);
    pass(50);
    await end(2);
    expect(begun()).toEqual(['guesser reg', 'good reg', 'good reg', 'good reg']);
  });

  it('is asked one thing at a time once it has not answered for 2 s', () => {
    const { ask, begun, pass } = line();
    void ask('a');
    pass(2_001);
    void ask('b');
    expect(begun()).toEqual(['a reg']);
    void ask('b', { registry: 'other' });
    expect(begun()).toEqual(['a reg', 'b other']);
  });
});

describe('a namespace with too much waiting', () => {
  it('hears so at once, wherever it asks, and holds up nobody else', async () => {
    const { ask, begun } = line({ perRegistry: 1, perNamespace: 1 });
    for (let n = 0; n < 4; n += 1) void ask('a');
    await expect(ask('a')).resolves.toBeUndefined();
    await expect(ask('a', { registry: 'other' })).resolves.toBeUndefined();
    void ask('b', { registry: 'other' });
    expect(begun()).toEqual(['a reg', 'b other']);
  });
});
