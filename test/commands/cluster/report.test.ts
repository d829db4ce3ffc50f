import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { Cluster, Progress } from '../../../agent/commands/cluster/agents.ts';
import type { Report } from '../../../agent/commands/cluster/findings.ts';
import { createKubectl } from '../../../agent/commands/cluster/kubectl.ts';
import { type ReportFormat, runReport } from '../../../agent/commands/cluster/report.ts';
import { deniedDecision } from './denied-decision.ts';
import { type AgentAnswer, type FakeCluster, fakeCluster } from './fake-cluster.ts';

const NOW = Date.UTC(2026, 0, 2, 12);
const MINUTE = 60_000;
const PRIVATE = 'registry.example/team-a/app:1';

type Given = { readonly node: number; readonly minutesAgo: number; readonly [field: string]: unknown };

function decision({ node, minutesAgo, ...fields }: Given): object {
  return deniedDecision(PRIVATE, node, NOW - minutesAgo * MINUTE, fields);
}

/** Every node has one container that is denied; three agents are dead, each in a way of its own. */
function twoHundredNodes(): Map<string, AgentAnswer> {
  const agents = new Map<string, AgentAnswer>();
  for (let node = 0; node < 200; node += 1) {
    const name = `node-${String(node).padStart(3, '0')}`;
    agents.set(name, { says: [decision({ node, minutesAgo: 5 }), decision({ node, minutesAgo: 90 })] });
  }
  agents.set('node-007', { is: 'hanging' });
  agents.set('node-042', { is: 'gone' });
  agents.set('node-199', { is: 'talking nonsense' });
  return agents;
}

type Asked = { readonly exitCode: number; readonly text: string; readonly progress: readonly Progress[] };

async function ask(fake: FakeCluster, output: ReportFormat, columns?: number): Promise<Asked> {
  const parts: string[] = [];
  const progress: Progress[] = [];
  // Two hundred programs on two busy cores: only the one that hangs must run into it.
  const timeoutMs = 30_000;
  const cluster: Cluster = {
    kubectl: createKubectl({ program: fake.kubectl, timeoutMs }),
    namespace: 'pullwarden',
    timeoutMs,
    parallel: 20,
    onProgress: (step) => progress.push(step),
  };
  const print = Object.assign((part: string) => void parts.push(part), {
    ...(columns === undefined ? {} : { terminal: { columns, color: false } }),
  });
  const exitCode = await runReport(cluster, { since: '7d', limit: 1000, output }, { print, now: NOW });
  return { exitCode, text: parts.join(''), progress };
}

describe('the report over 200 nodes, three of whose agents are dead', { timeout: 240_000 }, () => {
  let fake: FakeCluster;
  let asked: Asked;
  let report: Report;
  beforeAll(async () => {
    fake = await fakeCluster(twoHundredNodes());
    asked = await ask(fake, 'json');
    report = JSON.parse(asked.text);
  }, 240_000);
  afterAll(() => fake.remove());

  it('names the dead ones and what is the matter with them, and its exit code says that it is not whole', () => {
    expect(report.agents).toBe(200);
    expect(report.silent).toEqual([
      { node: 'node-007', pod: 'pullwarden-node-007', problem: 'no answer within 30 s' },
      {
        node: 'node-042',
        pod: 'pullwarden-node-042',
        problem: 'unable to upgrade connection: container not found ("agent")',
      },
      {
        node: 'node-199',
        pod: 'pullwarden-node-199',
        problem: 'its answer cannot be read: is it of another version?',
      },
    ]);
    expect(asked.exitCode).toBe(4);
  });

  it('puts the same trouble on all nodes into one finding, with how to mend it', () => {
    expect(report.findings).toHaveLength(1);
    expect(report.findings[0]).toMatchObject({
      namespace: 'team-b',
      image: PRIVATE,
      reason: 'registryRefused',
      containers: 197,
      nodes: 197,
      enforced: false,
      since: new Date(NOW - 90 * MINUTE).toISOString(),
      last: new Date(NOW - 5 * MINUTE).toISOString(),
      mend: expect.stringContaining('"registry.example"'),
    });
    expect(report.namespaces).toEqual([{ namespace: 'team-b', denied: 197, unverifiable: 0 }]);
  });

  it('says how far it is after each answer', () => {
    expect(asked.progress).toHaveLength(200);
    expect(asked.progress.at(-1)).toEqual({ asked: 200, silent: 3, total: 200 });
  });
});

describe('a report', { timeout: 240_000 }, () => {
  const hostile = '<script>|\u001b[2J';
  let fake: FakeCluster;
  beforeAll(async () => {
    fake = await fakeCluster(
      new Map([
        [
          'node-a',
          {
            says: [
              decision({ node: 1, minutesAgo: 60 }),
              decision({ node: 1, minutesAgo: 10, verdict: 'allowed', reason: 'repullSucceeded' }),
              decision({ node: 2, minutesAgo: 3, mode: 'enforce', action: 'stop', outcome: 'stopped' }),
              decision({
                node: 3,
                minutesAgo: 2,
                namespace: 'team-c',
                image: hostile,
                verdict: 'unverifiable',
                reason: 'registryUnavailable',
                message: hostile,
              }),
            ],
          },
        ],
      ]),
    );
  });
  afterAll(() => fake.remove());

  it('leaves out what was mended: of a container the newest verdict counts', async () => {
    const { text, exitCode } = await ask(fake, 'json');
    const { findings }: Report = JSON.parse(text);
    expect(findings.map(({ pods }) => pods)).toEqual([['web-2'], ['web-3']]);
    expect(exitCode).toBe(0);
  });

  it('hides nothing behind a verdict about a pod of the same name elsewhere', async () => {
    const web = { node: 1, podUid: '', pod: 'web' };
    const other = await fakeCluster(
      new Map([
        [
          'node-a',
          {
            says: [
              decision({ ...web, minutesAgo: 5, namespace: 'team-b' }),
              decision({ ...web, minutesAgo: 3, namespace: 'team-c', verdict: 'allowed' }),
            ],
          },
        ],
      ]),
    );
    onTestFinished(() => other.remove());
    const { findings }: Report = JSON.parse((await ask(other, 'json')).text);
    expect(findings.map(({ namespace }) => namespace)).toEqual(['team-b']);
  });

  it('does not read like a pass when nobody has answered', async () => {
    const nobody = await fakeCluster(new Map([['node-a', { is: 'gone' }]]));
    onTestFinished(() => nobody.remove());
    const { text, exitCode } = await ask(nobody, 'table');
    expect(text).toMatch(/^Nothing is known of the last 7d: 0 of 1 agent answered\.\n/);
    expect(exitCode).toBe(4);
  });

  it('fits a terminal of 80 columns', async () => {
    const { text } = await ask(fake, 'table', 80);
    expect(text).toContain('1 container was denied, and 1 could');
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(text).toMatch(/^1 +denied +team-b +.*app:1 +registryR/m);
  });

  it.each(['table', 'json', 'yaml', 'markdown', 'html'] as const)(
    'as %s holds nothing that a tenant could do harm with',
    async (format) => {
      const { text } = await ask(fake, format);
      expect(text).not.toContain('\u001b');
      if (format === 'html' || format === 'markdown') expect(text).not.toContain('<script>');
      if (format === 'markdown') {
        const cells = text.split('\n').filter((line) => line.startsWith('| '));
        expect(new Set(cells.map((line) => line.split(/(?<!\\)\|/).length)).size).toBe(1);
      }
    },
  );

  it('as HTML is one page that fetches nothing', async () => {
    const { text } = await ask(fake, 'html');
    expect(text).toMatch(/^<!doctype html>/);
    expect(text).not.toMatch(/(src|href)=|url\(|@import/);
  });
});
