import { execFile } from 'node:child_process';
import { chmod, mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pushImage } from '../../scripts/lab/push.ts';
import type { Tenant, Wanted } from '../../scripts/story/tenants.ts';
import { newest, openScene, type Scene } from './scene.ts';

/** What damages or fills the state directory of a real agent costs questions, and gives nobody a permission. */

const run = promisify(execFile);
/** Of SQLite's file header (database file format, 1.3). */
const USER_VERSION_OFFSET = 60;

describe('a state directory that is damaged', { timeout: 120_000 }, () => {
  let scene: Scene;
  let preloaded: string;
  let later: string;

  const ask = (tenant: Tenant, image: string, imagePullPolicy: Wanted['imagePullPolicy']) => ({
    tenant,
    image,
    imagePullPolicy,
    registry: scene.node.registries.htpasswd,
  });
  const verdictOf = async (tenant: Tenant, image: string, policy: Wanted['imagePullPolicy']) => {
    const { id } = await scene.run(ask(tenant, image, policy));
    const { verdict, reason } = await scene.agent().verdictOf(id);
    return `${verdict} ${reason}`;
  };
  /** Ends the agent, does something to a file of its state, and starts it again. */
  const damage = async (name: string, how: (path: string) => Promise<void>): Promise<string> => {
    await scene.agent().stop();
    const records = new Database(join(scene.stateDir, 'records.db'));
    records.pragma('wal_checkpoint(TRUNCATE)');
    records.close();
    await how(join(scene.stateDir, name));
    return (await scene.startAgent('--mode', 'enforce')).log();
  };

  beforeAll(async () => {
    scene = await openScene(newest());
    const { htpasswd } = scene.node.registries;
    for (const name of ['before', 'later']) await pushImage(htpasswd, `team-a/${name}`, '1', { salt: name });
    preloaded = `${htpasswd.host}/team-a/before:1`;
    later = `${htpasswd.host}/team-a/later:1`;
    await scene.node.kubelet.pullImage(preloaded, scene.tenants.a.login);
    await scene.startAgent('--mode', 'enforce');
    await scene.node.kubelet.pullImage(later, scene.tenants.a.login);
  }, 180_000);

  afterAll(async () => scene.stop(), 60_000);

  it('is none to begin with: what was there first is open to all, and what came later is on record', async () => {
    const { a, b } = scene.tenants;
    expect(await verdictOf(b, preloaded, 'Never')).toBe('allowed preloaded');
    expect(await verdictOf(a, later, 'IfNotPresent')).toMatch(/^allowed /);
  });

  it('by a key that others may read: it is theirs alone again, said so, and the records still count', async () => {
    const { a } = scene.tenants;
    const path = join(scene.stateDir, 'hmac.key');
    const log = await damage('hmac.key', () => chmod(path, 0o644));
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(log).toContain('hmac.key');
    expect(await verdictOf(a, later, 'Never')).toBe('allowed recordMatched');
  });

  it('in one bit of the name under which the inventory stands: no other is taken', async () => {
    const { a, b } = scene.tenants;
    const log = await damage('records.db', async (path) => {
      const bytes = await readFile(path);
      // The row's name, and behind it when the inventory was taken, in ms.
      const rows = [...bytes.toString('latin1').matchAll(/inventory(?=\d{13})/g)];
      expect(rows).not.toEqual([]);
      for (const { index } of rows) bytes[index + 4] = (bytes[index + 4] ?? 0) ^ 0x04;
      await writeFile(path, bytes);
    });
    expect(log).toContain('inventoryLost');
    // What came after the first inventory would be open to all by another one.
    expect(await verdictOf(b, later, 'Never')).toBe('denied neverWithoutRecord');
    expect(await verdictOf(b, later, 'IfNotPresent')).toBe('denied registryRefused');
    expect(await verdictOf(a, later, 'Never')).toBe('allowed recordMatched');
    // What was in it has a row of its own, and that is sound.
    expect(await verdictOf(b, preloaded, 'Never')).toBe('allowed preloaded');
  });

  it('in its version: the node is protected, and who has a right is asked about again', async () => {
    const { a, b } = scene.tenants;
    await damage('records.db', async (path) => {
      const file = await open(path, 'r+');
      await file.write(Buffer.from([0x7f, 0xff, 0xff, 0xff]), 0, 4, USER_VERSION_OFFSET);
      await file.close();
    });
    expect(await verdictOf(b, later, 'Never')).toBe('denied neverWithoutRecord');
    expect(await verdictOf(b, preloaded, 'IfNotPresent')).toBe('denied registryRefused');
    // On record it is again at once where a container of A's still runs, which is judged again.
    expect(await verdictOf(a, later, 'IfNotPresent')).toMatch(/^allowed (repullSucceeded|recordMatched)$/);
  });
});

describe('a disk that fills while the agent runs', { timeout: 120_000 }, () => {
  let scene: Scene;
  let folder: string;
  let image: string;

  const verdictOf = async (tenant: Tenant, imagePullPolicy: Wanted['imagePullPolicy']) => {
    const registry = scene.node.registries.htpasswd;
    const { id } = await scene.run({ tenant, image, imagePullPolicy, registry });
    const { verdict, reason } = await scene.agent().verdictOf(id);
    return `${verdict} ${reason}`;
  };
  const start = () => scene.startAgent('--mode', 'enforce', '--state-dir', folder);
  const readyz = async () => (await scene.agent().get('/readyz')).body;

  beforeAll(async () => {
    scene = await openScene(newest());
    folder = join(scene.node.root, 'small');
    await mkdir(folder);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=700', 'none', folder]);
    const { htpasswd } = scene.node.registries;
    await pushImage(htpasswd, 'team-a/app', '1', { salt: 'full disk' });
    image = `${htpasswd.host}/team-a/app:1`;
    await start();
    await scene.node.kubelet.pullImage(image, scene.tenants.a.login);
  }, 180_000);

  afterAll(async () => {
    await scene.agent().kill();
    await run('umount', ['-l', folder]);
    await scene.stop();
  }, 60_000);

  it('costs nobody a container: what is new counts in memory, and /readyz says so', async () => {
    const { a, b } = scene.tenants;
    // To the last byte, and further.
    await expect(run('dd', ['if=/dev/zero', `of=${join(folder, 'filler')}`, 'bs=1k'])).rejects.toThrow(
      /space/,
    );
    expect(await verdictOf(a, 'IfNotPresent')).toBe('allowed repullSucceeded');
    expect(await verdictOf(a, 'Never')).toBe('allowed recordMatched');
    expect(await verdictOf(b, 'Never')).toBe('denied neverWithoutRecord');
    await vi.waitFor(async () => expect(await readyz()).toMatch(/databaseFull/), 10_000);
  });

  it('is over once there is room: what was kept is written, and outlives the agent', async () => {
    const { a, d } = scene.tenants;
    await rm(join(folder, 'filler'));
    expect(await verdictOf(d, 'IfNotPresent')).toMatch(/^allowed /);
    await vi.waitFor(async () => expect(await readyz()).not.toMatch(/databaseFull/), 10_000);
    await scene.agent().kill();
    await start();
    expect(await verdictOf(a, 'Never')).toBe('allowed recordMatched');
  });
});
