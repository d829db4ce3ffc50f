import { describe, expect, it } from 'vitest';
import {
  DENIED_REASONS,
  denied,
  UNVERIFIABLE_REASONS,
  unverifiable,
  type Verdict,
} from '../../agent/access/verdict.ts';
import { IN_PROGRESS, refusalText, tenantText } from '../../agent/enforcement/tenant-message.ts';

const image = 'reg.example.com/team-a/app:1';
const operatorsOnly = 'tried registry.example.com/other-tenant/secret-project as robot$builder';

describe('what kubelet and the tenant are told of a refusal', () => {
  it('names the image and the reason in words of its own', () => {
    expect(refusalText(denied('registryRefused', operatorsOnly), image)).toBe(
      `pullwarden: image "${image}": the registry refused the image pull secrets of this pod (registryRefused)`,
    );
    expect(refusalText(unverifiable('registryUnavailable', operatorsOnly), image)).toBe(
      `pullwarden: image "${image}": the registry could not be asked (registryUnavailable)`,
    );
  });

  const refusing: readonly Verdict[] = [
    ...DENIED_REASONS.map((reason) => denied(reason, operatorsOnly)),
    ...UNVERIFIABLE_REASONS.map((reason) => unverifiable(reason, operatorsOnly)),
  ];

  it.each(refusing.filter(({ reason }) => reason !== 'neverWithoutRecord'))(
    'of $reason says nothing that is meant for the operator',
    (verdict) => {
      const text = tenantText(verdict, image);
      expect(text).toContain(`(${verdict.reason})`);
      expect(text).toContain(image);
      expect(text).not.toContain('other-tenant');
    },
  );

  it('is kubelet`s own text for an absent image where that is the verdict', () => {
    const absent = `Container image "${image}" is not present with pull policy of Never`;
    expect(refusalText(denied('neverWithoutRecord', absent), image)).toBe(`pullwarden: ${absent}`);
  });

  it('says that a verification goes on, and of which image only when its verdict is known', () => {
    expect(refusalText(IN_PROGRESS, '')).toBe('pullwarden: verification in progress');
    // Another verdict with the same reason is no word on progress.
    expect(refusalText({ ...IN_PROGRESS }, image)).toContain('the registry could not be asked');
  });

  it('has words for a reason without any of its own', () => {
    expect(tenantText(unverifiable('internalError', 'TypeError: x'), image)).toBe(
      `image "${image}": access could not be verified (internalError)`,
    );
  });
});
