import { type Doubt, isOfThePod, type Verdict } from '../access/verdict.ts';
import { type NamespaceRules, ruleFor } from './namespaces.ts';

/** What was done about a verdict, and how it ended: closed lists, the same in metrics, decisions and logs. */
export const ENFORCEMENT_OUTCOMES = {
  /** Nothing was done, because: */
  none: [
    // The mode is audit, or --enforce-namespaces does not name the namespace.
    'audit',
    'exempt',
    'unmanagedAudit',
    'ranBefore',
    'onUnverifiableAllow',
    'revokeRunningReport',
    'fuseOpen',
  ],
  /** StopContainer: */
  stop: ['stopped', 'alreadyExited', 'notStarted', 'gone', 'failed'],
  /** An error to the runtime's question before the container was created: */
  veto: ['refused', 'inProgress'],
} as const;

export type EnforcementAction = keyof typeof ENFORCEMENT_OUTCOMES;
export type NotEnforced = (typeof ENFORCEMENT_OUTCOMES)['none'][number];
export type StopOutcome = (typeof ENFORCEMENT_OUTCOMES)['stop'][number];
export type VetoOutcome = (typeof ENFORCEMENT_OUTCOMES)['veto'][number];

export type EnforcementSettings = NamespaceRules & {
  readonly mode: 'audit' | 'enforce';
  readonly onUnverifiable: 'deny' | 'allow';
  readonly unmanaged: 'audit' | 'deny';
  /** What is done about a container whose image was granted to it when it started, and is refused now. */
  readonly revokeRunning: 'report' | 'stop';
  /** The uid of the pod that the agent itself runs in; empty when it runs in none. */
  readonly ownPodUid: string;
};

/** Whose container it is. */
export type EnforcementSubject = {
  readonly namespace: string;
  readonly podUid: string;
};

/** What counts for it besides the verdict. */
export type Circumstances = {
  readonly doubt: Doubt;
  /** It was created before the agent started, or has been left running since. */
  readonly alreadyRuns: boolean;
  /** It was allowed, runs, and was asked about again (`--reverify-running`, `--record-ttl`). */
  readonly reverified?: boolean;
};

export type EnforcementPlan =
  | { readonly action: 'none'; readonly outcome: Exclude<NotEnforced, 'fuseOpen'> }
  | { readonly action: 'stop' };

/**
 * What a verdict calls for; undefined for one that allows. Pure. `stop` means that the container must not
 * run: the veto refuses it, the guard stops it, and only an open fuse keeps either from it. The table is in
 * docs/operating.md.
 */
export function planEnforcement(
  settings: EnforcementSettings,
  verdict: Verdict,
  subject: EnforcementSubject,
  circumstances: Circumstances,
): EnforcementPlan | undefined {
  if (verdict.verdict === 'allowed') return undefined;
  const spared = whyNotEnforced(settings, subject);
  if (spared) return { action: 'none', outcome: spared };
  if (verdict.verdict === 'denied' && circumstances.reverified && settings.revokeRunning === 'report') {
    return { action: 'none', outcome: 'revokeRunningReport' };
  }
  if (verdict.reason === 'unmanagedPod' && settings.unmanaged === 'audit') {
    return { action: 'none', outcome: 'unmanagedAudit' };
  }
  const lenient = verdict.verdict === 'unverifiable' && benefitOfDoubt(settings, verdict, circumstances);
  return lenient ? { action: 'none', outcome: lenient } : { action: 'stop' };
}

/** Why nothing is enforced on this container, whatever its verdict; undefined where something is. */
export function whyNotEnforced(
  settings: EnforcementSettings,
  { namespace, podUid }: EnforcementSubject,
): 'audit' | 'exempt' | undefined {
  if (settings.mode === 'audit') return 'audit';
  const rule = ruleFor(settings, namespace);
  if (rule !== 'enforce') return rule;
  return settings.ownPodUid !== '' && podUid === settings.ownPodUid ? 'exempt' : undefined;
}

/**
 * The benefit of the doubt belongs to what was granted before or was there first, and never to what merely
 * names a registry that does not answer: whoever has no right could bring that about.
 */
function benefitOfDoubt(
  { onUnverifiable }: EnforcementSettings,
  verdict: Verdict,
  { doubt, alreadyRuns }: Circumstances,
): 'ranBefore' | 'onUnverifiableAllow' | undefined {
  if (doubt === 'none') return undefined;
  if (doubt === 'standing' && alreadyRuns) return 'ranBefore';
  // Whoever writes the pod chooses its secrets and names, so a new one with unusable ones is excused by
  // nothing.
  if (onUnverifiable === 'deny' || isOfThePod(verdict)) return undefined;
  return 'onUnverifiableAllow';
}
