import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeRegistryUsers } from '../../scripts/e2e/registry-users.ts';
import { runCommand } from '../../scripts/lab/command.ts';
import { repository } from './kustomize.ts';

type Ended = { readonly code: number; readonly stdout: string; readonly stderr: string };

const script = join(repository, 'scripts/e2e-kind');
/** Where bash and the tools of every system are; neither Docker nor kind. */
const SYSTEM_PATH = '/usr/bin:/bin';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pullwarden-e2e-test-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

function run(
  path: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(path, args, { env: { PATH: SYSTEM_PATH, ...env } }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
  });
}

/** The commands that a run has printed, with whatever differs from run to run taken out. */
function commandsIn(stdout: string, root: string): string[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('+ '))
    .map((line) => line.replaceAll(root, 'REPOSITORY').replaceAll(/\/tmp\/[\w.-]+/g, 'WORK'));
}

describe('scripts/e2e-kind --dry-run', () => {
  it('prints every step in order, and needs neither Docker nor kind', async () => {
    const { code, stdout } = await run(script, ['--dry-run']);
    expect(code).toBe(0);
    const commands = commandsIn(stdout, repository.replace(/\/$/, ''));
    const steps = [
      'docker build',
      'kind create cluster',
      'docker run --detach --name pullwarden-e2e-registry',
      'docker exec pullwarden-e2e-worker mkdir',
      'docker --config WORK/docker push',
      'kind load docker-image pullwarden:e2e',
      'apply --kustomize REPOSITORY/manifests/overlays/kind',
      'rollout status daemonset/pullwarden',
      'PULLWARDEN_E2E_KUBECONFIG=WORK/kubeconfig',
      'kind delete cluster',
      'docker rm --force',
      'rm -rf WORK',
    ].map((step) => commands.findIndex((command) => command.includes(step)));
    expect(steps).not.toContain(-1);
    expect(steps).toEqual([...steps].sort((a, b) => a - b));
    expect(commands.find((command) => command.includes('E2E_KUBECONFIG'))).toMatch(
      / vitest run test\/cluster\/e2e\.test\.ts$/,
    );
  });

  it('passes the node image on, and leaves out the clearing up where all is kept', async () => {
    const { stdout } = await run(script, ['--dry-run', '--keep', '--node-image', 'node:v1']);
    expect(stdout).toMatch(/\+ kind create cluster .* --image node:v1$/m);
    expect(stdout).not.toContain('+ kind delete');
    expect(stdout).toContain('To remove: kind delete cluster --name pullwarden-e2e');
  });

  it('makes nothing', async () => {
    const { stdout } = await run(script, ['--dry-run']);
    const [, work = ''] = /write (\S+)\/kind\.yaml/.exec(stdout) ?? [];
    await expect(stat(work)).rejects.toThrow('ENOENT');
  });
});

describe('scripts/e2e-kind', () => {
  it.each([[['--dryrun']], [['--node-image']]])('refuses %j, and says why', async (args) => {
    const { code, stdout, stderr } = await run(script, args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/^e2e-kind: .*--/);
  });

  it('says which tool is missing before it does anything', async () => {
    expect(await run(script, [])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: 'e2e-kind: docker is not installed\n',
    });
  });
});

describe('scripts/e2e-kind with tools that only note how they are called', () => {
  const root = (): string => join(folder, 'repository');
  const tools = (): string => join(folder, 'tools');

  beforeEach(async () => {
    await mkdir(join(root(), 'scripts'), { recursive: true });
    await mkdir(join(root(), 'node_modules/.bin'), { recursive: true });
    await mkdir(tools());
    await copyFile(script, join(root(), 'scripts/e2e-kind'));
    const tool = `#!/bin/sh\ncase "$(basename "$0") $*" in $FAILS) exit 7;; esac\n`;
    for (const path of [
      join(root(), 'scripts/setup'),
      ...['node', 'vitest'].map((name) => join(root(), 'node_modules/.bin', name)),
      ...['kind', 'kubectl'].map((name) => join(tools(), name)),
    ]) {
      await writeFile(path, tool);
      await chmod(path, 0o755);
    }
    // The password goes in by standard input; without registry-users.ts there is none to give.
    await writeFile(join(root(), 'node_modules/.bin/node'), '#!/bin/sh\nprintf secret >"$2/alice"\n');
    await writeFile(join(tools(), 'docker'), tool);
    await chmod(join(tools(), 'docker'), 0o755);
  });

  const start = (fails: string): Promise<Ended> =>
    run(join(root(), 'scripts/e2e-kind'), [], {
      PATH: [tools(), SYSTEM_PATH].join(delimiter),
      TMPDIR: '/tmp',
      FAILS: fails,
    });

  it('runs just what --dry-run prints', async () => {
    const { code, stdout } = await start('nothing');
    expect(code).toBe(0);
    const { stdout: dry } = await run(join(root(), 'scripts/e2e-kind'), ['--dry-run']);
    expect(commandsIn(stdout, root())).toEqual(commandsIn(dry, root()));
  });

  it.each(['docker?build*', 'kind?create*', 'kubectl*apply*', 'vitest*'])(
    'ends with the exit code of %s when that fails, shows the logs and clears up',
    async (step) => {
      const { code, stdout } = await start(step);
      expect(code).toBe(7);
      const commands = commandsIn(stdout, root());
      expect(commands.slice(-4)).toEqual([
        expect.stringContaining('logs daemonset/pullwarden --all-containers'),
        '+ kind delete cluster --name pullwarden-e2e',
        '+ docker rm --force --volumes pullwarden-e2e-registry',
        '+ rm -rf WORK',
      ]);
      const [, work = ''] = /\+ rm -rf (\S+)/.exec(stdout) ?? [];
      await expect(stat(work)).rejects.toThrow('ENOENT');
    },
  );
});

describe('the users of the registry', () => {
  it('have a password each, which the registry knows by its hash only', async () => {
    await writeRegistryUsers(folder, ['alice', 'dave']);
    const users: Record<string, string> = JSON.parse(await readFile(join(folder, 'users.json'), 'utf8'));
    expect(Object.keys(users)).toEqual(['alice', 'dave']);
    expect(await readFile(join(folder, 'dave'), 'utf8')).toBe(users.dave);
    const htpasswd = await readFile(join(folder, 'htpasswd'), 'utf8');
    expect(htpasswd).toMatch(/^alice:\$2y\$\S+\ndave:\$2y\$\S+\n$/);
    expect(htpasswd).not.toContain(users.alice);
    expect((await stat(join(folder, 'users.json'))).mode & 0o077).toBe(0);
  });

  it('are written by the command that the script runs', async () => {
    const program = join(repository, 'scripts/e2e/registry-users.ts');
    expect(await runCommand(process.execPath, [program, folder, 'erin'])).toBe('');
    expect(await readFile(join(folder, 'htpasswd'), 'utf8')).toMatch(/^erin:/);
  });
});
