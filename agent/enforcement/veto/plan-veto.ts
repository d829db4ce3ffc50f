import { type EnforcementSettings, planEnforcement } from '../plan.ts';
import { IN_PROGRESS } from '../tenant-message.ts';

/**
 * What the runtime's question about a new container comes to before any verdict is known: `letBy` at once, because
 * none could refuse it; or it is to be judged, and one that is not settled in time is let by or refused.
 */
export type VetoPlan = 'letBy' | 'judgeOrLetBy' | 'judgeOrRefuse';

/** Pure, and all that the NRI thread needs to answer by itself. */
export function planVeto(
  settings: EnforcementSettings,
  { namespace, uid }: { readonly namespace: string; readonly uid: string },
): VetoPlan {
  const plan = planEnforcement(settings, IN_PROGRESS, { namespace, podUid: uid, preexisting: false });
  if (plan?.action === 'stop') return 'judgeOrRefuse';
  // Only for this verdict, not for every one: a denied container is refused all the same.
  return plan?.outcome === 'onUnverifiableAllow' ? 'judgeOrLetBy' : 'letBy';
}
