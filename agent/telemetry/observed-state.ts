import { Counter, Gauge, type Registry } from 'prom-client';
import type { EntitlementState } from '../enforcement/guard/reverification.ts';
import type { RuntimeRegistries } from '../records/saved-runtime-registries.ts';
import { PREFIX } from './metric-words.ts';

/**
 * What can be asked at any time; called on every scrape, so it must be cheap. One that throws shows as NaN.
 */
export type Observed = {
  readonly pulledRecords: () => number;
  readonly pullIntents: () => number;
  readonly runtimeConnected: () => boolean;
  readonly runtimeEventsSupported: () => boolean;
  readonly podsSourceReady: () => boolean;
  readonly nriConnected: () => boolean;
  readonly fuseOpen: () => boolean;
  readonly pendingVerdicts: () => number;
  /** Containers that run, by what their registry said when it was asked again. */
  readonly entitlements: () => Readonly<Record<EntitlementState, number>>;
  /** Registries that the runtime reaches and the agent does not, and those that granted it something itself. */
  readonly runtimeRegistries: () => RuntimeRegistries;
  /** Repositories granted by the runtime's own doing, to no credential of a pod. */
  readonly runtimeGrants: () => number;
  /** Seconds since the epoch; 0 for never. */
  readonly lastList: () => number;
  /** Kubernetes Events, since the start, by what became of them. */
  readonly events: () => Readonly<Record<EventResult, number>>;
};

export type EventResult = 'sent' | 'limited' | 'dropped';

/** Metrics of what is so at the moment of a scrape. */
export function observeState(registry: Registry, observed: Observed): void {
  observeGauges(registry, observed);
  observeRuntimeRegistries(registry, observed.runtimeRegistries);
  observeEntitlements(registry, observed.entitlements);
  observeEvents(registry, observed.events);
}

function observeGauges(registry: Registry, observed: Observed): void {
  const gauges: readonly (readonly [string, string, () => number | boolean])[] = [
    ['pulled_records', 'Image ids with a record of pulls.', observed.pulledRecords],
    ['pull_intents', 'Pulls that have started and not ended.', observed.pullIntents],
    ['runtime_connected', '1 when the container runtime answers.', observed.runtimeConnected],
    [
      'runtime_events_supported',
      '1 when the runtime sends container events; otherwise containers are found by listing.',
      observed.runtimeEventsSupported,
    ],
    ['pods_source_ready', '1 when pods and secrets are in order.', observed.podsSourceReady],
    ['nri_connected', '1 while the runtime asks before it creates a container.', observed.nriConnected],
    ['fuse_open', '1 while the fuse keeps containers from being stopped.', observed.fuseOpen],
    [
      'pending_verdicts',
      'Containers whose verdict is being found or will be tried again.',
      observed.pendingVerdicts,
    ],
    [
      'runtime_granted_repositories',
      "Repositories that pods run by the runtime's own credentials or a mirror that asks nobody, in the last day.",
      observed.runtimeGrants,
    ],
    [
      'last_list_timestamp_seconds',
      'When all containers were last listed, in seconds since the epoch; 0 for never.',
      observed.lastList,
    ],
  ];
  for (const [name, help, read] of gauges) {
    new Gauge({
      name: PREFIX + name,
      help,
      registers: [registry],
      collect() {
        this.set(numberFrom(read));
      },
    });
  }
}

/** Tenants choose what registries there are: more than these are `other`, so that they choose no series. */
const MAX_REGISTRIES = 20;

function observeRuntimeRegistries(registry: Registry, read: Observed['runtimeRegistries']): void {
  const gauge = (name: string, help: string, of: (registries: RuntimeRegistries) => readonly string[]) =>
    new Gauge({
      name: PREFIX + name,
      help,
      labelNames: ['registry'],
      registers: [registry],
      collect() {
        this.reset();
        const all = of(read());
        for (const host of all.slice(0, MAX_REGISTRIES)) this.set({ registry: host }, 1);
        if (all.length > MAX_REGISTRIES) this.set({ registry: 'other' }, all.length - MAX_REGISTRIES);
      },
    });
  gauge(
    'registries_only_runtime_reaches',
    'Registries that the container runtime reaches and the agent does not: there its text decides.',
    ({ onlyReached }) => onlyReached,
  );
  gauge(
    'runtime_granted_registries',
    "Registries whose images pods run by the runtime's own credentials or a mirror that asks nobody, in the last day.",
    ({ granted }) => granted,
  );
}

function observeEntitlements(registry: Registry, read: Observed['entitlements']): void {
  new Gauge({
    name: `${PREFIX}entitlements`,
    help: 'Containers that run, by what their registry said when it was asked again.',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      for (const [state, count] of Object.entries(read())) this.set({ state }, count);
    },
  });
}

function observeEvents(registry: Registry, read: Observed['events']): void {
  new Counter({
    name: `${PREFIX}kubernetes_events_total`,
    help: 'Events on pods, by result: sent, limited because of one pod there were too many, or dropped.',
    labelNames: ['result'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [result, count] of Object.entries(read())) this.inc({ result }, count);
    },
  });
}

/** One part that fails must not take all metrics with it. */
function numberFrom(read: () => number | boolean): number {
  try {
    return Number(read());
  } catch {
    return Number.NaN;
  }
}
