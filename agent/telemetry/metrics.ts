import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Shown } from '../access/bytes/showing.ts';
import type { PullWord } from '../access/proof/ask-by-pull.ts';
import type { RegistryWord } from '../access/proof/ask-registry.ts';
import { RENEWED, type Renewed } from '../access/renewal/due.ts';
import type { CheckResult } from '../access/request.ts';
import { ALLOWED_REASONS, DENIED_REASONS, UNVERIFIABLE_REASONS, type Verdict } from '../access/verdict.ts';
import type { PluginRun } from '../credentials/providers/provider-set.ts';
import {
  ENFORCEMENT_OUTCOMES,
  type EnforcementAction,
  type NotEnforced,
  type StopOutcome,
  type VetoOutcome,
} from '../enforcement/plan.ts';
import type { NriError, RecordStoreError } from '../errors.ts';
import type { PullPolicy } from '../pods/pod-source.ts';
import type { PullOutcome } from '../runtime/runtime.ts';
import {
  CHECK_RESULTS,
  NRI_DISCONNECT_REASONS,
  PREFIX,
  PULL_OUTCOMES,
  PULL_POLICY_LABELS,
  PULL_WORDS,
  RECORD_STORE_FAILURES,
  REGISTRY_WORDS,
  SHOWN_OUTCOMES,
  YES_NO_UNKNOWN,
  yesNoUnknown,
} from './metric-words.ts';
import { type Observed, observeState } from './observed-state.ts';

export type Build = { readonly version: string; readonly revision: string; readonly nodeVersion: string };

/** Takes what happened; names no tenant, so that nobody but Pullwarden decides how many series there are. */
export type Metrics = {
  mustPullCheck(result: CheckResult): void;
  /** Undefined: the request ended before anybody knew. */
  imageEnsured(
    pullPolicy: PullPolicy,
    presentLocally: boolean | undefined,
    pullRequired: boolean | undefined,
  ): void;
  verdict(verdict: Pick<Verdict, 'verdict' | 'reason'>, seconds: number): void;
  repull(outcome: PullOutcome['outcome'], seconds: number): void;
  enforcement(action: EnforcementAction, outcome: NotEnforced | StopOutcome | VetoOutcome): void;
  /** From the container's start to its stop. */
  containerStopped(seconds: number): void;
  containerGone(): void;
  malformedEvent(): void;
  refusedAgain(): void;
  recordStoreError(reason: RecordStoreError['reason']): void;
  /** Runtime and registry were both asked: what each of them said. */
  secondOpinion(pull: PullWord['said'], registry: RegistryWord['answer']): void;
  /** A registry was asked to show content that it grants. */
  bytesShown(outcome: Shown['outcome'], bytes: number): void;
  /** A credential provider plugin ended; its names come from the node's own configuration. */
  providerRun(provider: string, outcome: PluginRun['outcome']): void;
  /** A grant on record was asked about again. */
  grantRenewed(renewed: Renewed): void;
  /** Adds what is read at each scrape. Call it once, when all of it is there. */
  observe(observed: Observed): void;
  nriDisconnected(reason: NriError['reason']): void;
  /** The runtime waited so long for the veto's answer. */
  vetoAnswered(seconds: number): void;
  readonly contentType: string;
  /** Everything in Prometheus' text format. */
  render(): Promise<string>;
};

/** Gauges of prom-client whose names end as only a counter's may (`promtool check metrics`). Nobody alerts on them. */
const MISNAMED: readonly string[] = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

// A record answers within microseconds, a registry within seconds, a re-pull may take the whole pull timeout.
const VERDICT_BUCKETS = [
  0.000_01, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
const REPULL_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120];
const VETO_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const STOP_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/**
 * The agent's metrics, in a registry of their own. Names and labels follow kubelet's where it has the same
 * (KEP-2535: image_mustpull_checks_total, ensure_image_requests_total). Every series of a closed list is
 * there from the start with 0, since an alert on the increase of a series misses the first event of one that
 * appears with it.
 */
export function createMetrics(build: Build): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED) registry.removeSingleMetric(name);

  const buildInfo = new Gauge({
    name: `${PREFIX}build_info`,
    help: 'Always 1; the labels say what runs.',
    labelNames: ['version', 'revision', 'node_version'],
    registers,
  });
  const { version, revision, nodeVersion } = build;
  buildInfo.set({ version, revision, node_version: nodeVersion }, 1);

  const mustPullChecks = new Counter({
    name: `${PREFIX}image_mustpull_checks_total`,
    help: 'Checks of policy and records whether an image has to be pulled again with the credentials of the pod.',
    labelNames: ['result'],
    registers,
  });
  for (const result of CHECK_RESULTS) mustPullChecks.inc({ result }, 0);

  const ensureImageRequests = new Counter({
    name: `${PREFIX}ensure_image_requests_total`,
    help: 'Containers whose access to their image was asked for.',
    labelNames: ['pull_policy', 'present_locally', 'pull_required'],
    registers,
  });
  for (const pull_policy of Object.values(PULL_POLICY_LABELS)) {
    for (const present_locally of YES_NO_UNKNOWN) {
      for (const pull_required of YES_NO_UNKNOWN) {
        ensureImageRequests.inc({ pull_policy, present_locally, pull_required }, 0);
      }
    }
  }

  const verdicts = new Counter({
    name: `${PREFIX}verdicts_total`,
    help: 'Verdicts on containers; one that is repeated for a container without change counts once.',
    labelNames: ['verdict', 'reason'],
    registers,
  });
  for (const reason of ALLOWED_REASONS) verdicts.inc({ verdict: 'allowed', reason }, 0);
  for (const reason of DENIED_REASONS) verdicts.inc({ verdict: 'denied', reason }, 0);
  for (const reason of UNVERIFIABLE_REASONS) verdicts.inc({ verdict: 'unverifiable', reason }, 0);

  const verdictDuration = new Histogram({
    name: `${PREFIX}verdict_duration_seconds`,
    help: 'From a container being seen to its verdict.',
    buckets: VERDICT_BUCKETS,
    registers,
  });

  const repullDuration = new Histogram({
    name: `${PREFIX}repull_duration_seconds`,
    help: 'Re-pulls with the credentials of a pod, by how they ended.',
    labelNames: ['outcome'],
    buckets: REPULL_BUCKETS,
    registers,
  });
  for (const outcome of PULL_OUTCOMES) repullDuration.zero({ outcome });

  const enforcements = new Counter({
    name: `${PREFIX}enforcements_total`,
    help: 'What was done about containers that were not allowed, and how it ended; what is repeated counts once.',
    labelNames: ['action', 'outcome'],
    registers,
  });
  for (const [action, outcomes] of Object.entries(ENFORCEMENT_OUTCOMES)) {
    for (const outcome of outcomes) enforcements.inc({ action, outcome }, 0);
  }

  const containerStop = new Histogram({
    name: `${PREFIX}container_stop_seconds`,
    help: 'How long denied containers ran: from their start to their stop.',
    buckets: STOP_BUCKETS,
    registers,
  });

  const containersGone = new Counter({
    name: `${PREFIX}containers_gone_total`,
    help: 'Containers that were gone before they could be judged.',
    registers,
  });

  const repeatedRefusals = new Counter({
    name: `${PREFIX}repeated_refusals_total`,
    help:
      'Creations refused as one of the same container was within five minutes; neither logged nor ' +
      'counted elsewhere.',
    registers,
  });

  const malformedEvents = new Counter({
    name: `${PREFIX}malformed_events_total`,
    help: 'Container events of the runtime that could not be read; their containers are found by listing.',
    registers,
  });

  const recordStoreErrors = new Counter({
    name: `${PREFIX}record_store_errors_total`,
    help: 'Writes to the record store that failed.',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of RECORD_STORE_FAILURES) recordStoreErrors.inc({ reason }, 0);

  const secondOpinions = new Counter({
    name: `${PREFIX}second_opinions_total`,
    help: 'Questions that both the runtime, by a pull, and the registry itself were asked, by what each said.',
    labelNames: ['pull', 'registry'],
    registers,
  });
  for (const pull of PULL_WORDS) {
    for (const answer of REGISTRY_WORDS) secondOpinions.inc({ pull, registry: answer }, 0);
  }

  const showings = new Counter({
    name: `${PREFIX}bytes_showings_total`,
    help: 'Times that a registry was asked to show content that it grants, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of SHOWN_OUTCOMES) showings.inc({ outcome }, 0);

  const bytesFetched = new Counter({
    name: `${PREFIX}bytes_fetched_total`,
    help: 'Bytes fetched from registries only to be hashed and thrown away.',
    registers,
  });

  const providerRuns = new Counter({
    name: `${PREFIX}credential_provider_plugin_runs_total`,
    help: 'Runs of credential provider plugins, by how they ended.',
    labelNames: ['provider', 'outcome'],
    registers,
  });

  const bytesNotShown = new Counter({
    name: `${PREFIX}bytes_not_shown_total`,
    help:
      'Times that a registry granted an image whose content it could not show: somebody may be ' +
      'claiming an image of another tenant.',
    registers,
  });
  const renewals = new Counter({
    name: `${PREFIX}grant_renewals_total`,
    help: 'Grants on record that were asked about again because of their age, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of RENEWED) renewals.inc({ outcome }, 0);

  const nriDisconnects = new Counter({
    name: `${PREFIX}nri_disconnects_total`,
    help: 'Ends of the connection on which the runtime asks before it creates a container, by what ended it.',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of NRI_DISCONNECT_REASONS) nriDisconnects.inc({ reason }, 0);

  const vetoWait = new Histogram({
    name: `${PREFIX}veto_wait_seconds`,
    help: 'How long the runtime waited for the veto to answer, and created no other container.',
    buckets: VETO_BUCKETS,
    registers,
  });

  return {
    mustPullCheck: (result) => mustPullChecks.inc({ result }),
    imageEnsured(pullPolicy, presentLocally, pullRequired) {
      ensureImageRequests.inc({
        pull_policy: PULL_POLICY_LABELS[pullPolicy],
        present_locally: yesNoUnknown(presentLocally),
        pull_required: yesNoUnknown(pullRequired),
      });
    },
    verdict({ verdict, reason }, seconds) {
      verdicts.inc({ verdict, reason });
      verdictDuration.observe(seconds);
    },
    repull: (outcome, seconds) => repullDuration.observe({ outcome }, seconds),
    enforcement: (action, outcome) => enforcements.inc({ action, outcome }),
    containerStopped: (seconds) => containerStop.observe(Math.max(0, seconds)),
    malformedEvent: () => malformedEvents.inc(),
    refusedAgain: () => repeatedRefusals.inc(),
    containerGone: () => containersGone.inc(),
    recordStoreError: (reason) => recordStoreErrors.inc({ reason }),
    secondOpinion: (pull, answer) => secondOpinions.inc({ pull, registry: answer }),
    bytesShown(outcome, bytes) {
      showings.inc({ outcome });
      bytesFetched.inc(bytes);
      if (outcome === 'lacks') bytesNotShown.inc();
    },
    providerRun: (provider, outcome) => providerRuns.inc({ provider, outcome }),
    grantRenewed: (outcome) => renewals.inc({ outcome }),
    observe: (observed) => observeState(registry, observed),
    nriDisconnected: (reason) => nriDisconnects.inc({ reason }),
    vetoAnswered: (seconds) => vetoWait.observe(seconds),
    contentType: registry.contentType,
    render: () => registry.metrics(),
  };
}
