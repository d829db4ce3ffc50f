import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { type PushedImage, pushImage } from '../../scripts/lab/push.ts';
import type { Tenant, Wanted } from '../../scripts/story/tenants.ts';
import { newest, openScene, type Scene } from './scene.ts';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const run = promisify(execFile);

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** A subcommand as a process of its own. */
/** No cluster, and nobody's kubeconfig. */
const nowhere = { PATH: process.env.PATH, HOME: '/nowhere' };

async function pullwarden(...args: string[]): Promise<Ran> {
  try {
    return { code: 0, ...(await run(process.execPath, [main, ...args], { env: nowhere })) };
  } catch (error) {
    return z.object({ code: z.number(), stdout: z.string(), stderr: z.string() }).parse(error);
  }
}

describe('verdicts on a real node', { timeout: 180_000 }, () => {
  let scene: Scene;
  let pushed: PushedImage;
  let privateImage: string;
  let publicCopy: string;
  let ask: (
    tenant: Tenant,
    image: string,
    imagePullPolicy?: Wanted['imagePullPolicy'],
  ) => Omit<Wanted, 'name'>;
  const verdictOf = async (wanted: Omit<Wanted, 'name'>) => {
    const { id } = await scene.run(wanted);
    const { verdict, reason } = await scene.agent().verdictOf(id);
    return { id, said: `${verdict} ${reason}` };
  };
  const restart = async (...flags: string[]): Promise<void> => {
    await scene.agent().stop();
    await scene.startAgent(...flags);
  };

  beforeAll(async () => {
    scene = await openScene(newest());
    const { htpasswd, anonymous } = scene.node.registries;
    privateImage = `${htpasswd.host}/team-a/app:1`;
    publicCopy = `${anonymous.host}/public/copy:1`;
    ask = (tenant, image, imagePullPolicy = 'IfNotPresent') => ({
      tenant,
      image,
      imagePullPolicy,
      registry: htpasswd,
    });
    await pushImage(anonymous, 'public/base', '1', { salt: 'base' });
    await scene.node.kubelet.pullImage(`${anonymous.host}/public/base:1`);
    // On the node from the start as well, but used by no container before the tests that need them.
    for (const unused of ['unused-1', 'unused-2']) {
      await pushImage(anonymous, `public/${unused}`, '1', { salt: unused });
      await scene.node.kubelet.pullImage(`${anonymous.host}/public/${unused}:1`);
    }
    await scene.startAgent('--mode', 'enforce');
    pushed = await pushImage(htpasswd, 'team-a/app', '1', { salt: 'verdicts' });
    await scene.node.kubelet.pullImage(privateImage, scene.tenants.a.login);
  }, 180_000);

  afterAll(async () => scene.stop(), 60_000);

  it('what was on the node when the agent first ran there is open to all, what came later is not', async () => {
    const { b } = scene.tenants;
    const base = `${scene.node.registries.anonymous.host}/public/base:1`;
    expect((await verdictOf(ask(b, base, 'Never'))).said).toBe('allowed preloaded');
    expect((await verdictOf(ask(b, privateImage, 'Never'))).said).toBe('denied neverWithoutRecord');
  });

  it('an image named by its id has to be granted under one of its names', async () => {
    const { a, b } = scene.tenants;
    const byId = pushed.configDigest;
    const ofB = await verdictOf(ask(b, byId));
    expect(ofB.said).toBe('denied imageMismatch');
    await scene.ended(ofB.id);
    expect((await verdictOf(ask(a, byId))).said).toBe('allowed repullSucceeded');
    expect((await verdictOf(ask(a, byId, 'Never'))).said).toBe('allowed recordMatched');
  });

  it('the same content under a public name is open under that name only', async () => {
    const { b } = scene.tenants;
    const copied = await pushImage(scene.node.registries.anonymous, 'public/copy', '1', { salt: 'verdicts' });
    expect(copied.configDigest).toBe(pushed.configDigest);
    expect((await verdictOf(ask(b, publicCopy))).said).toBe('allowed repullSucceeded');
    expect((await verdictOf(ask(b, privateImage))).said).toBe('denied registryRefused');
    expect((await verdictOf(ask(b, publicCopy, 'Never'))).said).toBe('allowed recordMatched');
  });

  it('a container is judged by the content it uses, although its tag means something else by now', async () => {
    const { a, b } = scene.tenants;
    const { htpasswd } = scene.node.registries;
    const tagged = `${htpasswd.host}/team-a/moving:1`;
    await pushImage(htpasswd, 'team-a/moving', '1', { salt: 'before' });
    const first = await verdictOf(ask(a, tagged));
    expect(first.said).toBe('allowed repullSucceeded');
    const newer = await pushImage(htpasswd, 'team-a/moving', '1', { salt: 'after' });
    expect(await scene.node.kubelet.pullImage(tagged, a.login)).toBe(newer.configDigest);
    expect((await verdictOf(ask(a, tagged))).said).toBe('allowed repullSucceeded');
    expect((await verdictOf(ask(b, tagged))).said).toBe('denied registryRefused');
    const [oldOne] = scene
      .agent()
      .verdicts()
      .filter(({ containerId }) => containerId === first.id);
    expect(oldOne?.imageRef).not.toBe(newer.configDigest);
  });

  it('pull policy Always is allowed, and what kubelet pulled is learned for a later Never', async () => {
    const { d } = scene.tenants;
    const image = `${scene.node.registries.htpasswd.host}/team-d/always:1`;
    await pushImage(scene.node.registries.htpasswd, 'team-d/always', '1', { salt: 'always' });
    expect((await verdictOf(ask(d, image, 'Always'))).said).toBe('allowed pullPolicyAlways');
    await vi.waitFor(
      async () => expect((await verdictOf(ask(d, image, 'Never'))).said).toBe('allowed recordMatched'),
      { timeout: 20_000, interval: 500 },
    );
  });

  it('a static pod that nobody knows may run what everybody may, and nothing else', async () => {
    const { htpasswd } = scene.node.registries;
    // Of no content that goes by a public name as well.
    await pushImage(htpasswd, 'team-a/static', '1', { salt: 'private static' });
    const wanted = ask(scene.tenants.a, `${htpasswd.host}/team-a/static:1`);
    const isPrivate = await scene.runUnknown(wanted, 'file');
    const { verdict } = await scene.agent().verdictOf(isPrivate.id);
    expect(verdict).toBe('denied');
    await scene.ended(isPrivate.id);
    const { anonymous } = scene.node.registries;
    await pushImage(anonymous, 'public/static', '1', { salt: 'static' });
    const isPublic = await scene.runUnknown(
      ask(scene.tenants.a, `${anonymous.host}/public/static:1`),
      'file',
    );
    expect(await scene.agent().verdictOf(isPublic.id)).toMatchObject({ verdict: 'allowed' });
    expect(await scene.isRunning(isPublic.id)).toBe(true);
  });

  it('a container that kubelet did not make is reported and left alone, or stopped where that is asked for', async () => {
    const unknown = ask(scene.tenants.a, privateImage);
    const left = await scene.runUnknown(unknown, undefined);
    expect(await scene.agent().verdictOf(left.id)).toMatchObject({
      verdict: 'denied',
      reason: 'unmanagedPod',
    });
    expect(await scene.isRunning(left.id)).toBe(true);
    await restart('--mode', 'enforce', '--unmanaged', 'deny');
    const stopped = await scene.runUnknown(unknown, undefined);
    await scene.ended(stopped.id);
    await scene.ended(left.id);
  });

  it('a container of a pod that kubelet has from the API server, which does not know it, is stopped', async () => {
    await restart('--mode', 'enforce');
    const { id } = await scene.runUnknown(ask(scene.tenants.a, privateImage), 'api');
    expect(await scene.agent().verdictOf(id)).toMatchObject({ verdict: 'denied', reason: 'podUnknown' });
    await scene.ended(id);
  });

  it('a container that ends before anybody could stop it is judged all the same', async () => {
    await restart('--mode', 'enforce');
    const short = { ...ask(scene.tenants.b, privateImage, 'Never'), command: ['/app', 'exit', '0'] };
    const { said } = await verdictOf(short);
    expect(said).toBe('denied neverWithoutRecord');
  });

  it('exempt namespaces and audit mode stop nothing, but say what would have been', async () => {
    const { b } = scene.tenants;
    await restart('--mode', 'enforce', '--exempt-namespaces', 'kube-system,team-b');
    const exempt = await verdictOf(ask(b, privateImage, 'Never'));
    await restart();
    const audited = await verdictOf(ask(b, privateImage, 'Never'));
    expect([exempt.said, audited.said]).toEqual(['denied neverWithoutRecord', 'denied neverWithoutRecord']);
    expect([await scene.isRunning(exempt.id), await scene.isRunning(audited.id)]).toEqual([true, true]);
    const { stdout } = await pullwarden(
      'decisions',
      '--denied',
      '-n',
      'team-b',
      '--limit',
      '10',
      '-o',
      'json',
      '--state-dir',
      scene.stateDir,
    );
    const outcomes = z
      .array(z.object({ containerId: z.string(), outcome: z.string() }))
      .parse(JSON.parse(stdout));
    expect(outcomes.findLast(({ containerId }) => containerId === exempt.id)?.outcome).toBe('exempt');
    expect(outcomes.findLast(({ containerId }) => containerId === audited.id)?.outcome).toBe('audit');

    await restart('--mode', 'enforce');
    await scene.ended(audited.id);
  });

  it('`check` tells what would happen and changes nothing', async () => {
    const { a, b } = scene.tenants;
    const image = `${scene.node.registries.htpasswd.host}/team-a/checked:1`;
    await pushImage(scene.node.registries.htpasswd, 'team-a/checked', '1', { salt: 'checked' });
    await scene.node.kubelet.pullImage(image, a.login);
    await scene.agent().stop();
    await scene.run({ ...ask(a, image), name: 'checked-a' });
    await scene.run({ ...ask(b, image, 'Never'), name: 'checked-b' });
    const flags = [
      '--runtime-endpoint',
      scene.node.endpoint,
      '--state-dir',
      scene.stateDir,
      '--pods-directory',
      scene.podsDirectory,
    ];
    const before = await scene.node.registries.htpasswd.mark();
    const ofA = await pullwarden('check', '-n', 'team-a', 'checked-a', '-o', 'json', ...flags);
    const ofB = await pullwarden('check', '-n', 'team-b', 'checked-b', ...flags);
    const ofNobody = await pullwarden('check', '-n', 'team-b', 'nobody', ...flags);
    expect(ofA).toMatchObject({ code: 4 });
    expect(JSON.parse(ofA.stdout)).toMatchObject([
      {
        would: 'unknown',
        reason: 'registryNotAsked',
        message: expect.stringContaining('with a credential of the pod'),
      },
    ]);
    expect(ofB).toMatchObject({ code: 3, stdout: expect.stringMatching(/denied +neverWithoutRecord/) });
    expect(ofNobody).toMatchObject({
      code: 1,
      stderr: 'pullwarden: notFound: there is no pod team-b/nobody\n',
    });
    expect(await scene.node.registries.htpasswd.requests(before)).toEqual([]);
    await scene.startAgent('--mode', 'enforce');
  });

  it('`doctor` finds the node ready, and says what is wrong with one that is not', async () => {
    const flags = ['--state-dir', scene.stateDir, '--pods-directory', scene.podsDirectory];
    const ready = await pullwarden('doctor', '--runtime-endpoint', scene.node.endpoint, ...flags);
    expect(ready.stdout).not.toContain('failure');
    expect(ready.code).toBe(0);
    const broken = await pullwarden(
      'doctor',
      '--runtime-endpoint',
      join(scene.node.root, 'nothing.sock'),
      ...flags,
    );
    expect(broken.stdout).toContain('failure');
    expect(broken.code).toBe(1);
  });

  it('images that left the node leave nothing for a tenant who brings them back', async () => {
    const { a, b } = scene.tenants;
    await scene.node.kubelet.removeImage(privateImage);
    await scene.node.kubelet.pullImage(privateImage, a.login);
    expect((await verdictOf(ask(b, privateImage))).said).toBe('denied registryRefused');
  });

  it('a state directory that is read-only costs questions to the registry, not verdicts', async () => {
    const { a, b } = scene.tenants;
    const readOnly = join(scene.node.root, 'read-only');
    await mkdir(readOnly);
    await run('mount', ['-t', 'tmpfs', '-o', 'ro,size=64k', 'none', readOnly]);
    try {
      await scene.agent().stop();
      const agent = scene.beginAgent('--mode', 'enforce', '--state-dir', readOnly);
      // It never becomes ready, because it keeps nothing; all else is there.
      await vi.waitFor(
        async () => expect((await agent.get('/readyz')).body).toMatch(/^records: databaseReadOnly[^\n]*\n$/),
        { timeout: 30_000 },
      );
      expect((await verdictOf(ask(a, privateImage))).said).toMatch(
        /^allowed (repullSucceeded|recordMatched)$/,
      );
      expect((await verdictOf(ask(b, privateImage, 'Never'))).said).toBe('denied neverWithoutRecord');
      // Another container of it may run, and have been judged by now.
      expect((await verdictOf(ask(b, `${scene.node.registries.anonymous.host}/public/base:1`))).said).toMatch(
        /^allowed (repullSucceeded|recordMatched)$/,
      );
    } finally {
      await scene.agent().kill();
      await run('umount', [readOnly]);
    }
  });

  it('a database that is none is set aside, and then nothing counts as preloaded', async () => {
    const { b } = scene.tenants;
    await writeFile(join(scene.stateDir, 'records.db'), 'this is no database');
    await rm(join(scene.stateDir, 'records.db-wal'), { force: true });
    const agent = await scene.startAgent('--mode', 'enforce');
    expect(agent.log()).toContain('databaseSetAside');
    const base = `${scene.node.registries.anonymous.host}/public/unused-1:1`;
    expect((await verdictOf(ask(b, base, 'Never'))).said).toBe('denied neverWithoutRecord');
    expect((await verdictOf(ask(b, privateImage))).said).toBe('denied registryRefused');
  });

  it('--existing-images verify trusts nothing that is on the node, and proves what runs whatever its policy', async () => {
    await scene.agent().stop();
    const rightful = await scene.run(ask(scene.tenants.a, privateImage, 'Never'));
    const withoutRight = await scene.run(ask(scene.tenants.b, privateImage, 'Never'));
    await scene.startAgent(
      '--mode',
      'enforce',
      '--existing-images',
      'verify',
      '--state-dir',
      join(scene.node.root, 'fresh'),
    );
    // Another container of this tenant may have been proved, and recorded, just before.
    expect(await scene.agent().verdictOf(rightful.id)).toMatchObject({
      verdict: 'allowed',
      reason: expect.stringMatching(/^(repullSucceeded|recordMatched)$/),
    });
    expect(await scene.agent().verdictOf(withoutRight.id)).toMatchObject({ reason: 'registryRefused' });
    await scene.ended(withoutRight.id);
    expect(await scene.isRunning(rightful.id)).toBe(true);
    const base = `${scene.node.registries.anonymous.host}/public/unused-2:1`;
    expect((await verdictOf(ask(scene.tenants.b, base, 'Never'))).said).toBe('denied neverWithoutRecord');
    expect((await verdictOf(ask(scene.tenants.b, base))).said).toBe('allowed repullSucceeded');
  });
});

describe('an agent that cannot start', () => {
  const cases: Array<[string, string[], RegExp]> = [
    [
      'no socket',
      ['--runtime-endpoint', '/nowhere.sock', '--pods-directory', '.'],
      /^pullwarden: notFound: .*\/nowhere\.sock.*\n$/,
    ],
    [
      'a file for a socket',
      ['--runtime-endpoint', main, '--pods-directory', '.'],
      /^pullwarden: notASocket: .*\n$/,
    ],
    [
      'no source of pods',
      ['--runtime-endpoint', '/nowhere.sock'],
      /^pullwarden: missingOption: no source of pods: .*\n$/,
    ],
    ['an unknown flag', ['--frobnicate'], /^pullwarden: usage: .*frobnicate.*\n$/],
    ['a bad duration', ['--pull-timeout', 'soon'], /^pullwarden: invalidValue: .*--pull-timeout.*\n$/],
    [
      'a bad pattern',
      ['--verification-policy', 'NeverVerifyAllowlistedImages', '--verification-allowlist', 'a:b'],
      /^pullwarden: \w+: .*a:b.*\n$/,
    ],
  ];
  it.each(cases)('with %s says so in one line and exits with 2', async (_what, flags, line) => {
    const { code, stderr } = await pullwarden('agent', '--log-format', 'json', ...flags);
    expect(stderr).toMatch(line);
    expect(code).toBe(2);
  });
});
