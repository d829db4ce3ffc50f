import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import {
  byDigest,
  clientFor,
  login,
  page,
  plainHttp,
  redirects,
  refuses,
  says,
  unavailable,
} from './scene.ts';
import { json, token, tokenRegistry } from './token-scene.ts';

type Row = {
  name: string;
  tokenServer: RequestListener;
  anonymous?: boolean;
  expected: object;
  /** At the registry; at the token server it is one. */
  requests: number;
};

const rows: Row[] = [
  {
    name: 'a token',
    tokenServer: token({ token: 'good' }),
    expected: { answer: 'granted', asked: 'withCredential' },
    requests: 2,
  },
  {
    name: 'an access_token',
    tokenServer: token({ access_token: 'good' }),
    expected: { answer: 'granted' },
    requests: 2,
  },
  {
    name: 'an empty token and an access_token',
    tokenServer: token({ token: '', access_token: 'good' }),
    expected: { answer: 'granted' },
    requests: 2,
  },
  {
    name: 'a token for anybody',
    tokenServer: token({ token: 'good' }),
    anonymous: true,
    expected: { answer: 'granted', asked: 'anonymously' },
    requests: 2,
  },
  {
    name: 'a token without access',
    tokenServer: token({ token: 'empty' }),
    expected: { answer: 'unauthorized', by: 'registry' },
    requests: 2,
  },
  {
    name: 'a token without access for anybody',
    tokenServer: token({ token: 'empty' }),
    anonymous: true,
    expected: { answer: 'unauthorized', by: 'registry' },
    requests: 2,
  },
  {
    name: '401 of Docker Hub',
    tokenServer: says(401, '{"details":"incorrect username or password"}', json),
    expected: { answer: 'unauthorized', by: 'tokenServer', status: 401 },
    requests: 1,
  },
  {
    name: '401 of docker_auth',
    tokenServer: says(401, 'Auth failed.', { 'www-authenticate': 'Basic realm="lab"' }),
    expected: { answer: 'unauthorized', by: 'tokenServer' },
    requests: 1,
  },
  {
    name: '401 for anybody',
    tokenServer: refuses(401, 'UNAUTHORIZED'),
    anonymous: true,
    expected: { answer: 'unauthorized', by: 'tokenServer' },
    requests: 1,
  },
  {
    name: '403 of GitLab and GHCR',
    tokenServer: refuses(403, 'DENIED'),
    expected: { answer: 'forbidden', by: 'tokenServer', status: 403 },
    requests: 1,
  },
  {
    name: '400 invalid_grant',
    tokenServer: says(400, '{"error":"invalid_grant"}', json),
    expected: { answer: 'unauthorized', by: 'tokenServer', status: 400 },
    requests: 1,
  },
  {
    name: '400 access_denied',
    tokenServer: says(400, '{"error":"access_denied"}', json),
    expected: { answer: 'unauthorized' },
    requests: 1,
  },
  {
    name: '400 invalid_request',
    tokenServer: says(400, '{"error":"invalid_request"}', json),
    expected: unavailable('tokenServer', { status: 400 }),
    requests: 1,
  },
  {
    name: '400 with a page',
    tokenServer: says(400, page),
    expected: unavailable('tokenServer'),
    requests: 1,
  },
  {
    name: '401 with a page',
    tokenServer: says(401, page),
    expected: unavailable('tokenServer', { status: 401 }),
    requests: 1,
  },
  {
    name: '403 with a page',
    tokenServer: says(403, page),
    expected: unavailable('tokenServer', { status: 403 }),
    requests: 1,
  },
  {
    name: '404 with errors',
    tokenServer: refuses(404, 'NOT_FOUND'),
    expected: unavailable('tokenServer'),
    requests: 1,
  },
  {
    name: '200 with a page',
    tokenServer: says(200, page),
    expected: unavailable('tokenServer', { status: 200 }),
    requests: 1,
  },
  { name: '200 with nothing', tokenServer: says(200, ''), expected: unavailable('tokenServer'), requests: 1 },
  {
    name: '200 with a list',
    tokenServer: says(200, '["good"]', json),
    expected: unavailable('tokenServer'),
    requests: 1,
  },
  {
    name: '200 with a token that is a number',
    tokenServer: token({ token: 1 }),
    expected: unavailable('tokenServer'),
    requests: 1,
  },
  {
    name: '200 with a token that would end the header',
    tokenServer: token({ token: 'good\r\nx: y' }),
    expected: unavailable('tokenServer'),
    requests: 1,
  },
  {
    name: '200 with a token of a mile',
    tokenServer: token({ token: 'a'.repeat(20_000) }),
    expected: unavailable('tokenServer'),
    requests: 1,
  },
  {
    name: 'more than a token can be',
    tokenServer: token({ token: 'good', padding: 'a'.repeat(100_000) }),
    expected: unavailable('tooLarge'),
    requests: 1,
  },
  {
    name: 'a redirect',
    tokenServer: redirects(302, 'http://127.0.0.1:1/login'),
    expected: unavailable('tokenServer', { status: 302 }),
    requests: 1,
  },
  {
    name: '429',
    tokenServer: refuses(429, 'TOOMANYREQUESTS', { 'retry-after': '3' }),
    expected: unavailable('tooManyRequests', { retryAfterMs: 3_000 }),
    requests: 1,
  },
  { name: '500', tokenServer: says(500, page), expected: unavailable('serverError'), requests: 1 },
  {
    name: 'a reset',
    tokenServer: (request) => void request.socket.resetAndDestroy(),
    expected: unavailable('disconnected'),
    requests: 1,
  },
];

describe('what a token server says', () => {
  it.each(rows)('$name', async ({ tokenServer, anonymous, expected, requests }) => {
    const { registry, tokens } = await tokenRegistry(tokenServer);
    const client = await clientFor(plainHttp(registry.host));
    const answer = await client.manifest(byDigest(registry.host, anonymous ? {} : { login: login() }));
    expect(answer).toMatchObject({ ...expected, spent: { requests, tokenRequests: 1 } });
    expect(registry.heard).toHaveLength(requests);
    expect(tokens.heard).toHaveLength(1);
  });
});
