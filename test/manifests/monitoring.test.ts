import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PodMonitor, ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { Service } from 'kubernetes-models/v1';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createMetrics } from '../../agent/telemetry/metrics.ts';
import { parseExposition, type Series } from '../telemetry/exposition.ts';
import { promtool } from '../telemetry/promtool.ts';
import { installationOf } from './installation.ts';
import { build, buildAnew, pathFrom, repository } from './kustomize.ts';
import { alertRules, type Dashboard, dashboard } from './monitoring.ts';
import { readQuery, type Selector } from './promql.ts';

/**
 * What Prometheus and the Prometheus operator put on every series of a PodMonitor; `node` is this one's own,
 * `cluster` is there where several clusters come together.
 */
const TARGET_LABELS = ['job', 'cluster', 'node', 'pod', 'namespace', 'container', 'endpoint', 'instance'];
/** Prometheus' own series about a target. */
const UP = 'up';

let folder: string;
let exported: readonly Series[];
let board: Dashboard;
let alerts: Awaited<ReturnType<typeof alertRules>>['alerts'];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pullwarden-monitoring-'));
  exported = await exportedSeries();
  board = await dashboard();
  ({ alerts } = await alertRules());
  // promtool may have to be fetched first.
}, 180_000);
afterAll(async () => rm(folder, { recursive: true, force: true }));

describe('alerts and dashboard', { timeout: 60_000 }, () => {
  it('name only metrics, labels and values that the agent has', () => {
    const problems = allQueries().flatMap((query) => readQuery(query).selectors.flatMap(problemsOf));
    expect(problems).toEqual([]);
  });

  it('group only by labels that are there', () => {
    const problems = allQueries().flatMap((query) => {
      const { selectors, groupingLabels } = readQuery(query);
      const known = new Set([
        ...TARGET_LABELS,
        ...selectors.flatMap(({ metric }) => [...labelsOf(metric).keys()]),
      ]);
      return groupingLabels.filter((label) => !known.has(label)).map((label) => `${label}: ${query}`);
    });
    expect(problems).toEqual([]);
  });

  it("ask for Pullwarden's series and nobody else's", async () => {
    const others = allQueries().flatMap((query) =>
      readQuery(query).selectors.filter(
        ({ matchers }) => !matchers.some(({ label, value }) => label === 'job' && value === 'pullwarden'),
      ),
    );
    expect(others).toEqual([]);
    const [monitor] = (await build('monitoring')).filter(PodMonitor.is);
    const { daemonSet } = installationOf(await build('base'));
    const jobLabel = monitor?.spec.jobLabel ?? '';
    expect(daemonSet.spec?.template.metadata?.labels?.[jobLabel]).toBe('pullwarden');
  });
});

describe('the PodMonitor', { timeout: 60_000 }, () => {
  it("finds the agent's pods and the port that they offer, and says which node they are on", async () => {
    const [monitor] = (await build('monitoring')).filter(PodMonitor.is);
    const { daemonSet, agent } = installationOf(await build('base'));
    expect(monitor?.metadata?.namespace).toBe(daemonSet.metadata?.namespace);
    expect(daemonSet.spec?.template.metadata?.labels).toMatchObject(
      monitor?.spec.selector.matchLabels ?? { none: '' },
    );
    expect(monitor?.spec.podMetricsEndpoints).toMatchObject([
      {
        port: agent.ports?.[0]?.name,
        path: '/metrics',
        relabelings: [{ sourceLabels: ['__meta_kubernetes_pod_node_name'], targetLabel: 'node' }],
      },
    ]);
  });
});

describe('the Service of the metrics', { timeout: 60_000 }, () => {
  it("finds the agents' port by annotations, each agent by itself, ready or not", async () => {
    const [service] = (await build('monitoring')).filter(Service.is);
    const { daemonSet, agent } = installationOf(await build('base'));
    const [port] = agent.ports ?? [];
    expect(service?.metadata?.annotations).toMatchObject({
      'prometheus.io/scrape': 'true',
      'prometheus.io/port': String(port?.containerPort),
    });
    expect(service?.spec).toMatchObject({
      clusterIP: 'None',
      publishNotReadyAddresses: true,
      ports: [{ name: port?.name, targetPort: port?.name }],
    });
    expect(daemonSet.spec?.template.metadata?.labels).toMatchObject(service?.spec?.selector ?? { none: '' });
  });

  it('is what the component service-monitor takes instead of the pods', async () => {
    const lines = ['resources: ', 'components: '].map((key, index) => {
      const path = pathFrom(folder, index === 0 ? 'monitoring' : 'components/service-monitor');
      return `${key}[${path}]`;
    });
    await writeFile(join(folder, 'kustomization.yaml'), `${lines.join('\n')}\n`);
    const objects = await buildAnew(folder);
    const [service] = objects.filter(Service.is);
    const [monitor] = objects.filter(ServiceMonitor.is);
    expect(objects.filter(PodMonitor.is)).toEqual([]);
    expect(service?.metadata?.labels).toMatchObject(monitor?.spec.selector.matchLabels ?? { none: '' });
    expect(monitor?.spec.endpoints[0]?.port).toBe('metrics');
    expect(service?.metadata?.labels?.[monitor?.spec.jobLabel ?? '']).toBe('pullwarden');
  });
});

describe('the alerts', { timeout: 60_000 }, () => {
  it('are accepted by promtool', async () => {
    const { groups } = await alertRules();
    const file = join(folder, 'rules.json');
    await writeFile(file, JSON.stringify({ groups }));
    expect(await promtool(['check', 'rules', file])).toContain(`${alerts.length} rules found`);
  });

  it('say what to do, and name only labels that they have', () => {
    for (const { alert, expr, labels, annotations } of alerts) {
      expect(Object.keys(annotations ?? {}).sort(), alert).toEqual(['description', 'runbook_url', 'summary']);
      expect(labels?.severity, alert).toMatch(/^(critical|warning)$/);
      const { groupingLabels } = readQuery(String(expr));
      const has = groupingLabels.length > 0 ? groupingLabels : TARGET_LABELS;
      const named = [...JSON.stringify(annotations).matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label);
      expect(
        named.filter((label) => !has.includes(label ?? '')),
        alert,
      ).toEqual([]);
    }
  });

  it('each have a runbook, and there is none besides', async () => {
    const pages = await readdir(join(repository, 'docs/runbooks'));
    expect(pages.sort()).toEqual(alerts.map(({ alert }) => `${alert}.md`).sort());
    for (const { alert, annotations } of alerts) {
      expect(annotations?.runbook_url).toMatch(new RegExp(`/docs/runbooks/${alert}\\.md$`));
    }
  });

  it('keep the namespace, by which Alertmanager routes', () => {
    for (const { alert, expr } of alerts) {
      const { groupingLabels } = readQuery(String(expr));
      if (groupingLabels.length > 0) expect(groupingLabels, alert).toContain('namespace');
    }
  });

  it('warn of memory at four fifths of what the DaemonSet allows', async () => {
    const { agent } = installationOf(await build('base'));
    const [, mebibytes] = /^(\d+)Mi$/.exec(String(agent.resources?.limits?.memory)) ?? [];
    const rule = alerts.find(({ alert }) => alert === 'PullwardenMemoryHigh');
    expect(rule?.expr).toMatch(new RegExp(`> 0\\.8 \\* ${Number(mebibytes) * 1024 * 1024}$`));
  });
});

describe('the dashboard', { timeout: 60_000 }, () => {
  it('has only queries that promtool accepts', async () => {
    const rules = board.panels
      .flatMap(({ targets }) => targets)
      .map(({ expr }, index) => ({ record: `panel:query:${index}`, expr: asPrometheus(expr) }));
    const file = join(folder, 'queries.json');
    await writeFile(file, JSON.stringify({ groups: [{ name: 'dashboard', rules }] }));
    expect(await promtool(['check', 'rules', file])).toContain(`${rules.length} rules found`);
  });

  it('uses no variable that it does not define', () => {
    const known = new Set([...board.templating.list.map(({ name }) => name), '__range', '__rate_interval']);
    const used = [...JSON.stringify(board.panels).matchAll(/\$\{?(\w+)\}?/g)].map(([, name]) => name);
    expect(used.filter((name) => !known.has(name ?? ''))).toEqual([]);
  });

  it('shows every metric of the agent', () => {
    const shown = new Set(
      allQueries().flatMap((query) => readQuery(query).selectors.map(({ metric }) => metric)),
    );
    const families = new Map(exported.map(({ name, family }) => [name, family]));
    const own = new Set([...families.values()].filter((family) => family.startsWith('pullwarden_')));
    expect(own.size).toBeGreaterThan(15);
    for (const name of shown) own.delete(families.get(name) ?? '');
    expect([...own]).toEqual([]);
  });

  it('says of every panel what it shows, and lays no panel over another', () => {
    const places = new Set<string>();
    for (const { type, title, description, gridPos, targets } of board.panels) {
      if (targets.length > 0) expect(description, title).toMatch(/\.$/);
      if (type !== 'row' && type !== 'text') expect(targets, title).not.toEqual([]);
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(places.has(`${x},${y}`), title).toBe(false);
          places.add(`${x},${y}`);
        }
      }
    }
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
  });

  it('asks what was denied, whether the agent is blind, and what it costs', () => {
    const rows = board.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
    expect(rows).toEqual(['What was denied, where, why?', 'Is the agent blind?', 'What does it cost?']);
  });

  it('names in its legends only labels that the query leaves', () => {
    for (const { title, targets } of board.panels) {
      for (const { expr, legendFormat = '' } of targets) {
        const { groupingLabels } = readQuery(asPrometheus(expr));
        const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label);
        expect(
          named.filter((label) => !groupingLabels.includes(label ?? '')),
          title,
        ).toEqual([]);
      }
    }
  });
});

async function exportedSeries(): Promise<Series[]> {
  const metrics = createMetrics({ version: '1.0.0', revision: 'abc', nodeVersion: process.version });
  metrics.observe({
    pulledRecords: () => 0,
    pullIntents: () => 0,
    runtimeConnected: () => true,
    runtimeEventsSupported: () => true,
    podsSourceReady: () => true,
    nriConnected: () => true,
    fuseOpen: () => false,
    pendingVerdicts: () => 0,
    runtimeRegistries: () => ({ onlyReached: ['far.example'], granted: ['open.example'] }),
    entitlements: () => ({ granted: 0, refused: 0, unverifiable: 0, notAsked: 0 }),
    runtimeGrants: () => 0,
    lastList: () => 0,
    events: () => ({ sent: 0, limited: 0, dropped: 0 }),
  });
  return parseExposition(await metrics.render()).series;
}

function allQueries(): string[] {
  const panels = board.panels.flatMap(({ targets }) => targets.map(({ expr }) => asPrometheus(expr)));
  return [...alerts.map(({ expr }) => String(expr)), ...panels];
}

/** A query with Grafana's variables filled in. */
function asPrometheus(query: string): string {
  return query
    .replaceAll('$__rate_interval', '5m')
    .replaceAll('$__range', '6h')
    .replaceAll('$node', '.*')
    .replaceAll('$cluster', '.*');
}

/** The labels of a metric, each with the values that it has. */
function labelsOf(metric: string): Map<string, Set<string>> {
  const labels = new Map<string, Set<string>>();
  for (const series of exported.filter(({ name }) => name === metric)) {
    for (const [label, value] of Object.entries(series.labels)) {
      labels.set(label, (labels.get(label) ?? new Set()).add(value));
    }
  }
  return labels;
}

function problemsOf({ metric, matchers }: Selector): string[] {
  if (metric !== UP && !exported.some(({ name }) => name === metric)) return [`no metric ${metric}`];
  const labels = labelsOf(metric);
  return matchers
    .filter(({ label }) => !TARGET_LABELS.includes(label))
    .flatMap(({ label, operator, value }) => {
      const values = labels.get(label);
      if (!values) return [`${metric} has no label ${label}`];
      const wanted = operator.endsWith('~') ? value.split('|') : [value];
      return wanted.filter((one) => !values.has(one)).map((one) => `${metric}: ${label} is never ${one}`);
    });
}
