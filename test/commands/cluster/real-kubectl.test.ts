import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { deniedDecision } from './denied-decision.ts';
import { type ExecAnswer, type ExecServer, startExecServer } from './exec-server.ts';
import { type PluginHome, pluginHome } from './plugin.ts';

const PRIVATE = 'registry.example/team-a/app:1';
const DEAD = { 'node-007': 'hanging', 'node-012': 'not found', 'node-019': 'broken off' } as const;
const NODES = Number(process.env.REPORT_NODES ?? '200');

function decision(node: number): object {
  return deniedDecision(PRIVATE, node, Date.now() - 300_000, { namespace: `team-${'bcd'[node % 3]}` });
}

describe('kubectl pullwarden through a real kubectl, over an API server of many nodes', {
  timeout: 240_000,
}, () => {
  let server: ExecServer;
  let home: PluginHome;

  beforeAll(async () => {
    const answers = new Map<string, ExecAnswer>();
    for (let node = 0; node < NODES; node += 1) {
      const stdout = JSON.stringify([decision(node)]);
      answers.set(`node-${String(node).padStart(3, '0')}`, { stdout, exitCode: 0 });
    }
    for (const [node, is] of Object.entries(DEAD)) answers.set(node, { is });
    server = await startExecServer(answers);
    home = await pluginHome(server.kubeconfig);
  });
  afterAll(async () => {
    await server.stop();
    await home.remove();
  });

  it('reports what all agents but three say, and names the three dead ones', async () => {
    const begin = performance.now();
    const { exitCode, stdout, stderr } = await home.start(...['report', '--since', '5d', '-o', 'json']).ended;
    process.stdout.write(`${NODES} agents: ${((performance.now() - begin) / 1_000).toFixed(1)} s\n`);
    expect(stderr).toBe('');
    expect(exitCode).toBe(4);
    const report = JSON.parse(stdout);
    expect(report.agents).toBe(NODES);
    expect(report.silent.map(({ node }: { node: string }) => node)).toEqual(Object.keys(DEAD));
    expect(report.silent[0].problem).toBe('no answer within 20 s');
    expect(report.silent[1].problem).toMatch(/container not found/);
    const counted = report.findings.reduce((sum: number, { nodes }: { nodes: number }) => sum + nodes, 0);
    expect(counted).toBe(NODES - 3);
    // The two that did answer, but not with what was asked for, are asked once more.
    expect(server.executed).toHaveLength(NODES + 2);
    expect(server.executed[0]).toMatch(/^pullwarden-node-\d+: pullwarden decisions -o json --since 120h/);
  });
});

type Started = { readonly server: ExecServer; readonly home: PluginHome };

async function given(
  answers: Readonly<Record<string, ExecAnswer>>,
  options: Parameters<typeof startExecServer>[1] = {},
): Promise<Started> {
  const server = await startExecServer(new Map(Object.entries(answers)), options);
  onTestFinished(() => server.stop());
  const home = await pluginHome(server.kubeconfig);
  onTestFinished(() => home.remove());
  return { server, home };
}

const nothing: ExecAnswer = { stdout: '[]', exitCode: 0 };

describe('kubectl pullwarden through a real kubectl', { timeout: 120_000 }, () => {
  it('keeps of an agent that writes without end no more than it may, and names it', async () => {
    const { home } = await given({ 'node-a': nothing, 'node-b': { is: 'flooding' } });
    const { exitCode, stderr } = await home.start('decisions', '-o', 'json').ended;
    expect(stderr).toBe(
      'no answer from node-b (pullwarden-node-b): its answer is too large to be read (see --limit)\n',
    );
    expect(exitCode).toBe(4);
  });

  it('names an agent that answers nonsense, and writes none of it', async () => {
    const { home } = await given({ 'node-a': { stdout: '\u001b[2Jnonsense', exitCode: 0 } });
    const { exitCode, stdout, stderr } = await home.start('report').ended;
    expect(stdout).toContain('node-a (pullwarden-node-a): its answer cannot be read');
    expect(`${stdout}${stderr}`).not.toContain('\u001b');
    expect(exitCode).toBe(4);
  });

  it('says once that nothing may be run in the pods', async () => {
    const { home } = await given({ 'node-a': nothing, 'node-b': nothing }, { forbidden: true });
    const { exitCode, stdout, stderr } = await home.start('report').ended;
    expect(stderr).toMatch(
      /^pullwarden: kubectlFailed: Error from server \(Forbidden\): .*"pods\/exec".*\n$/,
    );
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
    expect(await readdir(home.temporary)).toEqual([]);
  });

  it('asks once more, by kubectl exec, where its own connection is refused', async () => {
    const { server, home } = await given({ 'node-a': nothing, 'node-b': nothing }, { refusesFirst: true });
    const { exitCode, stdout, stderr } = await home.start('decisions').ended;
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: 0, stdout: '(no decisions)\n', stderr: '' });
    expect(server.executed).toHaveLength(4);
  });

  it('leaves nothing behind when it is interrupted', async () => {
    const { server, home } = await given({ 'node-a': { is: 'hanging' }, 'node-b': { is: 'followed' } });
    const plugin = home.start('decisions', '--watch', '--timeout', '1');
    await server.followed(1);
    plugin.child.kill('SIGINT');
    const { exitCode } = await plugin.ended;
    expect(exitCode).toBe(130);
    expect(await readdir(home.temporary)).toEqual([]);
    await expect.poll(() => server.running()).toBe(0);
  });
});

describe('kubectl pullwarden decisions --watch', { timeout: 120_000 }, () => {
  it('shows what comes on any node, each once, and goes on when an agent was lost', async () => {
    const { server, home } = await given({ 'node-a': { is: 'followed' }, 'node-b': { is: 'followed' } });
    const plugin = home.start('decisions', '--watch', '--denied', '-n', 'team-b', '-o', 'json');
    onTestFinished(async () => {
      plugin.child.kill('SIGINT');
      await plugin.ended;
    });
    const lines = [1, 2, 3].map((node) => JSON.stringify(deniedDecision(PRIVATE, node, Date.now())));
    await server.followed(2);
    expect(server.executed.at(-1)).toMatch(
      /decisions --watch --end-with-input -o json --limit \d+ --since \d+s --denied --namespace team-b$/,
    );

    server.say('node-a', lines[0] ?? '');
    await plugin.lines(1);
    server.say('node-b', lines[1] ?? '');
    await plugin.lines(2);
    server.breakOff('node-b');
    await plugin.said(/^lost node-b \(pullwarden-node-b\): the connection broke off; trying again\n/);
    await server.followed(2);
    // As an agent does, it begins with what was there a moment ago.
    server.say('node-b', lines[1] ?? '');
    server.say('node-b', lines[2] ?? '');

    const shown = (await plugin.lines(3)).map((line) => JSON.parse(line));
    expect(shown.map(({ node, pod }) => `${node} ${pod}`)).toEqual([
      'node-a web-1',
      'node-b web-2',
      'node-b web-3',
    ]);
  });
});
