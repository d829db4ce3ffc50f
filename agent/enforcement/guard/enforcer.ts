import type { Fuse } from '../fuse.ts';
import type { Enforcement, Judgement } from '../judgement.ts';
import { type EnforcementSettings, planEnforcement } from '../plan.ts';
import type { Stopper } from './stopper.ts';

export type EnforcerOptions = {
  readonly settings: EnforcementSettings;
  readonly fuse: Fuse;
  readonly stopper: Pick<Stopper, 'mustNotRun'>;
  /** How many containers the node has now; what the fuse's share is a share of. */
  readonly containersOnNode: () => number;
};

/** Acts on a verdict: the plan says what it calls for, the fuse may forbid it, the stopper does it. */
export function createEnforcer(
  options: EnforcerOptions,
): (judgement: Judgement) => Promise<Enforcement | undefined> {
  return async ({ container, preexisting, verdict }) => {
    const { namespace, uid } = container.pod;
    const plan = planEnforcement(options.settings, verdict, { namespace, podUid: uid, preexisting });
    if (plan === undefined || plan.action === 'none') return plan;
    const key = `${uid}/${container.containerName}`;
    if (!options.fuse.permits({ namespace, key }, options.containersOnNode()))
      return { action: 'none', outcome: 'fuseOpen' };
    return { action: 'stop', outcome: await options.stopper.mustNotRun(container.id) };
  };
}
