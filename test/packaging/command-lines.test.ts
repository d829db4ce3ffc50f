import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

function run(script: string, ...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { status, stdout, stderr };
}

const SCRIPTS = ['bench', 'conformance', 'faults', 'fuzz'].map((name) => `scripts/${name}/main.ts`);

describe.each(SCRIPTS)('%s', { timeout: 60_000 }, (script) => {
  it('says with --help how it is called, in one line', () => {
    const { status, stdout, stderr } = run(script, '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^usage: npm run .*\n$/);
  });

  it.each([['--nonsense'], ['--seed', 'x']])('answers %s in one line, and does nothing', (...args) => {
    const { status, stdout, stderr } = run(script, ...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('scripts/cri-node', { timeout: 60_000 }, () => {
  it.each([[['--nonsense']], [['nonsense']], [['run', 'A']]])('answers %j in one line', (args) => {
    const { status, stdout, stderr } = run('scripts/lab/cli.ts', ...args);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^cri-node: .*\n$/);
  });

  it('fits 80 columns with --help', () => {
    const { status, stdout } = run('scripts/lab/cli.ts', '--help');
    expect(status).toBe(0);
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    for (const command of ['run', 'versions', 'clean']) expect(stdout).toContain(command);
  });
});

describe('scripts/test', () => {
  it.each([
    ['--help', 0],
    ['nonsense', 2],
  ] as const)('answers %s in one line, and tests nothing', (argument, status) => {
    const ended = spawnSync('bash', ['scripts/test', argument], { encoding: 'utf8', timeout: 30_000 });
    expect(ended.status).toBe(status);
    expect(`${ended.stdout}${ended.stderr}`).toMatch(/^usage: scripts\/test .*\n$/);
  });
});
