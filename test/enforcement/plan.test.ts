import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  allowed,
  DENIED_REASONS,
  type Doubt,
  denied,
  isOfThePod,
  OF_THE_POD_REASONS,
  UNVERIFIABLE_REASONS,
  unverifiable,
  type Verdict,
} from '../../agent/access/verdict.ts';
import {
  type Circumstances,
  type EnforcementSettings,
  planEnforcement,
  whyNotEnforced,
} from '../../agent/enforcement/plan.ts';

const enforce: EnforcementSettings = {
  mode: 'enforce',
  onUnverifiable: 'deny',
  unmanaged: 'audit',
  enforceNamespaces: ['*'],
  exemptNamespaces: ['kube-system'],
  revokeRunning: 'report',
  ownPodUid: 'uid-agent',
};
const lenient: EnforcementSettings = { ...enforce, onUnverifiable: 'allow' };
const tenant = { namespace: 'team-b', podUid: 'uid-b' };
const fresh: Circumstances = { doubt: 'none', alreadyRuns: false };
const refused = denied('registryRefused', 'refused');
const down = unverifiable('registryUnavailable', 'down');
const doubts: readonly Doubt[] = ['standing', 'broughtByRegistry', 'none'];
const outages = UNVERIFIABLE_REASONS.map((reason) => unverifiable(reason, '')).filter(
  (verdict) => !isOfThePod(verdict),
);

const must = { action: 'stop' };
const none = (outcome: string) => ({ action: 'none', outcome });

describe('where nothing is enforced', () => {
  it('is audit mode, an exempt namespace and the pod of the agent itself', () => {
    expect(whyNotEnforced({ ...enforce, mode: 'audit' }, tenant)).toBe('audit');
    expect(whyNotEnforced(enforce, { ...tenant, namespace: 'kube-system' })).toBe('exempt');
    expect(whyNotEnforced(enforce, { ...tenant, podUid: 'uid-agent' })).toBe('exempt');
    expect(whyNotEnforced(enforce, tenant)).toBeUndefined();
  });

  it('does not take an unknown own uid for the uid of a container without one', () => {
    const outsideOfPods: EnforcementSettings = { ...enforce, ownPodUid: '' };
    expect(whyNotEnforced(outsideOfPods, { ...tenant, podUid: '' })).toBeUndefined();
  });

  it('is reported as such, whatever the verdict', () => {
    for (const verdict of [refused, down, denied('podUnknown', '')]) {
      expect(planEnforcement({ ...enforce, mode: 'audit' }, verdict, tenant, fresh)).toEqual(none('audit'));
      const exempt = { ...tenant, namespace: 'kube-system' };
      expect(planEnforcement(enforce, verdict, exempt, fresh)).toEqual(none('exempt'));
    }
  });
});

describe('where it is enforced', () => {
  const rules = (enforceNamespaces: string[], exemptNamespaces: string[]): EnforcementSettings => ({
    ...enforce,
    enforceNamespaces,
    exemptNamespaces,
  });
  const said = (settings: EnforcementSettings, namespace: string) =>
    whyNotEnforced(settings, { namespace, podUid: 'uid-b' }) ?? 'enforced';

  it.each([
    [['*'], [], 'team-b', 'enforced'],
    [['*'], ['kube-*'], 'kube-system', 'exempt'],
    [['*'], ['kube-*'], 'kube', 'enforced'],
    [['team-*'], [], 'team-b', 'enforced'],
    [['team-*'], [], 'my-team-b', 'audit'],
    [['*-prod', 'team-a'], [], 'shop-prod', 'enforced'],
    [['*-prod', 'team-a'], [], 'team-a', 'enforced'],
    [['*-prod', 'team-a'], [], 'shop-prod-2', 'audit'],
    [['a*b*c'], [], 'abc', 'enforced'],
    [['a*b*c'], [], 'acb', 'audit'],
    [['ab*ba'], [], 'aba', 'audit'],
    [[], [], 'team-b', 'audit'],
  ])('enforced in %j, exempt %j: %s is %s', (named, exempt, namespace, expected) => {
    expect(said(rules(named, exempt), namespace)).toBe(expected);
  });

  it('is not where both name it', () => {
    expect(said(rules(['team-b'], ['team-b']), 'team-b')).toBe('exempt');
  });
});

describe('an image that is refused to a container that was allowed and runs', () => {
  const running: Circumstances = { doubt: 'standing', alreadyRuns: true, reverified: true };

  it('is reported, and with --revoke-running stop the container is stopped', () => {
    expect(planEnforcement(enforce, refused, tenant, running)).toEqual(none('revokeRunningReport'));
    expect(planEnforcement({ ...enforce, revokeRunning: 'stop' }, refused, tenant, running)).toEqual(must);
  });

  it('is reported as audit and exempt are, where nothing is enforced', () => {
    const audit: EnforcementSettings = { ...enforce, mode: 'audit', revokeRunning: 'stop' };
    expect(planEnforcement(audit, refused, tenant, running)).toEqual(none('audit'));
  });
});

describe('what a verdict calls for', () => {
  it('is nothing when it allows', () => {
    expect(planEnforcement(enforce, allowed('recordMatched', ''), tenant, fresh)).toBeUndefined();
  });

  it('is a stop when it denies, whoever has standing and whatever runs already', () => {
    for (const reason of DENIED_REASONS) {
      for (const doubt of doubts) {
        for (const alreadyRuns of [true, false]) {
          const settings: EnforcementSettings = { ...lenient, unmanaged: 'deny' };
          expect(planEnforcement(settings, denied(reason, ''), tenant, { doubt, alreadyRuns })).toEqual(must);
        }
      }
    }
  });

  it('is a stop of a pod that the API server does not know, whatever --unmanaged says', () => {
    expect(planEnforcement(enforce, denied('podUnknown', ''), tenant, fresh)).toEqual(must);
    expect(planEnforcement(enforce, denied('unmanagedPod', ''), tenant, fresh)).toEqual(
      none('unmanagedAudit'),
    );
  });

  it('leaves running in an outage what has standing, and nothing else', () => {
    for (const verdict of outages) {
      const plan = (doubt: Doubt) => planEnforcement(enforce, verdict, tenant, { doubt, alreadyRuns: true });
      expect(doubts.map(plan)).toEqual([none('ranBefore'), must, must]);
    }
  });

  it('with --on-unverifiable allow lets run in an outage what has standing, or came from the registry that is down', () => {
    for (const verdict of outages) {
      const plan = (settings: EnforcementSettings) => (doubt: Doubt) =>
        planEnforcement(settings, verdict, tenant, { doubt, alreadyRuns: false });
      const allow = none('onUnverifiableAllow');
      expect(doubts.map(plan(lenient))).toEqual([allow, allow, must]);
      expect(doubts.map(plan(enforce))).toEqual([must, must, must]);
    }
  });

  it('excuses nobody for secrets and names that cannot be used, but what has standing and runs already', () => {
    for (const reason of OF_THE_POD_REASONS) {
      const own = unverifiable(reason, 'no JSON');
      for (const settings of [enforce, lenient]) {
        for (const doubt of doubts) {
          expect(planEnforcement(settings, own, tenant, { doubt, alreadyRuns: false })).toEqual(must);
          expect(planEnforcement(settings, own, tenant, { doubt, alreadyRuns: true })).toEqual(
            doubt === 'standing' ? none('ranBefore') : must,
          );
        }
      }
    }
  });
});

/** The table in docs/operating.md, as the code has it. */
function table(): string {
  const verdicts: readonly (readonly [string, Verdict])[] = [
    ['`denied`', refused],
    ['`unverifiable`', down],
    ['`unverifiable` by the pod’s own secrets or names', unverifiable('secretMalformed', '')],
  ];
  const names: Record<Doubt, string> = {
    standing: 'standing',
    broughtByRegistry: 'its registry brought the content',
    none: 'neither',
  };
  const columns = [
    ['new, `deny`', enforce, false],
    ['new, `allow`', lenient, false],
    ['runs already, `deny`', enforce, true],
    ['runs already, `allow`', lenient, true],
  ] as const;
  const rows = verdicts.flatMap(([name, verdict]) =>
    doubts.map((doubt) => {
      const cells = columns.map(([, settings, alreadyRuns]) => {
        const plan = planEnforcement(settings, verdict, tenant, { doubt, alreadyRuns });
        return plan?.action === 'none' ? `runs (\`${plan.outcome}\`)` : 'does not run';
      });
      return [name, names[doubt], ...cells];
    }),
  );
  const header = ['verdict', 'has', ...columns.map(([name]) => name)];
  const lines = [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  return `${lines.join('\n')}\n`;
}

describe('the table in docs/operating.md', () => {
  it('is what the code does', () => {
    const page = readFileSync(new URL('../../docs/operating.md', import.meta.url), 'utf8');
    const [, shown] = /<!-- plan:begin -->\n([\s\S]*?)<!-- plan:end -->/.exec(page) ?? [];
    expect(shown).toBe(table());
  });
});
