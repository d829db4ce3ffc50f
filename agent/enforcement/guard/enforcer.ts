import type { Census } from '../census.ts';
import type { Fuse } from '../fuse.ts';
import type { Enforcement, Judgement } from '../judgement.ts';
import { type EnforcementSettings, planEnforcement } from '../plan.ts';
import type { Stopper } from './stopper.ts';

export type EnforcerOptions = {
  readonly settings: EnforcementSettings;
  readonly fuse: Pick<Fuse, 'permits'>;
  readonly stopper: Pick<Stopper, 'mustNotRun'>;
  readonly census: Pick<Census, 'withStanding'>;
};

/** Acts on a verdict, and says what was done; undefined for one that allows. */
export type Enforcer = (
  judgement: Judgement,
  about: { readonly alreadyRuns: boolean; readonly reverified?: boolean },
) => Promise<Enforcement | undefined>;

/** The plan says what a verdict calls for, the fuse may forbid it, the stopper does it. */
export function createEnforcer({ settings, fuse, stopper, census }: EnforcerOptions): Enforcer {
  return async ({ container, verdict, doubt }, { alreadyRuns, reverified = false }) => {
    const { namespace, uid: podUid } = container.pod;
    const plan = planEnforcement(
      settings,
      verdict,
      { namespace, podUid },
      { doubt, alreadyRuns, reverified },
    );
    if (plan === undefined || plan.action === 'none') return plan;
    const subject = {
      namespace,
      key: `${podUid}/${container.containerName}`,
      hasStanding: doubt === 'standing',
    };
    if (!fuse.permits(subject, census.withStanding())) return { action: 'none', outcome: 'fuseOpen' };
    return { action: 'stop', outcome: await stopper.mustNotRun(container.id, container) };
  };
}
