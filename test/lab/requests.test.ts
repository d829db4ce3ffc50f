import { describe, expect, it } from 'vitest';
import type { RegistryRequest } from '../../scripts/lab/access-log.ts';
import { explainRequests } from '../../scripts/story/requests.ts';

const time = new Date(0);

function asked(method: string, what: string, status: number): RegistryRequest {
  return { time, method, path: `/v2/team-a/app/${what}`, status, userAgent: 'agent', remote: '127.0.0.1' };
}

function token(user: string, status: number) {
  return { time, method: 'GET', user, scopes: [], status, userAgent: 'agent' };
}

describe('the requests of a step, explained', () => {
  it('tell a registry that says how to log in from one that refuses', () => {
    expect(explainRequests([asked('GET', 'manifests/1', 401), asked('GET', 'manifests/1', 200)])).toEqual([
      'GET manifest: 401, how to log in',
      'GET manifest: 200, granted',
    ]);
    expect(explainRequests([asked('GET', 'manifests/1', 401)])).toEqual(['GET manifest: 401, refused']);
  });

  it('put the token server where the registry sent the asker, and say what its token is worth', () => {
    const granted = [asked('GET', 'manifests/1', 401), asked('GET', 'manifests/1', 200)];
    expect(explainRequests(granted, [token('alice', 200)])).toEqual([
      'GET manifest: 401, where to get a token',
      'token server, as alice: 200, a token',
      'GET manifest: 200, granted',
    ]);
    expect(explainRequests([asked('GET', 'manifests/1', 401)], [token('bob', 200)]).at(-1)).toBe(
      'token server, as bob: 200, a token without this right',
    );
    expect(explainRequests([asked('GET', 'manifests/1', 401)], [token('', 401)]).at(-1)).toBe(
      'token server, as nobody: 401, refused',
    );
  });

  it('say of blobs that content came', () => {
    expect(
      explainRequests([asked('GET', 'blobs/sha256:1', 200), asked('GET', 'blobs/sha256:2', 404)]),
    ).toEqual(['GET blob: 200, content', 'GET blob: 404, there is no such thing']);
  });
});
