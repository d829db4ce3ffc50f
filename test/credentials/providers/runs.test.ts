import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { createTurns, inTurn } from '../../../agent/credentials/providers/plugin-turns.ts';
import { ProviderError } from '../../../agent/errors.ts';
import { answer, IMAGE, POD, prints, reasonsOf, SECRET, TOKEN_ATTRIBUTES, testNode } from '../test-node.ts';

const COUNT = 'echo run >> "$FOLDER/runs"\n';

describe('how often a plugin is run', () => {
  it('not at all before anybody asks, and not for another registry', async () => {
    const node = testNode();
    node.configure({ ecr: {} });
    node.install('ecr', COUNT + prints(answer()));
    await node.credentials.status();
    await node.credentials.offerFor('docker.io/library/busybox', POD);
    expect(() => node.read('runs')).toThrow('ENOENT');
  });

  it('once for pods that ask at the same time', async () => {
    const node = testNode();
    node.configure({ ecr: {} });
    // Ends only once all have asked.
    node.install('ecr', `${COUNT}while [ ! -e "$FOLDER/go" ]; do sleep 0.1; done\n${prints(answer())}`);
    const asking = Promise.all(
      ['a', 'b', 'c'].map((name) => node.credentials.offerFor(IMAGE, { ...POD, name })),
    );
    await vi.waitFor(() => node.read('runs'), 10_000);
    node.write('go', '');
    for (const { credentials } of await asking) expect(credentials).toHaveLength(1);
    expect(node.read('runs')).toBe('run\n');
  });

  it('once for as long as its answer is good', async () => {
    const node = testNode();
    node.configure({ ecr: {} });
    node.install('ecr', COUNT + prints(answer(undefined, { cacheDuration: '1h', cacheKeyType: 'Registry' })));
    await node.credentials.offerFor(IMAGE, POD);
    const { credentials } = await node.credentials.offerFor('reg.example.com/another', POD);
    expect(credentials).toMatchObject([{ source: { kind: 'node', provider: 'ecr' } }]);
    expect(node.read('runs')).toBe('run\n');
  });

  it('not again at once after a failure, but for another namespace', async () => {
    const node = testNode();
    node.configure({ ecr: {} });
    node.install('ecr', `${COUNT}exit 1`);
    for (const namespace of ['team-a', 'team-a', 'team-b']) {
      expect(reasonsOf(await node.credentials.offerFor(IMAGE, { ...POD, namespace }))).toEqual([
        'exitedNonZero',
      ]);
    }
    expect(node.read('runs')).toBe('run\nrun\n');
  });
});

describe('a plugin whose answer is of no use', () => {
  it.each([
    [
      'with an unknown cache key type',
      {},
      answer(undefined, { cacheKeyType: 'Repository' }),
      'cacheKeyTypeInvalid',
    ],
    ['with the token in it', { tokenAttributes: TOKEN_ATTRIBUTES }, answer(), 'tokenEchoed'],
  ])('%s is not run again at once', async (_, provider, text, reason) => {
    const node = testNode({
      serviceAccounts: {
        getServiceAccount: async () => ({ uid: 'sa-uid', annotations: new Map() }),
        requestToken: async () => ({ token: SECRET, expirationMs: Date.now() + 3_600_000 }),
      },
    });
    node.configure({ bad: provider });
    node.install('bad', COUNT + prints(text));
    for (const namespace of ['team-a', 'team-a', 'team-b']) {
      expect(reasonsOf(await node.credentials.offerFor(IMAGE, { ...POD, namespace }))).toEqual([reason]);
    }
    expect(node.read('runs')).toBe('run\nrun\n');
  });
});

describe('the turns of plugins', () => {
  const asker = { registry: 'reg.example.com', namespace: 'team-a' };
  const request = { image: IMAGE, serviceAccountToken: '', serviceAccountAnnotations: undefined };

  it('are four at once', async () => {
    const turns = createTurns();
    const running: (() => void)[] = [];
    const all = Array.from({ length: 6 }, () =>
      turns(asker, () => new Promise<void>((resolve) => running.push(resolve))),
    );
    await nextTurn();
    expect(running).toHaveLength(4);
    running[0]?.();
    await vi.waitFor(() => expect(running).toHaveLength(5));
    running[1]?.();
    await vi.waitFor(() => expect(running).toHaveLength(6));
    for (const end of running) end();
    await Promise.all(all);
  });

  it('come back after 2 s, then 4 s, and up to a minute; a good answer ends that', async () => {
    let clock = 0;
    let fails = true;
    const runs: number[] = [];
    const plugin = inTurn(
      {
        async run() {
          runs.push(clock);
          if (fails) throw new ProviderError('exitedNonZero', 'failed');
          return { cacheKeyType: 'Image', cacheDuration: undefined, auth: undefined };
        },
      },
      (_, work) => work(),
      () => clock,
    );
    const ask = () => plugin.run(request, asker).catch(() => {});
    for (; clock <= 200_000; clock += 1_000) await ask();
    expect(runs.slice(0, 5).map((at) => at / 1_000)).toEqual([0, 2, 6, 14, 30]);
    expect(new Set(runs.slice(6).map((at, n) => at - (runs[n + 5] ?? 0)))).toEqual(new Set([60_000]));
    fails = false;
    clock += 60_000;
    await ask();
    fails = true;
    const before = runs.length;
    await ask();
    clock += 2_000;
    await ask();
    expect(runs.length - before).toBe(2);
  });
});
