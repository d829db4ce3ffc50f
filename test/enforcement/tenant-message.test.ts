import { describe, expect, it } from 'vitest';
import {
  DENIED_REASONS,
  denied,
  UNVERIFIABLE_REASONS,
  unverifiable,
  type Verdict,
} from '../../agent/access/verdict.ts';
import { IN_PROGRESS, isNamedById, refusalText, tenantText } from '../../agent/enforcement/tenant-message.ts';

const image = 'reg.example.com/team-a/app:1';
const operatorsOnly = 'tried registry.example.com/other-tenant/secret-project as robot$builder';

describe('what kubelet and the tenant read about a refusal', () => {
  it('names the image and the reason in words of its own', () => {
    expect(refusalText(denied('registryRefused', operatorsOnly), image)).toBe(
      `pullwarden: image "${image}": the registry refused the image pull secrets of this pod (registryRefused)`,
    );
    expect(refusalText(denied('bytesNotShown', operatorsOnly), image)).toBe(
      `pullwarden: image "${image}": the registry has not shown that it holds this image (bytesNotShown)`,
    );
    expect(refusalText(unverifiable('registryUnavailable', operatorsOnly), image)).toBe(
      `pullwarden: image "${image}": the registry could not be asked (registryUnavailable)`,
    );
  });

  it.each([
    [0, 0, 'this pod has no imagePullSecret, and reg.example.com does not grant it without one'],
    [
      0,
      2,
      'none of the imagePullSecrets of this pod is for reg.example.com, and reg.example.com does not grant it without one',
    ],
    [1, 1, 'reg.example.com refused the credential of this pod'],
    [3, 2, 'reg.example.com refused 3 credentials of this pod'],
  ])('says what to mend: %i credentials tried, %i imagePullSecrets', (tried, configured, text) => {
    const verdict = denied('registryRefused', operatorsOnly, { tried, configured });
    expect(tenantText(verdict, image)).toBe(`image "${image}": ${text} (registryRefused)`);
  });

  const refusing: readonly Verdict[] = [
    ...DENIED_REASONS.map((reason) => denied(reason, operatorsOnly)),
    denied('registryRefused', operatorsOnly, { tried: 1, configured: 1 }),
    ...UNVERIFIABLE_REASONS.map((reason) => unverifiable(reason, operatorsOnly)),
  ];

  it.each(refusing)('of $reason says nothing that is meant for the operator', (verdict) => {
    const text = tenantText(verdict, image);
    expect(text).toContain(image);
    expect(text).not.toContain('other-tenant');
  });

  const named = refusing.filter(
    ({ reason }) => reason !== 'neverWithoutRecord' && reason !== 'verificationInProgress',
  );
  it.each(named)('of $reason names the reason', (verdict) => {
    expect(tenantText(verdict, image)).toContain(`(${verdict.reason})`);
  });

  it('is kubelet`s own text for an absent image where a record would be needed, whatever the operator reads', () => {
    expect(refusalText(denied('neverWithoutRecord', operatorsOnly), image)).toBe(
      `pullwarden: Container image "${image}" is not present with pull policy of Never`,
    );
  });

  it('says that a verification goes on, and of which image where its pod is known', () => {
    expect(refusalText(IN_PROGRESS, '')).toBe('pullwarden: verification in progress');
    expect(refusalText(IN_PROGRESS, image)).toBe(`pullwarden: image "${image}": verification in progress`);
  });

  it('names no image where the pod is not known', () => {
    expect(refusalText(denied('podUnknown', operatorsOnly), '')).toBe(
      'pullwarden: the API server does not know the pod of this container (podUnknown)',
    );
  });

  it('has words for a reason without any of its own', () => {
    expect(tenantText(unverifiable('internalError', 'TypeError: x'), image)).toBe(
      `image "${image}": access could not be verified (internalError)`,
    );
  });
});

describe('an image that is named by its id', () => {
  const id = 'd3dfa36d'.repeat(8);
  const names = [`sha256:${id}`, id, 'sha256:d3dfa36d', 'd3dfa36d', 'sha256:d', 'd'];

  it('is recognized, whole or its beginning, with the algorithm or without', () => {
    expect(names.map(isNamedById)).toEqual(names.map(() => true));
    const others = [image, 'app', 'app:d3dfa36d', `app@sha256:${id}`, `${id}0`, 'cafe:1', 'library/cafe', ''];
    expect(others.map(isNamedById)).toEqual(others.map(() => false));
  });

  it.each(names)(
    '%s is refused in the same words whatever the verdict, so that nobody can guess ids',
    (name) => {
      const verdicts = [
        ...DENIED_REASONS.map((reason) => denied(reason, operatorsOnly)),
        ...UNVERIFIABLE_REASONS.map((reason) => unverifiable(reason, operatorsOnly)),
        IN_PROGRESS,
      ];
      expect(new Set(verdicts.map((verdict) => refusalText(verdict, name)))).toEqual(
        new Set([`pullwarden: Container image "${name}" is not present with pull policy of Never`]),
      );
    },
  );
});
