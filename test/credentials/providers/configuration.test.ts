import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  allThatIsSaid,
  answer,
  IMAGE,
  POD,
  prints,
  providerConfig,
  SECRET,
  type TestNode,
  testNode,
} from '../test-node.ts';

async function usersOffered(node: TestNode): Promise<readonly string[]> {
  const { credentials } = await node.credentials.offerFor(IMAGE, POD);
  return credentials.map(({ credential }) => credential.username);
}

function installFor(node: TestNode, ...names: string[]): void {
  for (const name of names) {
    node.install(name, prints(answer({ 'reg.example.com': { username: name, password: SECRET } })));
  }
}

describe('a configuration that changes', () => {
  it('is read again, and what it no longer names is not asked', async () => {
    const node = testNode();
    installFor(node, 'old', 'new');
    node.configure({ old: {} });
    expect(await usersOffered(node)).toEqual(['old']);
    node.configure({ new: {} });
    expect(await usersOffered(node)).toEqual(['new']);
  });

  it('is read from all files of its folder, also one that comes later', async () => {
    const node = testNode();
    installFor(node, 'one', 'two');
    node.configure({ one: {} });
    expect(await usersOffered(node)).toEqual(['one']);
    node.write('config/more.yaml', JSON.stringify(providerConfig({ two: {} }), null, 1));
    expect(await usersOffered(node)).toEqual(['one', 'two']);
  });

  it('is read again where it was replaced by a file of the same size and age', async () => {
    const node = testNode();
    installFor(node, 'aaa', 'bbb');
    node.configure({ aaa: {} });
    expect(await usersOffered(node)).toEqual(['aaa']);
    node.write('next.json', JSON.stringify(providerConfig({ bbb: {} })));
    renameSync(join(node.folder, 'next.json'), join(node.folder, 'config/config.json'));
    expect(await usersOffered(node)).toEqual(['bbb']);
  });

  it('keeps the answers that are still good where only its date has changed', async () => {
    const node = testNode();
    node.configure({ ecr: {} });
    node.install('ecr', `echo run >> "$FOLDER/runs"\n${prints(answer(undefined, { cacheDuration: '1h' }))}`);
    await usersOffered(node);
    node.configure({ ecr: {} });
    await usersOffered(node);
    expect(node.read('runs')).toBe('run\n');
  });
});

describe('a configuration that is bad', () => {
  const breakIt: readonly (readonly [string, (node: TestNode) => void, string])[] = [
    ['is no YAML', (node) => node.write('config/b.yaml', `a: [${SECRET}`), 'malformed'],
    ['is of another kind', (node) => node.write('config/b.yaml', `kind: ${SECRET}`), 'malformed'],
    [
      'has a secret in a variable, and a fault beside it',
      (node) => node.configure({ ecr: { env: [{ name: 'TOKEN', value: SECRET }], matchImages: [] } }),
      'invalid',
    ],
    [
      'has a number for the value of a variable',
      (node) => node.configure({ ecr: { env: [{ name: 'PORT', value: 8080 }] } }),
      'malformed',
    ],
    [
      'names a provider twice',
      (node) => node.write('config/b.json', JSON.stringify(providerConfig({ ecr: {} }))),
      'duplicateName',
    ],
    [
      'has a file that cannot be read',
      (node) => symlinkSync('/nowhere/secrets.yaml', join(node.folder, 'config/b.yaml')),
      'unreadable',
    ],
    [
      'has a file that never ends',
      (node) => symlinkSync('/dev/zero', join(node.folder, 'config/b.yaml')),
      'unreadable',
    ],
    ['has a file of 2 MiB', (node) => node.write('config/b.yaml', ' '.repeat(2 * 1_048_576)), 'tooLarge'],
    ['has aliases that stand for billions', (node) => node.write('config/b.yaml', aliasBomb()), 'malformed'],
    [
      'is an empty folder',
      (node) => {
        rmSync(join(node.folder, 'config/config.json'));
        mkdirSync(join(node.folder, 'config/sub.yaml'));
      },
      'noFiles',
    ],
    [
      'is not there any more',
      (node) => rmSync(join(node.folder, 'config'), { recursive: true }),
      'unreadable',
    ],
  ];

  it.each(breakIt)('%s: the last good one stays in force, and it is said', async (_, change, reason) => {
    const node = testNode();
    installFor(node, 'ecr');
    node.configure({ ecr: {} });
    expect(await usersOffered(node)).toEqual(['ecr']);
    change(node);
    const offer = await node.credentials.offerFor(IMAGE, POD);
    expect(offer.credentials).toHaveLength(1);
    expect(offer.problems).toMatchObject([{ configPath: join(node.folder, 'config'), error: { reason } }]);
    expect((await node.credentials.status()).configProblem?.reason).toBe(reason);
    expect(await allThatIsSaid(node, offer)).not.toContain(SECRET);
  });

  it.each(breakIt)('%s, from the start: nothing is offered, and it is said', async (_, change, reason) => {
    const node = testNode();
    node.configure({ ecr: {} });
    change(node);
    const { credentials, problems } = await node.credentials.offerFor(IMAGE, POD);
    expect(credentials).toEqual([]);
    expect(problems).toMatchObject([{ error: { reason } }]);
  });

  it('is good again when it is put right', async () => {
    const node = testNode();
    installFor(node, 'ecr');
    node.write('config/config.json', '{');
    expect(await usersOffered(node)).toEqual([]);
    node.configure({ ecr: {} });
    expect(await node.credentials.offerFor(IMAGE, POD)).toMatchObject({ credentials: [{}], problems: [] });
  });
});

function aliasBomb(): string {
  const levels = Array.from({ length: 30 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}, *a${n}]`);
  return ['a0: &a0 [x]', ...levels].join('\n');
}
