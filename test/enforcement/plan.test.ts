import { describe, expect, it } from 'vitest';
import {
  allowed,
  denied,
  NOBODY_TO_ASK_REASONS,
  OF_THE_POD_REASONS,
  UNVERIFIABLE_REASONS,
  unverifiable,
} from '../../agent/access/verdict.ts';
import { type EnforcementSettings, planEnforcement } from '../../agent/enforcement/plan.ts';

const enforce: EnforcementSettings = {
  mode: 'enforce',
  onUnverifiable: 'deny',
  unmanaged: 'audit',
  exemptNamespaces: new Set(['kube-system']),
  ownPodUid: 'uid-agent',
};
const tenant = { namespace: 'team-b', podUid: 'uid-b', preexisting: false };
const refused = denied('registryRefused', 'refused');
const down = unverifiable('registryUnavailable', 'down');

describe('planEnforcement', () => {
  it('leaves an allowed container alone', () => {
    expect(planEnforcement(enforce, allowed('recordMatched', ''), tenant)).toBeUndefined();
  });

  it('stops a denied container in enforce mode', () => {
    expect(planEnforcement(enforce, refused, tenant)).toEqual({ action: 'stop' });
  });

  it('stops a denied container that ran before the agent, too', () => {
    expect(planEnforcement(enforce, refused, { ...tenant, preexisting: true })).toEqual({ action: 'stop' });
  });

  it('stops nothing in audit mode', () => {
    const audit: EnforcementSettings = { ...enforce, mode: 'audit' };
    expect(planEnforcement(audit, refused, tenant)).toEqual({ action: 'none', outcome: 'audit' });
    expect(planEnforcement(audit, down, tenant)).toEqual({ action: 'none', outcome: 'audit' });
  });

  it('never stops a container of an exempt namespace, nor of the agent itself', () => {
    const exempt = { action: 'none', outcome: 'exempt' };
    expect(planEnforcement(enforce, refused, { ...tenant, namespace: 'kube-system' })).toEqual(exempt);
    expect(planEnforcement(enforce, refused, { ...tenant, podUid: 'uid-agent' })).toEqual(exempt);
  });

  it('does not take an unknown own uid for the uid of a container without one', () => {
    const outsideOfPods: EnforcementSettings = { ...enforce, ownPodUid: '' };
    expect(planEnforcement(outsideOfPods, refused, { ...tenant, podUid: '' })).toEqual({ action: 'stop' });
  });

  it('stops a new container that could not be verified, unless it is told to allow', () => {
    expect(planEnforcement(enforce, down, tenant)).toEqual({ action: 'stop' });
    expect(planEnforcement({ ...enforce, onUnverifiable: 'allow' }, down, tenant)).toEqual({
      action: 'none',
      outcome: 'onUnverifiableAllow',
    });
  });

  it('never stops what ran before the agent because it could not be verified', () => {
    expect(planEnforcement(enforce, down, { ...tenant, preexisting: true })).toEqual({
      action: 'none',
      outcome: 'ranBefore',
    });
  });

  it('gives the leniency of an outage to nothing that the pod brings about by itself', () => {
    for (const reason of OF_THE_POD_REASONS) {
      const own = unverifiable(reason, 'the secret is no JSON');
      expect(planEnforcement(enforce, own, { ...tenant, preexisting: true })).toEqual({ action: 'stop' });
      expect(planEnforcement({ ...enforce, onUnverifiable: 'allow' }, own, tenant)).toEqual({
        action: 'stop',
      });
      expect(planEnforcement({ ...enforce, mode: 'audit' }, own, tenant)).toMatchObject({ outcome: 'audit' });
      expect(planEnforcement(enforce, own, { ...tenant, namespace: 'kube-system' })).toMatchObject({
        outcome: 'exempt',
      });
    }
    for (const reason of NOBODY_TO_ASK_REASONS) {
      const away = unverifiable(reason, 'nobody answers');
      expect(planEnforcement(enforce, away, { ...tenant, preexisting: true })).toMatchObject({
        outcome: 'ranBefore',
      });
    }
    const both = [...OF_THE_POD_REASONS, ...NOBODY_TO_ASK_REASONS];
    expect(new Set(both)).toEqual(new Set(UNVERIFIABLE_REASONS));
    expect(both).toHaveLength(UNVERIFIABLE_REASONS.length);
  });

  it('reports containers of no known pod, and stops them only where that is asked for', () => {
    const unmanaged = denied('unmanagedPod', 'no pod');
    expect(planEnforcement(enforce, unmanaged, tenant)).toEqual({
      action: 'none',
      outcome: 'unmanagedAudit',
    });
    expect(planEnforcement({ ...enforce, unmanaged: 'deny' }, unmanaged, tenant)).toEqual({ action: 'stop' });
  });
});
