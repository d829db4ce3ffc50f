import { describe, expect, it } from 'vitest';
import { makePolicy, requiresVerification } from '../../../agent/access/record/policy.ts';
import { AllowlistError } from '../../../agent/errors.ts';

describe('a verification policy', () => {
  it.each([
    ['NeverVerify', false, false],
    ['NeverVerifyPreloadedImages', true, false],
    ['AlwaysVerify', true, true],
  ] as const)('%s: pulled images %s, preloaded ones %s', (name, pulled, preloaded) => {
    const policy = makePolicy(name);
    expect(requiresVerification(policy, 'reg.example/app', true)).toBe(pulled);
    expect(requiresVerification(policy, 'reg.example/app', false)).toBe(preloaded);
  });

  it('with an allowlist goes by the name alone', () => {
    const policy = makePolicy('NeverVerifyAllowlistedImages', ['reg.example/open/*']);
    for (const tracked of [true, false]) {
      expect(requiresVerification(policy, 'reg.example/open/app', tracked)).toBe(false);
      expect(requiresVerification(policy, 'reg.example/app', tracked)).toBe(true);
    }
  });

  it('opens nothing with an empty allowlist', () => {
    expect(makePolicy('NeverVerifyAllowlistedImages')).toEqual(
      makePolicy('NeverVerifyAllowlistedImages', []),
    );
    const policy = makePolicy('NeverVerifyAllowlistedImages');
    expect(requiresVerification(policy, 'Stryker', true)).toBe(true);
  });

  it('reads its allowlist only where it has one', () => {
    expect(makePolicy('AlwaysVerify', ['*bad*'])).toEqual({ name: 'AlwaysVerify' });
    expect(() => makePolicy('NeverVerifyAllowlistedImages', ['*bad*'])).toThrow(AllowlistError);
  });
});
