import { describe, expect, it } from 'vitest';
import {
  createShares,
  type Shares,
  type SharesSettings,
  type Turn,
} from '../../../agent/access/proof/shares.ts';
import { held } from './scene.ts';

const settings: SharesSettings = { perRegistry: 1, perNamespace: 1, maxWaiting: 100 };
const turnOf = (namespace: string, changes: Partial<Turn> = {}): Turn => ({
  registry: 'reg.example',
  namespace,
  urgent: true,
  ...changes,
});

/** Shares with a clock that the test moves, and the order in which work began. */
function sceneOf(changes: Partial<SharesSettings> = {}) {
  const clock = { now: 0 };
  const shares = createShares({ ...settings, ...changes }, () => clock.now);
  const began: string[] = [];
  /** Takes its turn, and from then on this many milliseconds. */
  const ask = (what: string, turn: Turn, takesMs = 0, isGranted = true) =>
    shares.take(
      turn,
      async () => {
        began.push(what);
        clock.now += takesMs;
        return what;
      },
      () => isGranted,
    );
  return { shares, clock, began, ask };
}

/** Holds the only place of a registry, so that all that comes after it waits. */
function hold(shares: Shares, turn: Turn): () => Promise<void> {
  const { work, end } = held<'done'>();
  const taken = shares.take(turn, work, () => true);
  return async () => {
    end('done');
    await taken;
  };
}

describe('who goes next', () => {
  it('a tenant whose questions are refused waits behind one whose are granted, however many it has', async () => {
    const { shares, began, ask } = sceneOf();
    const release = hold(shares, turnOf('holder'));
    const abuse = Array.from({ length: 5 }, (_, n) => ask(`abuser ${n}`, turnOf('abuser'), 0, false));
    const good = Array.from({ length: 3 }, (_, n) => ask(`good ${n}`, turnOf('good')));
    await release();
    await Promise.all([...abuse, ...good]);
    expect(began.slice(0, 4)).toEqual(['abuser 0', 'good 0', 'good 1', 'good 2']);
  });

  it('a tenant whose questions take long does so as well', async () => {
    const { shares, began, ask } = sceneOf();
    const release = hold(shares, turnOf('holder'));
    const slow = Array.from({ length: 3 }, (_, n) => ask(`slow ${n}`, turnOf('slow'), 900));
    const quick = Array.from({ length: 3 }, (_, n) => ask(`quick ${n}`, turnOf('quick'), 100));
    await release();
    await Promise.all([...slow, ...quick]);
    expect(began).toEqual(['slow 0', 'quick 0', 'quick 1', 'quick 2', 'slow 1', 'slow 2']);
  });

  it('one that comes late starts level with those that are there, and does not overtake them for long', async () => {
    const { shares, began, ask } = sceneOf();
    const release = hold(shares, turnOf('holder'));
    const early = [ask('early 0', turnOf('early'), 100), ask('early 1', turnOf('early'), 100)];
    await release();
    await early[0];
    const late = [ask('late 0', turnOf('late'), 100), ask('late 1', turnOf('late'), 100)];
    await Promise.all([...early, ...late]);
    expect(began.indexOf('early 1')).toBeLessThan(began.indexOf('late 1'));
  });

  it('within a tenant, containers that start now go before those that ran already', async () => {
    const { shares, began, ask } = sceneOf();
    const release = hold(shares, turnOf('holder'));
    const asked = [
      ask('ran 0', turnOf('team-a', { urgent: false })),
      ask('starts 0', turnOf('team-a')),
      ask('ran 1', turnOf('team-a', { urgent: false })),
      ask('starts 1', turnOf('team-a')),
    ];
    await release();
    await Promise.all(asked);
    expect(began).toEqual(['starts 0', 'starts 1', 'ran 0', 'ran 1']);
  });
});

describe('how many at once', () => {
  it('one tenant never takes all places of a registry', async () => {
    const { shares, began, ask } = sceneOf({ perRegistry: 2, perNamespace: 1 });
    const release = hold(shares, turnOf('abuser'));
    const waiting = ask('abuser', turnOf('abuser'));
    await ask('good', turnOf('good'));
    expect(began).toEqual(['good']);
    await release();
    await waiting;
  });

  it('a registry that has been silent for two seconds is asked one thing at a time, another one is not', async () => {
    const { shares, clock, began, ask } = sceneOf({ perRegistry: 4, perNamespace: 4 });
    const release = hold(shares, turnOf('team-a'));
    clock.now = 2_001;
    const waiting = ask('silent', turnOf('team-b'));
    await ask('other', turnOf('team-b', { registry: 'other.example' }));
    expect(began).toEqual(['other']);
    await release();
    await waiting;
    expect(began).toEqual(['other', 'silent']);
  });

  it('what waits of one tenant, over all registries, is bounded, and costs no other tenant its place', async () => {
    const { shares, ask } = sceneOf({ maxWaiting: 2 });
    const registries = ['a.example', 'b.example'];
    const releases = registries.map((registry) => hold(shares, turnOf('holder', { registry })));
    const kept = registries.map((registry) => ask(registry, turnOf('abuser', { registry })));
    expect(await ask('too much', turnOf('abuser', { registry: 'a.example' }))).toBeUndefined();
    const good = ask('good', turnOf('good', { registry: 'a.example' }));
    for (const release of releases) await release();
    expect(await Promise.all([...kept, good])).toEqual(['a.example', 'b.example', 'good']);
    expect(await ask('again', turnOf('abuser', { registry: 'a.example' }))).toBe('again');
  });

  it('work that throws gives its place back', async () => {
    const { shares, ask } = sceneOf();
    const broken = shares.take(
      turnOf('team-a'),
      () => Promise.reject(new Error('broken')),
      () => true,
    );
    await expect(broken).rejects.toThrow('broken');
    expect(await ask('next', turnOf('team-a'))).toBe('next');
  });
});
