import { describe, expect, it, vi } from 'vitest';
import {
  allThatIsSaid,
  answer,
  IMAGE,
  isRunning,
  POD,
  prints,
  reasonsOf,
  SECRET,
  type TestNode,
  TOKEN_ATTRIBUTES,
  testNode,
} from '../test-node.ts';

async function pidIn(node: TestNode, path: string): Promise<number> {
  return vi.waitFor(() => {
    const pid = Number(node.read(path));
    expect(pid).toBeGreaterThan(1);
    return pid;
  });
}

describe('a plugin that answers badly gives nothing, for one clear reason, and nothing of it is said', () => {
  const other = 'credentialprovider.kubelet.k8s.io/v1beta1';
  it.each([
    ['prints nothing', '', 'answerNotJson'],
    ['prints HTML', prints(`<html><body>login: ${SECRET}</body></html>`), 'answerNotJson'],
    ['prints a line of log before its answer', `echo ${SECRET}\n${prints(answer())}`, 'answerNotJson'],
    ['answers in another version', prints(answer(undefined, { apiVersion: other })), 'wrongVersion'],
    ['answers with another kind', prints(answer(undefined, { kind: SECRET })), 'answerMalformed'],
    ['has a field too many, named like a secret', prints(answer({}, { [SECRET]: 1 })), 'answerMalformed'],
    ['has a password that is no text', prints(answer({ x: { password: [SECRET] } })), 'answerMalformed'],
    ['has a duration that is none', prints(answer({}, { cacheDuration: SECRET })), 'answerMalformed'],
    [
      'has an unknown cache key type',
      prints(answer(undefined, { cacheKeyType: SECRET })),
      'cacheKeyTypeInvalid',
    ],
    ['prints 1 GiB', `yes ${SECRET} | head -c 1073741824`, 'outputTooLarge'],
    ['exits 1 with the password on stderr', `echo ${SECRET} >&2\n${prints(answer())}exit 1`, 'exitedNonZero'],
    ['exits 1 with 1 MiB on stderr', `yes ${SECRET} | head -c 1048576 >&2\nexit 1`, 'exitedNonZero'],
    ['is ended by a signal', `${prints(answer())}kill -TERM $$`, 'killed'],
  ])('%s', async (_, script, reason) => {
    const node = testNode();
    node.configure({ bad: {} });
    node.install('bad', script);
    const offer = await node.credentials.offerFor(IMAGE, POD);
    expect(offer.credentials).toEqual([]);
    expect(reasonsOf(offer)).toEqual([reason]);
    expect(node.runs.map(({ provider, outcome }) => [provider, outcome])).toEqual([['bad', reason]]);
    expect(await allThatIsSaid(node, offer)).not.toContain(SECRET);
  });

  it('echoes the token of a service account whose answers all its pods share', async () => {
    const node = testNode({
      serviceAccounts: {
        getServiceAccount: async () => ({ uid: 'sa-uid', annotations: new Map() }),
        requestToken: async () => ({ token: SECRET, expirationMs: Date.now() + 3_600_000 }),
      },
    });
    node.configure({ echo: { tokenAttributes: TOKEN_ATTRIBUTES } });
    node.install('echo', prints(answer()));
    const offer = await node.credentials.offerFor(IMAGE, POD);
    expect(offer.credentials).toEqual([]);
    expect(reasonsOf(offer)).toEqual(['tokenEchoed']);
    expect(node.runs.map(({ provider, outcome }) => [provider, outcome])).toEqual([['echo', 'tokenEchoed']]);
    const [status] = (await node.credentials.status()).providers;
    expect(status?.lastRun?.outcome).toBe('tokenEchoed');
    expect(await allThatIsSaid(node, offer)).not.toContain(SECRET);
  });

  it('has host keys that lead elsewhere by ".."', async () => {
    const node = testNode();
    node.configure({ dots: {} });
    const login = { username: 'u', password: SECRET };
    const keys = ['reg.example.com/other/../team-a', '../reg.example.com', 'reg.example.com/..', '..'];
    node.install('dots', prints(answer(Object.fromEntries(keys.map((key) => [key, login])))));
    expect(await node.credentials.offerFor(IMAGE, POD)).toEqual({
      credentials: [],
      problems: [],
      passedOver: [],
    });
  });
});

describe('a plugin that cannot be run', () => {
  it.each([
    ['is missing', undefined, 0, 'binaryMissing'],
    ['may not be executed', '#!/bin/sh\n', 0o644, 'binaryNotExecutable'],
    ['is no program', 'echo hello\n', 0o755, 'binaryNotExecutable'],
    ['has no interpreter', '#!/nowhere/sh\n', 0o755, 'binaryMissing'],
  ])('%s', async (_, text, mode, reason) => {
    const { chmodSync } = await import('node:fs');
    const node = testNode();
    node.configure({ absent: {} });
    if (text !== undefined) {
      node.write('bin/absent', text);
      chmodSync(`${node.folder}/bin/absent`, mode);
    }
    expect(reasonsOf(await node.credentials.offerFor(IMAGE, POD))).toEqual([reason]);
  });

  it('is found by status before it is asked, without being run', async () => {
    const node = testNode();
    node.configure({ absent: {}, present: {} });
    node.install('present', 'touch "$FOLDER/ran"');
    const { providers } = await node.credentials.status();
    expect(providers.map(({ name, file }) => [name, file.problem?.reason])).toEqual([
      ['absent', 'binaryMissing'],
      ['present', undefined],
    ]);
    expect(() => node.read('ran')).toThrow('ENOENT');
  });
});

describe('a plugin at its time limit', () => {
  it('is ended with all that it has started', async () => {
    const node = testNode({ timeoutMs: 1_500 });
    node.configure({ slow: {} });
    node.install('slow', 'sleep 1000 &\necho $! > "$FOLDER/child"\necho $$ > "$FOLDER/pid"\nsleep 1000');
    const offer = await node.credentials.offerFor(IMAGE, POD);
    expect(reasonsOf(offer)).toEqual(['timedOut']);
    const pids = await Promise.all(['pid', 'child'].map((path) => pidIn(node, path)));
    await vi.waitFor(() => expect(pids.filter(isRunning)).toEqual([]), 5_000);
  });

  it('is not let off by a child that holds its output after it has ended', async () => {
    const node = testNode({ timeoutMs: 1_500 });
    node.configure({ fork: {} });
    node.install('fork', `sleep 1000 &\necho $! > "$FOLDER/child"\n${prints(answer())}`);
    const offer = await node.credentials.offerFor(IMAGE, POD);
    expect(reasonsOf(offer)).toEqual(['timedOut']);
    const child = await pidIn(node, 'child');
    await vi.waitFor(() => expect(isRunning(child)).toBe(false), 5_000);
  });

  it('does not hold the agent up by a child that has left its process group', async () => {
    const node = testNode({ timeoutMs: 1_500 });
    node.configure({ daemon: {} });
    node.install(
      'daemon',
      `setsid sh -c 'echo $$ > "'"$FOLDER"'/child"; exec sleep 1000' &\n${prints(answer())}`,
    );
    const offer = await node.credentials.offerFor(IMAGE, POD);
    expect(reasonsOf(offer)).toEqual(['timedOut']);
    process.kill(await pidIn(node, 'child'), 'SIGKILL');
  });
});

it('a plugin that leaves something running after a good answer loses that', async () => {
  const node = testNode();
  node.configure({ leaves: {} });
  node.install(
    'leaves',
    `sleep 1000 </dev/null >/dev/null 2>&1 &\necho $! > "$FOLDER/child"\n${prints(answer())}`,
  );
  const offer = await node.credentials.offerFor(IMAGE, POD);
  expect(offer.credentials).toHaveLength(1);
  const child = await pidIn(node, 'child');
  await vi.waitFor(() => expect(isRunning(child)).toBe(false), 5_000);
});

it('plugins that run when the agent ends are ended', async () => {
  const node = testNode();
  node.configure({ slow: {} });
  node.install('slow', 'echo $$ > "$FOLDER/pid"\nsleep 1000');
  const pending = node.credentials.offerFor(IMAGE, POD);
  const pid = await pidIn(node, 'pid');
  node.credentials.close();
  expect(reasonsOf(await pending)).toEqual(['closed']);
  await vi.waitFor(() => expect(isRunning(pid)).toBe(false), 5_000);
});
