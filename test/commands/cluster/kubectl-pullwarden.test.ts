import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type FakeCluster, fakeCluster } from './fake-cluster.ts';

let fake: FakeCluster;

const checked = [{ container: 'app', would: 'denied' }];
const examined = [
  { check: 'nri', status: 'warning', detail: 'no socket', advice: 'switch it on' },
  { check: 'runtime', status: 'ok', detail: 'containerd 2.1', advice: '' },
];

beforeAll(async () => {
  fake = await fakeCluster(
    new Map([
      ['node-a', { says: checked, exitCode: 3 }],
      ['node-b', { says: examined }],
      ['node-c', { says: examined }],
      ['node-d', { is: 'gone' }],
    ]),
    { web: { namespace: 'team-b', node: 'node-a' }, waiting: { namespace: 'team-b' } },
  );
});
afterAll(() => fake.remove());

type Ended = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

function plugin(...args: string[]): Ended {
  return pluginWith(fake.kubectl, ...args);
}

function pluginWith(kubectl: string, ...args: string[]): Ended {
  return spawnSync(process.execPath, ['agent/kubectl-pullwarden.ts', ...args], {
    encoding: 'utf8',
    env: { ...process.env, KUBECTL: kubectl },
  });
}

describe('kubectl pullwarden', { timeout: 60_000 }, () => {
  it('check asks the agent on the node of the pod, and ends as that agent does', () => {
    const { status, stdout } = plugin('check', 'pod/web', '-n', 'team-b', '-o', 'json');
    expect(status).toBe(3);
    expect(JSON.parse(stdout)).toEqual(checked);
  });

  it('check hands --ask on', async () => {
    plugin('check', 'web', '-n', 'team-b', '--ask');
    expect((await fake.calls()).at(-1)).toMatch(
      / -- pullwarden check --namespace team-b web -o table --ask$/,
    );
  });

  it.each([
    ['a pod that is not there', ['check', 'none'], 2, /kubectlFailed: .*"none" not found/],
    ['a pod on no node', ['check', 'waiting'], 1, /notFound: pod waiting is on no node yet/],
    ['agents elsewhere', ['report', '--agent-namespace', 'x'], 1, /notFound: no pod .* --agent-namespace/],
    ['a bad duration', ['report', '--since', 'x'], 2, /usage: --since/],
    ['a bad limit', ['report', '--limit', '0'], 2, /usage: --limit: 0 .* from 1 to 100000/],
    ['all and one namespace', ['decisions', '-A', '-n', 'x'], 2, /usage: --namespace and --all-namespaces/],
    ['an unknown command', ['reprot'], 2, /usage: unknown command 'reprot'/],
  ])('says in one line: %s', (_, args, exitCode, message) => {
    const { status, stdout, stderr } = plugin(...args);
    expect({ status, stdout }).toEqual({ status: exitCode, stdout: '' });
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it.each([
    ['is not there', '/nonexistent/kubectl', /cannot run .*: it is not there \(KUBECTL names another\)/],
    ['prints something else', '/bin/true', /what kubectl prints is not what was asked for/],
  ])('says in one line that kubectl %s', (_, program, message) => {
    const { status, stderr } = pluginWith(program, 'report');
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('doctor says the same warning of several nodes once, and names agents that do not answer', () => {
    const { status, stdout, stderr } = plugin('doctor', '-o', 'json');
    expect(JSON.parse(stdout)).toEqual([
      { status: 'warning', check: 'nri', detail: 'no socket -> switch it on', nodes: ['node-b', 'node-c'] },
    ]);
    expect(stderr).toMatch(/^no answer from node-d \(pullwarden-node-d\): /m);
    expect(status).toBe(4);
  });
});
