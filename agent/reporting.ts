import type { Enforcement, Judgement } from './enforcement/judge.ts';
import type { Decisions } from './records/decisions.ts';
import { type Log, logVerdict } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';

export type Reporter = {
  /** A verdict was found. */
  verdict(judgement: Judgement): void;
  /** It has been acted on; undefined where it called for nothing. */
  settled(judgement: Judgement, enforcement: Enforcement | undefined): void;
};

/** Tells log, metrics and audit trail of every verdict in the same words. */
export function createReporter(
  to: { readonly log: Log; readonly metrics: Metrics; readonly decisions: Decisions },
  mode: 'audit' | 'enforce',
): Reporter {
  const { log, metrics, decisions } = to;
  return {
    verdict(judgement) {
      metrics.verdict(judgement.verdict, judgement.durationMs / 1_000);
      logVerdict(log, lineOf(judgement));
    },
    settled(judgement, enforcement) {
      decisions.append({ ...entryOf(judgement, enforcement), mode, time: Date.now() });
      if (enforcement === undefined) return;
      const { action, outcome } = enforcement;
      const { id: containerId, createdAt } = judgement.container;
      metrics.enforcement(action, outcome);
      if (action !== 'none') log.warn({ containerId, action, outcome }, 'enforcement');
      if (outcome === 'stopped') metrics.containerStopped(Date.now() / 1_000 - Number(createdAt) / 1e9);
    },
  };
}

function lineOf({ container, spec, verdict, durationMs }: Judgement) {
  return {
    namespace: container.pod.namespace,
    pod: container.pod.name,
    container: container.containerName,
    containerId: container.id,
    image: spec?.image ?? '',
    imageRef: container.imageRef,
    verdict,
    durationMs,
  };
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
