import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const repository = fileURLToPath(new URL('../../', import.meta.url));

/**
 * The image's file system, laid out by the script that the Dockerfile runs and entered with chroot: there is
 * no Docker engine where this is tested. What Docker itself does with the Dockerfile is only linted.
 */
describe('the image', { timeout: 120_000 }, () => {
  let folder: string;
  let root: string;
  const run = (...args: string[]): string =>
    execFileSync('chroot', [root, '/usr/local/bin/node', '/opt/pullwarden/dist/agent/main.js', ...args], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH },
    });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pullwarden-image-'));
    root = join(folder, 'rootfs');
    const source = join(folder, 'source');
    const shell = (command: string): void => {
      execFileSync('sh', ['-ec', command], { cwd: existsSync(source) ? source : repository, stdio: 'pipe' });
    };
    shell(`mkdir ${source} && cp -r agent proto scripts package.json LICENSE ${source}`);
    shell(`ln -s ${join(repository, 'node_modules')} ${source}`);
    shell('npm run build');
    shell(`scripts/image-rootfs ${root}`);
  }, 120_000);

  afterAll(async () => rm(folder, { recursive: true, force: true }));

  it('has `pullwarden` as a command, without a shell that would start it', () => {
    const version = execFileSync('chroot', [root, '/usr/local/bin/pullwarden', 'version'], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH ?? '', PULLWARDEN_REVISION: 'abc123' },
    });
    expect(version).toMatch(/^pullwarden \d+\.\d+\.\d+ \(abc123\), node v24\./);
    const failed = spawnSync('chroot', [root, '/usr/local/bin/pullwarden', 'decisions', '--since', 'x'], {
      encoding: 'utf8',
    });
    expect(failed).toMatchObject({
      status: 2,
      stdout: '',
      stderr: expect.stringMatching(/^pullwarden: usage: /),
    });
  });

  it('runs the compiled agent, with its database addon and its protocol definitions', () => {
    expect(run('--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
    const lines = execFileSync(
      'chroot',
      [
        root,
        '/usr/local/bin/node',
        '-e',
        "require('/opt/pullwarden/node_modules/better-sqlite3')(':memory:').exec('select 1')",
      ],
      { encoding: 'utf8', env: { PATH: process.env.PATH } },
    );
    expect(lines).toBe('');
    expect(existsSync(join(root, 'opt/pullwarden/proto/cri.proto'))).toBe(true);
  });

  it('holds no shell, no package manager, and of the packages only the database addon', async () => {
    const programs = (
      await Promise.all(
        ['usr/local/bin', 'bin', 'usr/bin'].map((path) => readdir(join(root, path)).catch(() => [])),
      )
    ).flat();
    expect(programs).toEqual(['node', 'pullwarden']);
    expect(await readdir(join(root, 'opt/pullwarden/node_modules'))).toEqual(['better-sqlite3']);
  });

  it('has the licences of what was bundled', async () => {
    const licences = await readFile(join(root, 'opt/pullwarden/dist/THIRD_PARTY_LICENSES'), 'utf8');
    for (const name of ['@grpc/grpc-js', 'prom-client', 'yaml', 'zod']) {
      expect(licences).toMatch(new RegExp(`^${name} \\d.* \\(`, 'm'));
    }
  });
});
