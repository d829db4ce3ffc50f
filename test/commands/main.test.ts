import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stateDirectory } from './state.ts';

let state: ReturnType<typeof stateDirectory>;

beforeAll(() => {
  state = stateDirectory();
});

afterAll(() => state.remove());

type Ended = { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string };

/** Runs the real program. `closeOutput`: its reader goes away before it writes, as `| true` does. */
function pullwarden(
  args: readonly string[],
  { env = {}, closeOutput = false }: { env?: Record<string, string>; closeOutput?: boolean } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, ['agent/main.ts', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stdout = '';
  let stderr = '';
  if (closeOutput) child.stdout.destroy();
  else child.stdout.on('data', (chunk) => (stdout += chunk));
  child.stderr.on('data', (chunk) => (stderr += chunk));
  return new Promise((resolve) => child.on('close', (exitCode) => resolve({ exitCode, stdout, stderr })));
}

describe('pullwarden', () => {
  it('says its version and its subcommands', async () => {
    expect(await pullwarden(['--version'])).toEqual({
      exitCode: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
      stderr: '',
    });
    const { exitCode, stdout } = await pullwarden(['--help']);
    expect(exitCode).toBe(0);
    for (const name of ['agent', 'check', 'decisions', 'doctor', 'records']) expect(stdout).toContain(name);
  });

  it('shows every option of the agent in its help, but none that only manifests set', async () => {
    const { stdout } = await pullwarden(['agent', '--help']);
    expect(stdout).toContain('PULLWARDEN_EXISTING_CONTAINERS_DELAY');
    expect(stdout).not.toContain('--pod-uid');
  });

  it('is grouped and wrapped in the help of the agent', async () => {
    const { stdout } = await pullwarden(['agent', '--help']);
    const lines = stdout.split('\n');
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    for (const heading of ['What is enforced:', 'The fuse:', 'Telemetry:']) expect(lines).toContain(heading);
    expect(stdout).not.toContain('More options:');
  });

  it('says which version it is, and of which commit', async () => {
    const env = { PULLWARDEN_REVISION: 'abc123' };
    const { stdout } = await pullwarden(['version'], { env });
    expect(stdout).toMatch(/^pullwarden \d+\.\d+\.\d+ \(abc123\), node v\d+/);
    const json = await pullwarden(['version', '-o', 'json'], { env });
    expect(JSON.parse(json.stdout)).toMatchObject({ revision: 'abc123' });
  });

  it('warns of a variable that it does not know, and does its work', async () => {
    const env = { PULLWARDEN_OF_A_NEWER_VERSION: '1' };
    const ended = await pullwarden(['decisions', '--state-dir', state.stateDir], { env });
    expect(ended).toMatchObject({
      exitCode: 0,
      stderr:
        'pullwarden: warning: environment variable PULLWARDEN_OF_A_NEWER_VERSION is ignored: this version has no such option\n',
    });
  });

  it('lists records as table and as JSON', async () => {
    const table = await pullwarden(['records', 'list', '--state-dir', state.stateDir]);
    expect(table).toMatchObject({ exitCode: 0, stderr: '' });
    expect(table.stdout).toContain('team-a/registry');
    const env = { PULLWARDEN_STATE_DIR: state.stateDir };
    const json = await pullwarden(['records', 'show', 'a1a1a1a1a1a1', '-o', 'json'], { env });
    expect(JSON.parse(json.stdout)).toHaveProperty('credentialMapping');
  });

  it('lists decisions and ends quietly when nobody reads them', async () => {
    const args = ['decisions', '--denied', '--state-dir', state.stateDir];
    expect((await pullwarden(args)).stdout.trimEnd().split('\n')).toHaveLength(3);
    expect(await pullwarden(args, { closeOutput: true })).toMatchObject({ exitCode: 0, stderr: '' });
  });
});

describe('what cannot be done', () => {
  const cases: readonly (readonly [string, readonly string[], Record<string, string>, number, RegExp])[] = [
    ['an unknown subcommand', ['agnet'], {}, 2, /^pullwarden: usage: unknown command 'agnet'.*agent/],
    [
      'an unknown flag',
      ['doctor', '--state-dri', 'x'],
      {},
      2,
      /^pullwarden: usage: .*--state-dri.*--state-dir/,
    ],
    ['a flag of another subcommand', ['records', 'list', '--mode', 'audit'], {}, 2, /^pullwarden: usage: /],
    ['a flag without its value', ['doctor', '--state-dir'], {}, 2, /^pullwarden: usage: .*argument missing/],
    ['an operand that is missing', ['records', 'show'], {}, 2, /^pullwarden: usage: .*image/],
    ['an operand too many', ['doctor', 'x'], {}, 2, /^pullwarden: usage: too many arguments/],
    [
      'an unknown format',
      ['doctor', '-o', 'xml'],
      {},
      2,
      /^pullwarden: usage: .*table, wide, name, json, yaml/,
    ],
    ['a bad value', ['agent', '--mode', 'warn'], {}, 2, /^pullwarden: invalidValue: --mode: "warn"/],
    ['a bad variable', ['doctor'], { PULLWARDEN_MODE: 'x' }, 2, /^pullwarden: invalidValue: PULLWARDEN_MODE/],
    ['a file that is not there', ['agent', '--config', '/no.yaml'], {}, 2, /^pullwarden: fileUnreadable: /],
    [
      'a database that is not there',
      ['decisions', '--state-dir', '/no'],
      {},
      2,
      /^pullwarden: noAgentYet: no agent has run here/,
    ],
    [
      'records where no agent has run',
      ['records', 'list', '--state-dir', '/no'],
      {},
      2,
      /^pullwarden: noAgentYet/,
    ],
  ];

  it.each(cases)('is one line on standard error: %s', async (_, args, env, exitCode, message) => {
    const ended = await pullwarden(args, { env });
    expect(ended).toMatchObject({ exitCode, stdout: '' });
    expect(ended.stderr).toMatch(message);
    expect(ended.stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('is exit code 1 for a record that is not there', async () => {
    const ended = await pullwarden(['records', 'show', 'ffffffffffff', '--state-dir', state.stateDir]);
    expect(ended).toEqual({
      exitCode: 1,
      stdout: '',
      stderr: 'pullwarden: notFound: there is no record of ffffffffffff\n',
    });
  });

  it('shows the help on standard error, where no subcommand is given', async () => {
    const ended = await pullwarden([]);
    expect(ended).toMatchObject({ exitCode: 2, stdout: '' });
    expect(ended.stderr).toContain('Usage: pullwarden');
  });
});
