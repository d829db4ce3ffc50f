import { renameSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { allThatIsSaid, answer, IMAGE, POD, prints, SECRET, type TestNode, testNode } from '../test-node.ts';

function dockerConfig(username: string, key = 'reg.example.com'): string {
  return JSON.stringify({ auths: { [key]: { username, password: SECRET } } });
}

async function offered(node: TestNode) {
  const { credentials } = await node.credentials.offerFor(IMAGE, POD);
  return credentials.map(({ credential, source }) => [credential.username, source]);
}

describe("the node's docker config", () => {
  it('is offered before what the plugins answer, with the file as its source', async () => {
    const node = testNode();
    node.write('kubelet/config.json', dockerConfig('of-file'));
    node.configure({ ecr: {} });
    node.install(
      'ecr',
      prints(answer({ 'reg.example.com/team-a': { username: 'of-plugin', password: SECRET } })),
    );
    expect(await offered(node)).toEqual([
      ['of-file', { kind: 'node', file: join(node.folder, 'kubelet/config.json') }],
      ['of-plugin', { kind: 'node', provider: 'ecr' }],
    ]);
  });

  it('is read again when it has changed, appears or goes', async () => {
    const node = testNode();
    node.configure({ ecr: { matchImages: ['other.example.com'] } });
    expect(await offered(node)).toEqual([]);
    node.write('kubelet/config.json', dockerConfig('first'));
    expect(await offered(node)).toMatchObject([['first', {}]]);
    node.write('next', dockerConfig('again'));
    renameSync(join(node.folder, 'next'), join(node.folder, 'kubelet/config.json'));
    expect(await offered(node)).toMatchObject([['again', {}]]);
    renameSync(join(node.folder, 'kubelet/config.json'), join(node.folder, 'kubelet/.dockercfg'));
    expect(await offered(node)).toEqual([]);
    node.write(
      'kubelet/.dockercfg',
      JSON.stringify({ 'reg.example.com': { username: 'old-form', password: 'p' } }),
    );
    expect(await offered(node)).toMatchObject([['old-form', {}]]);
  });

  it.each([
    ['no JSON', SECRET],
    ['one bad entry', `{"auths":{"a":{"auth":"${SECRET}!"}}}`],
    ['2 MiB', ' '.repeat(2 * 1_048_576)],
  ])('is passed over where it is %s, and status says so without showing it', async (_, content) => {
    const node = testNode();
    node.configure({ ecr: { matchImages: ['other.example.com'] } });
    node.write('kubelet/config.json', content);
    node.write(
      'kubelet/.dockercfg',
      JSON.stringify({ 'reg.example.com': { username: 'old-form', password: 'p' } }),
    );
    expect(await offered(node)).toMatchObject([['old-form', {}]]);
    const { dockerConfig: found } = await node.credentials.status();
    expect(found).toMatchObject({
      file: join(node.folder, 'kubelet/.dockercfg'),
      problems: [{ file: join(node.folder, 'kubelet/config.json') }],
    });
    expect(await allThatIsSaid(node, await node.credentials.offerFor(IMAGE, POD))).not.toContain(SECRET);
  });
});

it('all plugins are asked at once, and their order stays that of the configuration', async () => {
  const node = testNode();
  node.configure({ first: {}, second: {} });
  const login = (username: string) => prints(answer({ 'reg.example.com': { username, password: SECRET } }));
  // Each waits for the other.
  node.install(
    'first',
    `touch "$FOLDER/a"; while [ ! -e "$FOLDER/b" ]; do sleep 0.05; done\n${login('first')}`,
  );
  node.install(
    'second',
    `touch "$FOLDER/b"; while [ ! -e "$FOLDER/a" ]; do sleep 0.05; done\n${login('second')}`,
  );
  expect((await offered(node)).map(([username]) => username)).toEqual(['first', 'second']);
});

it('one failing plugin takes nothing from the others', async () => {
  const node = testNode();
  node.configure({ bad: {}, good: {} });
  node.install('bad', 'exit 1');
  node.install('good', prints(answer()));
  const { credentials, problems } = await node.credentials.offerFor(IMAGE, POD);
  expect(credentials).toMatchObject([{ source: { kind: 'node', provider: 'good' } }]);
  expect(problems).toMatchObject([{ provider: 'bad', error: { reason: 'exitedNonZero' } }]);
});
