import type { Verdict } from '../../access/verdict.ts';
import type { Enforcement, Judgement, Report } from '../judgement.ts';

/** What was last reported about a container. */
type LastReport = Pick<Verdict, 'verdict' | 'reason'> & {
  readonly outcome: Enforcement['outcome'] | undefined;
};

export type LastReports = {
  /** The container exists from now on, until `forget`. */
  begin(containerId: string): void;
  /** Reports the verdict, has it enforced, and reports that. */
  enforceAndReport(
    judgement: Judgement,
    enforce: (judgement: Judgement) => Promise<Enforcement | undefined>,
  ): Promise<Enforcement | undefined>;
  forget(containerId: string): void;
};

/**
 * Reports what is new about each container that exists. A verdict that comes again with the same reason and
 * the same outcome is not reported: a tenant who makes it come again must not fill the log and the audit
 * trail.
 */
export function createLastReports(report: Report): LastReports {
  const last = new Map<string, LastReport | undefined>();
  return {
    begin(containerId) {
      last.set(containerId, last.get(containerId));
    },
    async enforceAndReport(judgement, enforce) {
      const { id } = judgement.container;
      const { verdict, reason } = judgement.verdict;
      const before = last.get(id);
      const isNewVerdict = before?.verdict !== verdict || before.reason !== reason;
      if (isNewVerdict) report.verdict(judgement);
      const enforcement = await enforce(judgement);
      const outcome = enforcement?.outcome;
      const isNewOutcome = isNewVerdict || before.outcome !== outcome;
      if (isNewOutcome && !isNewVerdict) report.verdict(judgement);
      if (isNewOutcome) report.enforced(judgement, enforcement);
      if (last.has(id)) last.set(id, { verdict, reason, outcome });
      return enforcement;
    },
    forget(containerId) {
      last.delete(containerId);
    },
  };
}
