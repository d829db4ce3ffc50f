import { isOfThePod, type Verdict } from '../access/verdict.ts';

/** What was done about a verdict, and how it ended: closed lists, the same in metrics, decisions and logs. */
export const ENFORCEMENT_OUTCOMES = {
  /** Nothing was done, because: */
  none: ['audit', 'exempt', 'unmanagedAudit', 'ranBefore', 'onUnverifiableAllow', 'fuseOpen'],
  /** StopContainer: */
  stop: ['stopped', 'alreadyExited', 'notStarted', 'gone', 'failed'],
  /** An error to the runtime's question before the container was created: */
  veto: ['refused', 'inProgress'],
} as const;

export type EnforcementAction = keyof typeof ENFORCEMENT_OUTCOMES;
export type NotEnforced = (typeof ENFORCEMENT_OUTCOMES)['none'][number];
export type StopOutcome = (typeof ENFORCEMENT_OUTCOMES)['stop'][number];
export type VetoOutcome = (typeof ENFORCEMENT_OUTCOMES)['veto'][number];

export type EnforcementSettings = {
  readonly mode: 'audit' | 'enforce';
  readonly onUnverifiable: 'deny' | 'allow';
  readonly unmanaged: 'audit' | 'deny';
  readonly exemptNamespaces: ReadonlySet<string>;
  /** The uid of the pod that the agent itself runs in; empty when it runs in none. */
  readonly ownPodUid: string;
};

export type EnforcementSubject = {
  readonly namespace: string;
  readonly podUid: string;
  /** It was created before the agent started. */
  readonly preexisting: boolean;
};

export type EnforcementPlan =
  | { readonly action: 'none'; readonly outcome: Exclude<NotEnforced, 'fuseOpen'> }
  | { readonly action: 'stop' };

/**
 * What a verdict calls for; undefined for one that allows. Pure: the fuse has its word after this. What could not be
 * told by the pod's own doing gets none of an outage's leniency: it is stopped like what is denied.
 */
export function planEnforcement(
  settings: EnforcementSettings,
  verdict: Verdict,
  subject: EnforcementSubject,
): EnforcementPlan | undefined {
  if (verdict.verdict === 'allowed') return undefined;
  if (settings.mode === 'audit') return { action: 'none', outcome: 'audit' };
  if (settings.exemptNamespaces.has(subject.namespace)) return { action: 'none', outcome: 'exempt' };
  if (settings.ownPodUid !== '' && subject.podUid === settings.ownPodUid)
    return { action: 'none', outcome: 'exempt' };
  if (verdict.reason === 'unmanagedPod' && settings.unmanaged === 'audit') {
    return { action: 'none', outcome: 'unmanagedAudit' };
  }
  if (verdict.verdict === 'unverifiable' && !isOfThePod(verdict)) {
    if (subject.preexisting) return { action: 'none', outcome: 'ranBefore' };
    if (settings.onUnverifiable === 'allow') return { action: 'none', outcome: 'onUnverifiableAllow' };
  }
  return { action: 'stop' };
}
