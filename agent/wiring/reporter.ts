import type { Enforcement, Judgement, Report } from '../enforcement/judgement.ts';
import type { Events } from '../kubernetes/events.ts';
import type { Decisions } from '../records/decisions.ts';
import { type Log, logEnforcement, logVerdict } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { podEventOf } from './pod-event.ts';

/** Reports a verdict to log, metrics, audit trail and, by Events, the pod's owner, in the same words. */
export function createReporter(
  to: {
    readonly log: Log;
    readonly metrics: Metrics;
    readonly decisions: Decisions;
    /** Undefined where there is no API server to take them. */
    readonly events: Pick<Events, 'report'> | undefined;
  },
  mode: 'audit' | 'enforce',
): Report {
  const { log, metrics, decisions, events } = to;
  return {
    verdict(judgement) {
      metrics.verdict(judgement.verdict, judgement.durationMs / 1_000);
      logVerdict(log, lineOf(judgement));
    },
    enforced(judgement, enforcement) {
      decisions.append({ ...entryOf(judgement, enforcement), mode, time: Date.now() });
      const event = podEventOf(judgement, enforcement);
      if (event) events?.report(event);
      if (enforcement === undefined) return;
      const { action, outcome } = enforcement;
      const { createdAt } = judgement.container;
      metrics.enforcement(action, outcome);
      if (action !== 'none') logEnforcement(log, { ...containerOf(judgement), action, outcome });
      if (outcome === 'stopped') metrics.containerStopped(Date.now() / 1_000 - Number(createdAt) / 1e9);
    },
  };
}

function containerOf({ container, spec }: Judgement) {
  return {
    namespace: container.pod.namespace,
    pod: container.pod.name,
    container: container.containerName,
    containerId: container.id,
    image: spec?.image ?? '',
  };
}

function lineOf(judgement: Judgement) {
  const { imageRef, verdict, durationMs } = judgement;
  return { ...containerOf(judgement), imageRef, verdict, durationMs };
}

function entryOf(judgement: Judgement, enforcement: Enforcement | undefined) {
  const { verdict, reason, message } = judgement.verdict;
  return {
    ...lineOf(judgement),
    podUid: judgement.container.pod.uid,
    pullPolicy: judgement.spec?.imagePullPolicy ?? '',
    verdict,
    reason,
    message,
    action: enforcement?.action ?? '',
    outcome: enforcement?.outcome ?? '',
  };
}
