import { describe, expect, it } from 'vitest';
import { errorFromStatus, retryAfter } from '../../agent/kubernetes/status.ts';
import { recorded } from '../pods/kubernetes/objects.ts';

const status = (fields: object): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  ...fields,
});

describe('what the API server answers in place of an object', () => {
  it.each([
    ['unauthorized.json', 401, 'unauthorized', 'the API server answered 401: Unauthorized'],
    ['secret-notfound.json', 404, 'notFound', 'the API server answered 404: secrets "nosuch" not found'],
    ['pods-unfiltered-node.json', 403, 'forbidden', expect.stringContaining('can only list/watch pods with')],
    [
      'secret-forbidden.json',
      403,
      'forbidden',
      expect.stringContaining('no relationship found between node'),
    ],
  ])('recorded as %s', (file, code, reason, message) => {
    expect(errorFromStatus(JSON.parse(recorded(file).toString()), code)).toMatchObject({ reason, message });
  });

  it('in a watch, as recorded: the code is within', () => {
    const { object } = JSON.parse(recorded('watch-too-old.jsonl').toString());
    expect(errorFromStatus(object, undefined)).toMatchObject({
      reason: 'expired',
      message: 'the API server answered 410: too old resource version: 1 (380)',
    });
  });

  it.each([
    ['a reason without a code', status({ reason: 'Expired' }), undefined, 'expired'],
    ['the reason of old', status({ reason: 'Gone' }), undefined, 'expired'],
    [
      'a version of the future, by its cause',
      status({ code: 504, details: { causes: [{ reason: 'ResourceVersionTooLarge' }] } }),
      504,
      'tooNew',
    ],
    [
      'a version of the future, by its text',
      status({ message: 'Too large resource version: 9' }),
      504,
      'tooNew',
    ],
    ['nothing at all', undefined, 502, 'serverError'],
    ['something else', { kind: 'Pod' }, undefined, 'serverError'],
    ['a redirect', undefined, 302, 'serverError'],
    ['an unknown refusal', undefined, 418, 'badRequest'],
  ])('%s', (_, object, code, reason) => {
    expect(errorFromStatus(object, code).reason).toBe(reason);
  });

  it('is repeated only so far', () => {
    const { message } = errorFromStatus(status({ message: 'x'.repeat(100_000) }), 500);
    expect(message.length).toBeLessThan(600);
  });
});

describe('Retry-After', () => {
  it.each([
    ['1', 1_000],
    ['0', 0],
    ['3600', 60_000],
    ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
    ['-1', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%j is %j ms', (header, ms) => {
    expect(retryAfter(header)).toBe(ms);
  });
});
