import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createExecPlugin, type ExecConfig, type ExecPlugin } from '../../agent/kubernetes/exec-plugin.ts';
import { eventually } from '../pods/kubernetes/scene.ts';

let folder: string;
let plugin: ExecPlugin;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pullwarden-exec-'));
  plugin = createExecPlugin({ timeoutMs: 15_000, pauseMs: 150 });
});

afterEach(async () => {
  plugin.close();
  await rm(folder, { recursive: true, force: true });
});

const runs = async (): Promise<number> => (await readFile(join(folder, 'runs'), 'utf8')).length;

/** A plugin that counts how often it is run. */
async function script(body: string): Promise<ExecConfig> {
  const command = join(folder, 'plugin');
  await writeFile(command, `#!/bin/sh\nprintf x >>${folder}/runs\n${body}\n`, { mode: 0o755 });
  return { command, args: [], env: {} };
}

function printing(status: object): Promise<ExecConfig> {
  const credential = { kind: 'ExecCredential', apiVersion: 'client.authentication.k8s.io/v1', status };
  return script(`cat <<'END'\n${JSON.stringify(credential)}\nEND`);
}

const inAnHour = (): string => new Date(Date.now() + 3_600_000).toISOString();

describe('an exec plugin', () => {
  it('is run once for a credential that lasts, however many ask', async () => {
    const config = await printing({ token: 'secret-token', expirationTimestamp: inAnHour() });
    const given = await Promise.all([plugin.credential(config), plugin.credential(config)]);
    expect(given.map(({ token }) => token)).toEqual(['secret-token', 'secret-token']);
    await plugin.credential(config);
    expect(await runs()).toBe(1);
  });

  it('is run again when its credential has expired, but not for every request', async () => {
    const config = await printing({ token: 'secret-token', expirationTimestamp: '2020-01-01T00:00:00Z' });
    await plugin.credential(config);
    await plugin.credential(config);
    expect(await runs()).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 160));
    await plugin.credential(config);
    expect(await runs()).toBe(2);
  });

  it('is run again when the API server refused its credential, but not for every request', async () => {
    const config = await printing({ token: 'secret-token' });
    await plugin.credential(config);
    plugin.forget();
    await plugin.credential(config);
    expect(await runs()).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 160));
    await plugin.credential(config);
    expect(await runs()).toBe(2);
  });

  it('is never run twice at once', async () => {
    const config = await script(`sleep 0.5; echo '{"kind":"ExecCredential","status":{"token":"t"}}'`);
    const first = plugin.credential(config);
    plugin.forget();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(await Promise.all([first, plugin.credential(config)])).toHaveLength(2);
    expect(await runs()).toBe(1);
  });

  it('is run again when the kubeconfig says something else', async () => {
    const config = await printing({ token: 'secret-token', expirationTimestamp: inAnHour() });
    await plugin.credential(config);
    await plugin.credential({ ...config, args: ['--cluster', 'other'] });
    expect(await runs()).toBe(2);
  });

  it('gets its arguments and environment, and hands out a client certificate', async () => {
    const config = await script(
      `printf '{"kind":"ExecCredential","status":{"clientCertificateData":"%s","clientKeyData":"%s"}}' "$1" "$KUBERNETES_EXEC_INFO"`,
    );
    const given = await plugin.credential({
      ...config,
      args: ['certificate'],
      env: { KUBERNETES_EXEC_INFO: 'key' },
    });
    expect(given).toEqual({ clientCertificateData: 'certificate', clientKeyData: 'key' });
  });

  it.each([
    ['fails', 'echo token hunter2 >&2; echo hunter2; exit 7', /it failed with exit code 7$/],
    ['dies', 'kill -KILL $$', /it failed with SIGKILL$/],
    ['prints no JSON', 'echo token hunter2', /did not print JSON$/],
    [
      'prints something else',
      `echo '{"kind":"Secret","token":"hunter2"}'`,
      /did not print an ExecCredential$/,
    ],
    [
      'prints no credential',
      `echo '{"kind":"ExecCredential","status":{}}'`,
      /neither a token nor a certificate/,
    ],
    ['prints without end', 'while :; do echo hunter2hunter2hunter2hunter2hunter2; done', /printed too much$/],
  ])('that %s is told without a word of what it printed', async (_, body, text) => {
    const config = await script(body);
    const error = await plugin.credential(config).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ name: 'ApiError', reason: 'identityUnusable' });
    expect(error).toMatchObject({ message: expect.stringMatching(text) });
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
  });

  it('that is not there is told', async () => {
    await expect(
      plugin.credential({ command: join(folder, 'missing'), args: [], env: {} }),
    ).rejects.toMatchObject({
      reason: 'identityUnusable',
      message: expect.stringMatching(/cannot be run: ENOENT$/),
    });
  });

  it('that failed is left alone for a moment, then run again', async () => {
    const config = await script('exit 1');
    for (let asked = 0; asked < 5; asked += 1) {
      await expect(plugin.credential(config)).rejects.toMatchObject({ reason: 'identityUnusable' });
    }
    expect(await runs()).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 160));
    await printing({ token: 'secret-token' });
    expect(await plugin.credential(config)).toMatchObject({ token: 'secret-token' });
  });

  it('that hangs is ended with all that it started', async () => {
    plugin = createExecPlugin({ timeoutMs: 300, pauseMs: 150 });
    const config = await script(`sleep 600 & echo $$ $! >${folder}/pids; wait`);
    await expect(plugin.credential(config)).rejects.toMatchObject({
      reason: 'identityUnusable',
      message: expect.stringMatching(/took too long$/),
    });
    await expectGone();
  });

  it('that is running when the agent ends is ended as well', async () => {
    plugin = createExecPlugin({ timeoutMs: 3_600_000, pauseMs: 150 });
    const config = await script(`sleep 600 & echo $$ $! >${folder}/pids; wait`);
    const asked = plugin.credential(config).catch((error: unknown) => error);
    await eventually(async () => expect(await pids()).toHaveLength(2));
    plugin.close();
    expect(await asked).toMatchObject({ reason: 'identityUnusable' });
    await expectGone();
  });
});

async function pids(): Promise<number[]> {
  const text = await readFile(join(folder, 'pids'), 'utf8');
  return text.trim().split(' ').map(Number);
}

async function expectGone(): Promise<void> {
  for (const pid of await pids()) await eventually(async () => expect(await isRunning(pid)).toBe(false));
}

/** A process that nobody has waited for yet does not run any more either. */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/\) Z /.test(stat);
}
