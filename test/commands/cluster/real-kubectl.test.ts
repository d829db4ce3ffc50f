import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { unpackedPackage } from '../../../scripts/lab/packages.ts';
import { deniedDecision } from './denied-decision.ts';
import { type ExecAnswer, type ExecServer, startExecServer } from './exec-server.ts';

/** Kubectl speaks WebSocket to exec from 1.31 on. Debian's package, never installed. */
const kubectl = await unpackedPackage('kubectl', ['trixie', 'forky', 'sid'], /^1\.(3[1-9]|[4-9]\d)\./);

const PRIVATE = 'registry.example/team-a/app:1';
const DEAD = { 'node-007': 'hanging', 'node-012': 'not found', 'node-019': 'broken off' } as const;
/** Each costs a start of kubectl, some 0.2 s of a core: 200 of them are for a measurement, on a machine left alone. */
const NODES = Number(process.env.REPORT_NODES ?? '24');

function decision(node: number): object {
  return deniedDecision(PRIVATE, node, Date.now() - 300_000, { namespace: `team-${'bcd'[node % 3]}` });
}

type Ended = { readonly exitCode: number | null; readonly stdout: string; readonly stderr: string };

describe('kubectl pullwarden through a real kubectl, over an API server of many nodes', {
  timeout: 240_000,
}, () => {
  let server: ExecServer;
  let home: string;

  /** As `kubectl pullwarden …` runs it. Kubectl keeps what it has discovered in its home. */
  const plugin = (...args: string[]): Promise<Ended> => {
    const child = spawn(
      process.execPath,
      ['agent/kubectl-pullwarden.ts', ...args, '--kubeconfig', server.kubeconfig],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, HOME: home, KUBECTL: join(kubectl.root, 'usr/bin/kubectl') },
      },
    );
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (part) => (stdout += part));
    child.stderr.on('data', (part) => (stderr += part));
    return new Promise((resolve) => child.on('close', (exitCode) => resolve({ exitCode, stdout, stderr })));
  };

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'pullwarden-home-'));
    const answers = new Map<string, ExecAnswer>();
    for (let node = 0; node < NODES; node += 1) {
      const stdout = JSON.stringify([decision(node)]);
      answers.set(`node-${String(node).padStart(3, '0')}`, { stdout, exitCode: 0 });
    }
    for (const [node, is] of Object.entries(DEAD)) answers.set(node, { is });
    server = await startExecServer(answers);
  });
  afterAll(async () => {
    await server.stop();
    await rm(home, { recursive: true });
  });

  it('reports what all agents but three say, and names the three dead ones', async () => {
    const begin = performance.now();
    const { exitCode, stdout, stderr } = await plugin(
      'report',
      '--since',
      '5d',
      '-o',
      'json',
      '--timeout',
      '30',
    );
    process.stdout.write(`${NODES} agents: ${((performance.now() - begin) / 1_000).toFixed(1)} s\n`);
    expect(stderr).toBe('');
    expect(exitCode).toBe(4);
    const report = JSON.parse(stdout);
    expect(report.agents).toBe(NODES);
    expect(report.silent.map(({ node }: { node: string }) => node)).toEqual(Object.keys(DEAD));
    expect(report.silent[0].problem).toBe('no answer within 30 s');
    expect(report.silent[1].problem).toMatch(/container not found/);
    const counted = report.findings.reduce((sum: number, { nodes }: { nodes: number }) => sum + nodes, 0);
    expect(counted).toBe(NODES - 3);
    expect(server.executed).toHaveLength(NODES);
    expect(server.executed[0]).toMatch(/^pullwarden-node-\d+: pullwarden decisions -o json --since 120h/);
  });
});
