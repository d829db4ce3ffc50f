import { describe, expect, it } from 'vitest';
import type { EnforcementSettings } from '../../../agent/enforcement/plan.ts';
import { planVeto } from '../../../agent/enforcement/veto/plan-veto.ts';

const enforcing: EnforcementSettings = {
  mode: 'enforce',
  onUnverifiable: 'deny',
  unmanaged: 'audit',
  exemptNamespaces: new Set(['kube-system']),
  ownPodUid: 'uid-agent',
};
const tenant = { namespace: 'team-a', uid: 'uid-1' };

describe('the runtime`s question, before any verdict is known', () => {
  it('is judged, and refused when that takes too long', () => {
    expect(planVeto(enforcing, tenant)).toBe('judgeOrRefuse');
    expect(planVeto({ ...enforcing, unmanaged: 'deny' }, tenant)).toBe('judgeOrRefuse');
  });

  it('is judged, and let by when that takes too long, with --on-unverifiable allow', () => {
    expect(planVeto({ ...enforcing, onUnverifiable: 'allow' }, tenant)).toBe('judgeOrLetBy');
  });

  it('is let by at once where nothing is refused: audit, exempt namespaces, the agent`s own pod', () => {
    expect(planVeto({ ...enforcing, mode: 'audit' }, tenant)).toBe('letBy');
    expect(planVeto(enforcing, { ...tenant, namespace: 'kube-system' })).toBe('letBy');
    expect(planVeto(enforcing, { ...tenant, uid: 'uid-agent' })).toBe('letBy');
  });

  it('is not let by for having no uid where the agent runs in no pod', () => {
    expect(planVeto({ ...enforcing, ownPodUid: '' }, { namespace: 'team-a', uid: '' })).toBe('judgeOrRefuse');
  });
});
