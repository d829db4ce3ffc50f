import type { Doubt, Verdict } from '../access/verdict.ts';
import type { RuntimeContainer } from '../runtime/runtime.ts';
import type { Finding } from './finding.ts';
import type { EnforcementAction, NotEnforced, StopOutcome, VetoOutcome } from './plan.ts';

/** A verdict on one container, as it is reported. */
export type Judgement = Pick<Finding, 'spec' | 'kind' | 'imageRef'> & {
  readonly container: RuntimeContainer;
  readonly preexisting: boolean;
  readonly verdict: Verdict;
  readonly doubt: Doubt;
  /** From the container being seen to the verdict. */
  readonly durationMs: number;
};

/** What was done about it. */
export type Enforcement = {
  readonly action: EnforcementAction;
  readonly outcome: NotEnforced | StopOutcome | VetoOutcome;
};

/** Log, metrics, the audit trail and Events. Methods must not throw. */
export type Report = {
  /** A verdict was found; it has not been acted on yet. */
  verdict(judgement: Judgement): void;
  /** It has been acted on; undefined where it called for nothing. */
  enforced(judgement: Judgement, enforcement: Enforcement | undefined): void;
};
