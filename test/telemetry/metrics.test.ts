import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ALLOWED_REASONS, DENIED_REASONS, UNVERIFIABLE_REASONS } from '../../agent/access/verdict.ts';
import { ENFORCEMENT_OUTCOMES } from '../../agent/enforcement/plan.ts';
import { createMetrics } from '../../agent/telemetry/metrics.ts';
import type { Observed } from '../../agent/telemetry/observed-state.ts';
import { parseExposition, type Series } from './exposition.ts';
import { promtool } from './promtool.ts';

const quiet: Observed = {
  pulledRecords: () => 3,
  pullIntents: () => 1,
  runtimeConnected: () => true,
  runtimeEventsSupported: () => false,
  podsSourceReady: () => true,
  nriConnected: () => true,
  fuseOpen: () => false,
  pendingVerdicts: () => 2,
  runtimeRegistries: () => ({ onlyReached: ['far.example'], granted: ['open.example'] }),
  entitlements: () => ({ granted: 0, refused: 0, unverifiable: 0, notAsked: 0 }),
  runtimeGrants: () => 2,
  lastList: () => 1_700_000_000.5,
  events: () => ({ sent: 7, limited: 1, dropped: 0 }),
};

function metricsOf(observed: Partial<Observed> = {}) {
  const metrics = createMetrics({ version: '1.2.3', revision: 'abc', nodeVersion: 'v24.0.0' });
  metrics.observe({ ...quiet, ...observed });
  return metrics;
}

function sampleValue(
  series: readonly Series[],
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  return series.find(
    (one) =>
      one.name === `pullwarden_${name}` &&
      Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  )?.value;
}

describe('the metrics of an agent to which nothing has happened', () => {
  it('are valid text exposition: every series has HELP and TYPE, none comes twice', async () => {
    const { series, families } = parseExposition(await metricsOf().render());
    expect(series.length).toBeGreaterThan(100);
    for (const { family } of series) expect(families.get(family)?.help).not.toBe('');
    const written = series.map(({ name, labels }) => JSON.stringify([name, labels]));
    expect(new Set(written).size).toBe(written.length);
  });

  it("pass Prometheus' own check without a complaint", { timeout: 120_000 }, async () => {
    expect(await promtool(['check', 'metrics'], await metricsOf().render())).toBe('');
  });

  it('name the registries that only the runtime reaches or was granted something of, twenty at most', async () => {
    const onlyReached = Array.from({ length: 25 }, (_, n) => `registry-${n}.example`);
    const runtimeRegistries = () => ({ onlyReached, granted: ['open.example'] });
    const { series } = parseExposition(await metricsOf({ runtimeRegistries }).render());
    const name = 'registries_only_runtime_reaches';
    expect(sampleValue(series, name, { registry: 'registry-19.example' })).toBe(1);
    expect(sampleValue(series, name, { registry: 'registry-20.example' })).toBeUndefined();
    expect(sampleValue(series, name, { registry: 'other' })).toBe(5);
    expect(sampleValue(series, 'runtime_granted_registries', { registry: 'open.example' })).toBe(1);
  });

  it('have every verdict and reason of the closed list, at 0', async () => {
    const { series } = parseExposition(await metricsOf().render());
    const lists = { allowed: ALLOWED_REASONS, denied: DENIED_REASONS, unverifiable: UNVERIFIABLE_REASONS };
    for (const [verdict, reasons] of Object.entries(lists)) {
      for (const reason of reasons)
        expect(sampleValue(series, 'verdicts_total', { verdict, reason })).toBe(0);
    }
    const expected = Object.values(lists).flat().length;
    expect(series.filter(({ name }) => name === 'pullwarden_verdicts_total')).toHaveLength(expected);
  });

  it('have every enforcement, every check result, every re-pull outcome and every store error at 0', async () => {
    const { series } = parseExposition(await metricsOf().render());
    for (const [action, outcomes] of Object.entries(ENFORCEMENT_OUTCOMES)) {
      for (const outcome of outcomes) {
        expect(sampleValue(series, 'enforcements_total', { action, outcome })).toBe(0);
      }
    }
    for (const result of ['credentialPolicyAllowed', 'credentialRecordFound', 'mustAuthenticate', 'error']) {
      expect(sampleValue(series, 'image_mustpull_checks_total', { result })).toBe(0);
    }
    expect(sampleValue(series, 'repull_duration_seconds_count', { outcome: 'refused' })).toBe(0);
    expect(sampleValue(series, 'record_store_errors_total', { reason: 'databaseFull' })).toBe(0);
    expect(sampleValue(series, 'containers_gone_total')).toBe(0);
    expect(sampleValue(series, 'malformed_events_total')).toBe(0);
    expect(sampleValue(series, 'container_stop_seconds_count')).toBe(0);
  });

  it("have kubelet's labels on ensure_image_requests_total, all 27 of them", async () => {
    const { series } = parseExposition(await metricsOf().render());
    const requests = series.filter(({ name }) => name === 'pullwarden_ensure_image_requests_total');
    expect(requests).toHaveLength(27);
    const labels = { pull_policy: 'ifnotpresent', present_locally: 'unknown', pull_required: 'false' };
    expect(sampleValue(series, 'ensure_image_requests_total', labels)).toBe(0);
  });

  it('say what runs, and bring the metrics of the process', async () => {
    const { series } = parseExposition(await metricsOf().render());
    const build = { version: '1.2.3', revision: 'abc', node_version: 'v24.0.0' };
    expect(sampleValue(series, 'build_info', build)).toBe(1);
    expect(series.some(({ name }) => name === 'process_resident_memory_bytes')).toBe(true);
  });

  it('resolve verdicts from 10 microseconds to a minute', async () => {
    const { series } = parseExposition(await metricsOf().render());
    const bounds = series
      .filter(({ name }) => name === 'pullwarden_verdict_duration_seconds_bucket')
      .map(({ labels }) => Number(labels.le?.replace('+Inf', 'Infinity')));
    expect(bounds[0]).toBe(0.000_01);
    expect(bounds.at(-2)).toBe(60);
    expect(bounds).toEqual([...bounds].sort((a, b) => a - b));
  });
});

describe('what happened', () => {
  it('is counted under its own words', async () => {
    const metrics = metricsOf();
    metrics.verdict({ verdict: 'denied', reason: 'registryRefused' }, 0.2);
    metrics.mustPullCheck('mustAuthenticate');
    metrics.imageEnsured('Never', true, undefined);
    metrics.repull('refused', 0.3);
    metrics.enforcement('stop', 'stopped');
    metrics.containerStopped(0.04);
    metrics.containerGone();
    metrics.malformedEvent();
    metrics.refusedAgain();
    metrics.recordStoreError('databaseBusy');
    metrics.nriDisconnected('synchronizeUnfinished');
    metrics.vetoAnswered(0.02);

    const { series } = parseExposition(await metrics.render());
    expect(sampleValue(series, 'verdicts_total', { verdict: 'denied', reason: 'registryRefused' })).toBe(1);
    expect(sampleValue(series, 'verdict_duration_seconds_sum')).toBe(0.2);
    expect(sampleValue(series, 'image_mustpull_checks_total', { result: 'mustAuthenticate' })).toBe(1);
    const ensured = { pull_policy: 'never', present_locally: 'true', pull_required: 'unknown' };
    expect(sampleValue(series, 'ensure_image_requests_total', ensured)).toBe(1);
    expect(sampleValue(series, 'repull_duration_seconds_count', { outcome: 'refused' })).toBe(1);
    expect(sampleValue(series, 'enforcements_total', { action: 'stop', outcome: 'stopped' })).toBe(1);
    expect(sampleValue(series, 'container_stop_seconds_bucket', { le: '0.05' })).toBe(1);
    expect(sampleValue(series, 'containers_gone_total')).toBe(1);
    expect(sampleValue(series, 'malformed_events_total')).toBe(1);
    expect(sampleValue(series, 'repeated_refusals_total')).toBe(1);
    expect(sampleValue(series, 'nri_disconnects_total', { reason: 'synchronizeUnfinished' })).toBe(1);
    expect(sampleValue(series, 'nri_disconnects_total', { reason: 'closed' })).toBe(0);
    expect(sampleValue(series, 'veto_wait_seconds_sum')).toBe(0.02);
    expect(sampleValue(series, 'record_store_errors_total', { reason: 'databaseBusy' })).toBe(1);
    expect(sampleValue(series, 'last_list_timestamp_seconds')).toBe(1_700_000_000.5);
    expect(sampleValue(series, 'kubernetes_events_total', { result: 'sent' })).toBe(7);
    expect(sampleValue(series, 'kubernetes_events_total', { result: 'dropped' })).toBe(0);
  });

  it('is asked for on every scrape where it can be looked up', async () => {
    let records = 1;
    const metrics = metricsOf({ pulledRecords: () => records, fuseOpen: () => records > 1 });
    expect(sampleValue(parseExposition(await metrics.render()).series, 'pulled_records')).toBe(1);
    records = 5;
    const { series } = parseExposition(await metrics.render());
    expect(sampleValue(series, 'pulled_records')).toBe(5);
    expect(sampleValue(series, 'fuse_open')).toBe(1);
    expect(sampleValue(series, 'runtime_events_supported')).toBe(0);
    expect(sampleValue(series, 'pull_intents')).toBe(1);
    expect(sampleValue(series, 'pending_verdicts')).toBe(2);
  });

  it('leaves a gap where a part cannot answer, and the rest of the scrape in order', async () => {
    const metrics = metricsOf({
      pulledRecords: () => {
        throw new Error('closed');
      },
    });
    const { series } = parseExposition(await metrics.render());
    expect(sampleValue(series, 'pulled_records')).toBeNaN();
    expect(sampleValue(series, 'runtime_connected')).toBe(1);
  });

  it('stays apart from the metrics of another registry', async () => {
    const one = metricsOf();
    const other = metricsOf();
    one.containerGone();
    expect(sampleValue(parseExposition(await other.render()).series, 'containers_gone_total')).toBe(0);
  });
});

describe('the delay of the event loop', () => {
  it('is of the time since the last scrape, so that an hour-old stall does not show for ever', async () => {
    const metrics = metricsOf();
    const worst = async () => {
      const { series } = parseExposition(await metrics.render());
      return series.find(({ name }) => name === 'nodejs_eventloop_lag_max_seconds')?.value ?? Number.NaN;
    };
    await worst();
    await sleep(30);
    const until = performance.now() + 400;
    while (performance.now() < until);
    await sleep(30);
    const stalled = await worst();
    expect(stalled).toBeGreaterThan(0.3);
    await sleep(30);
    expect(await worst()).toBeLessThan(stalled);
  });
});
