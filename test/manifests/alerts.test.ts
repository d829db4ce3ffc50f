import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { promtool } from '../telemetry/promtool.ts';
import { type AlertRule, alertRules } from './monitoring.ts';

/**
 * Series by their selector; values in promtool's notation, one a minute: `0x5 1x20` is six times 0, then 21
 * times 1.
 */
type Given = Readonly<Record<string, string>>;
type Case = {
  readonly when: string;
  readonly given: Given;
  readonly at: string;
  /** The labels of each alert that then fires, without its severity; none: it keeps quiet. */
  readonly fires: readonly Readonly<Record<string, string>>[];
};

const AGENT = { job: 'pullwarden', namespace: 'pullwarden', node: 'node-1', pod: 'pullwarden-abcde' };
const agent = (metric: string, labels: Readonly<Record<string, string>> = {}): string => {
  const all = Object.entries({ ...AGENT, ...labels }).map(([label, value]) => `${label}="${value}"`);
  return `${metric}{${all.join(', ')}}`;
};
const verdicts = (verdict: string, reason: string): string =>
  agent('pullwarden_verdicts_total', { verdict, reason });
const stops = (outcome: string): string =>
  agent('pullwarden_enforcements_total', { action: 'stop', outcome });

const CASES: Readonly<Record<string, readonly Case[]>> = {
  PullwardenContainerDenied: [
    {
      when: 'a tenant is denied once',
      given: {
        [verdicts('denied', 'registryRefused')]: '0x5 1x60',
        [verdicts('denied', 'imageMismatch')]: '0x65',
      },
      at: '8m',
      fires: [{ namespace: 'pullwarden', node: 'node-1', reason: 'registryRefused' }],
    },
    {
      when: 'that was a while ago',
      given: { [verdicts('denied', 'registryRefused')]: '0x5 1x60' },
      at: '40m',
      fires: [],
    },
    {
      when: 'containers are allowed',
      given: {
        [verdicts('allowed', 'recordMatched')]: '0+10x20',
        [verdicts('denied', 'registryRefused')]: '0x20',
      },
      at: '15m',
      fires: [],
    },
  ],
  PullwardenDeniedContainerNotStopped: [
    {
      when: 'the runtime fails to stop a container',
      given: { [stops('failed')]: '0x5 1x20' },
      at: '8m',
      fires: [{ namespace: 'pullwarden', node: 'node-1' }],
    },
    {
      when: 'it stops them',
      given: { [stops('stopped')]: '0+1x20', [stops('failed')]: '0x20' },
      at: '15m',
      fires: [],
    },
  ],
  PullwardenFuseOpen: [
    {
      when: 'the fuse opens',
      given: { [agent('pullwarden_fuse_open')]: '0x4 1x5' },
      at: '5m',
      fires: [AGENT],
    },
    { when: 'it has closed', given: { [agent('pullwarden_fuse_open')]: '1x4 0x5' }, at: '6m', fires: [] },
  ],
  PullwardenUnverifiable: [
    {
      when: 'a registry is away for twenty minutes',
      given: {
        [verdicts('unverifiable', 'registryUnavailable')]: '0x2 1x40',
        [agent('pullwarden_pending_verdicts')]: '0x2 1x40',
      },
      at: '25m',
      fires: [{ namespace: 'pullwarden', node: 'node-1', reason: 'registryUnavailable' }],
    },
    {
      when: 'one container could not be verified, and then could',
      given: {
        [verdicts('unverifiable', 'registryUnavailable')]: '0x2 1x40',
        [agent('pullwarden_pending_verdicts')]: '0x2 1x3 0x40',
      },
      at: '25m',
      fires: [],
    },
  ],
  PullwardenVerdictPending: [
    {
      when: 'a container waits for its verdict',
      given: { [agent('pullwarden_pending_verdicts')]: '1x60' },
      at: '31m',
      fires: [AGENT],
    },
    {
      when: 'containers come, and get theirs',
      given: { [agent('pullwarden_pending_verdicts')]: '1 0 2 0 1 0 3x5 0x5 1x20' },
      at: '31m',
      fires: [],
    },
  ],
  PullwardenAbsent: [
    {
      when: 'there is no agent',
      given: { 'up{job="kubelet"}': '1x20' },
      at: '11m',
      fires: [{ job: 'pullwarden' }],
    },
    { when: 'there is one', given: { [agent('up')]: '1x20' }, at: '11m', fires: [] },
  ],
  PullwardenDown: [
    { when: 'an agent does not answer', given: { [agent('up')]: '1x2 0x20' }, at: '14m', fires: [AGENT] },
    { when: 'it is being replaced', given: { [agent('up')]: '1x2 0x3 1x20' }, at: '14m', fires: [] },
  ],
  PullwardenRestarting: [
    {
      when: 'an agent starts again and again',
      given: { [agent('process_start_time_seconds')]: '100x3 400x3 700x3 1000x3' },
      at: '15m',
      fires: [AGENT],
    },
    {
      when: 'it was restarted once',
      given: { [agent('process_start_time_seconds')]: '100x3 400x12' },
      at: '15m',
      fires: [],
    },
  ],
  PullwardenRuntimeUnreachable: [
    {
      when: 'the runtime is away',
      given: { [agent('pullwarden_runtime_connected')]: '1x2 0x10' },
      at: '9m',
      fires: [AGENT],
    },
    {
      when: 'it was restarted',
      given: { [agent('pullwarden_runtime_connected')]: '1x2 0x1 1x10' },
      at: '9m',
      fires: [],
    },
  ],
  PullwardenPodsUnreadable: [
    {
      when: 'the API server, or the right to read it, is away',
      given: { [agent('pullwarden_pods_source_ready')]: '1x2 0x20' },
      at: '14m',
      fires: [AGENT],
    },
    {
      when: 'the API server was restarted',
      given: { [agent('pullwarden_pods_source_ready')]: '1x2 0x3 1x20' },
      at: '14m',
      fires: [],
    },
  ],
  PullwardenContainersNotListed: [
    {
      when: 'there never was a list',
      given: { [agent('pullwarden_last_list_timestamp_seconds')]: '0x20' },
      at: '10m',
      fires: [AGENT],
    },
    {
      when: 'the last list gets old',
      given: { [agent('pullwarden_last_list_timestamp_seconds')]: '0+60x4 240x20' },
      at: '13m',
      fires: [AGENT],
    },
    {
      when: 'lists are made as they should be',
      given: { [agent('pullwarden_last_list_timestamp_seconds')]: '0+60x20' },
      at: '13m',
      fires: [],
    },
  ],
  PullwardenBytesNotShown: [
    {
      when: 'a registry cannot show what it grants',
      given: { [agent('pullwarden_bytes_not_shown_total')]: '0x5 1x60' },
      at: '8m',
      fires: [{ namespace: 'pullwarden', node: 'node-1' }],
    },
    {
      when: 'registries show what they are asked for',
      given: { [agent('pullwarden_bytes_not_shown_total')]: '0x60' },
      at: '30m',
      fires: [],
    },
  ],
  PullwardenVetoLost: [
    {
      when: 'the runtime asked, and does no longer',
      given: { [agent('pullwarden_nri_connected')]: '1x5 0x30' },
      at: '25m',
      fires: [{ namespace: 'pullwarden', node: 'node-1' }],
    },
    {
      when: 'that happened while the agent was replaced by another pod',
      given: {
        [agent('pullwarden_nri_connected')]: '1x5',
        [agent('pullwarden_nri_connected', { pod: 'pullwarden-fghij' })]: '_x6 0x30',
      },
      at: '35m',
      fires: [{ namespace: 'pullwarden', node: 'node-1' }],
    },
    { when: 'it never asked', given: { [agent('pullwarden_nri_connected')]: '0x40' }, at: '25m', fires: [] },
  ],
  PullwardenRecordsNotWritten: [
    {
      when: 'the disk is full',
      given: { [agent('pullwarden_record_store_errors_total', { reason: 'databaseFull' })]: '0x5 1x20' },
      at: '8m',
      fires: [{ namespace: 'pullwarden', node: 'node-1', reason: 'databaseFull' }],
    },
    {
      when: 'it is not',
      given: { [agent('pullwarden_record_store_errors_total', { reason: 'databaseFull' })]: '0x20' },
      at: '8m',
      fires: [],
    },
  ],
  PullwardenMemoryHigh: [
    {
      when: 'an agent uses 220 MiB',
      given: { [agent('process_resident_memory_bytes')]: `${220 * 2 ** 20}x20` },
      at: '16m',
      fires: [AGENT],
    },
    {
      when: 'it uses 100 MiB',
      given: { [agent('process_resident_memory_bytes')]: `${100 * 2 ** 20}x20` },
      at: '16m',
      fires: [],
    },
  ],
};

describe('alerts', { timeout: 60_000 }, () => {
  let folder: string;
  let alerts: readonly AlertRule[];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pullwarden-alerts-'));
    ({ alerts } = await alertRules());
    // promtool compares annotations as well; what they say is no part of when an alert fires.
    const rules = alerts.map(({ annotations: _, ...rule }) => rule);
    await writeFile(join(folder, 'rules.json'), JSON.stringify({ groups: [{ name: 'all', rules }] }));
  });
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  it('are each shown to fire and to keep quiet', () => {
    const known = alerts.map(({ alert }) => alert);
    expect(Object.keys(CASES).sort()).toEqual([...known].sort());
    for (const [alert, cases] of Object.entries(CASES)) {
      expect(new Set(cases.map(({ fires }) => fires.length > 0)), alert).toEqual(new Set([true, false]));
    }
  });

  for (const [alert, cases] of Object.entries(CASES)) {
    describe(alert, () => {
      it.each(cases)('when $when', async ({ given, at, fires }) => {
        const severity = alerts.find((rule) => rule.alert === alert)?.labels?.severity;
        const test = {
          interval: '1m',
          input_series: Object.entries(given).map(([series, values]) => ({ series, values })),
          alert_rule_test: [
            {
              eval_time: at,
              alertname: alert,
              exp_alerts: fires.map((labels) => ({ exp_labels: { severity, ...labels } })),
            },
          ],
        };
        const file = join(folder, `${alert}.json`);
        await writeFile(
          file,
          JSON.stringify({ rule_files: ['rules.json'], evaluation_interval: '1m', tests: [test] }),
        );
        expect(await promtool(['test', 'rules', file])).toContain('SUCCESS');
      });
    });
  }
});
