import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import {
  basicOfAlice,
  byDigest,
  byTag,
  clientFor,
  digestOf,
  fake,
  grants,
  login,
  manifest,
  manifestDigest,
  page,
  plainHttp,
  refuses,
  says,
  unavailable,
  wants,
} from './scene.ts';

type Row = {
  name: string;
  /** What the registry does, whatever is asked of it. */
  registry: RequestListener;
  tag?: boolean;
  anonymous?: boolean;
  expected: object;
  /** At the registry. */
  requests: number;
};

const basic = 'Basic realm="lab"';
const denied = { answer: 'unauthorized', by: 'registry' };
const json = { 'content-type': 'application/json' };
const marked = { 'docker-distribution-api-version': 'registry/2.0' };

const rows: Row[] = [
  // Grants: the right bytes, and nothing else.
  {
    name: 'the right bytes without a digest header',
    registry: grants,
    expected: { answer: 'granted', asked: 'anonymously' },
    requests: 1,
  },
  {
    name: 'the right bytes after a login',
    registry: wants(basicOfAlice, basic),
    expected: { answer: 'granted', asked: 'withCredential' },
    requests: 2,
  },
  {
    name: 'the right bytes with a digest header that lies',
    registry: says(200, manifest.toString(), { 'docker-content-digest': digestOf('lie') }),
    expected: { answer: 'granted' },
    requests: 1,
  },
  {
    name: 'a manifest by tag',
    registry: grants,
    tag: true,
    expected: { answer: 'granted', manifest: { digest: manifestDigest, bytes: manifest } },
    requests: 1,
  },
  {
    name: 'other bytes with a digest header that fits',
    registry: says(200, '{"schemaVersion":2}', { 'docker-content-digest': manifestDigest }),
    expected: unavailable('digestMismatch'),
    requests: 1,
  },
  {
    name: 'one byte more',
    registry: says(200, `${manifest} `),
    expected: unavailable('digestMismatch'),
    requests: 1,
  },
  { name: '200 with nothing', registry: says(200, ''), expected: unavailable('digestMismatch'), requests: 1 },
  {
    name: '200 with a page, by digest',
    registry: says(200, page, { 'content-type': 'text/html' }),
    expected: unavailable('digestMismatch'),
    requests: 1,
  },
  {
    name: '200 with a page, by tag',
    registry: says(200, page, { 'content-type': 'text/html' }),
    tag: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '200 with other JSON, by tag',
    registry: says(200, '{"status":"up"}', json),
    tag: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '200 with a manifest of version 1, by tag',
    registry: says(200, '{"schemaVersion":1,"fsLayers":[]}', json),
    tag: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '200 with what is index and image at once, by tag',
    registry: says(200, JSON.stringify({ ...JSON.parse(manifest.toString()), manifests: [] })),
    tag: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '200 with JSON that is cut off, by tag',
    registry: says(200, manifest.toString().slice(0, -3)),
    tag: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '204',
    registry: says(204, ''),
    expected: unavailable('unexpectedStatus', { status: 204 }),
    requests: 1,
  },
  {
    name: '206 with the right bytes',
    registry: says(206, manifest.toString()),
    expected: unavailable('unexpectedStatus', { status: 206 }),
    requests: 1,
  },
  // Refusals: in the protocol's own form.
  {
    name: 'a wrong password',
    registry: wants('Basic another', basic),
    expected: { ...denied, status: 401 },
    requests: 2,
  },
  {
    name: 'no login where one is wanted',
    registry: wants('Basic another', basic),
    anonymous: true,
    expected: { ...denied, status: 401 },
    requests: 1,
  },
  {
    name: '401 with a page after a challenge (nginx in front)',
    registry: says(401, page, { 'www-authenticate': basic, 'content-type': 'text/html' }),
    expected: denied,
    requests: 2,
  },
  {
    name: '403 with errors',
    registry: refuses(403, 'DENIED'),
    anonymous: true,
    expected: { answer: 'forbidden', by: 'registry', status: 403 },
    requests: 1,
  },
  {
    name: '403 with errors after a login',
    registry: (request, response) =>
      (request.headers.authorization
        ? refuses(403, 'DENIED')
        : refuses(401, 'UNAUTHORIZED', { 'www-authenticate': basic }))(request, response),
    expected: { answer: 'forbidden' },
    requests: 2,
  },
  {
    name: '404 with errors',
    registry: refuses(404, 'MANIFEST_UNKNOWN'),
    anonymous: true,
    expected: { answer: 'notFound', by: 'registry', status: 404 },
    requests: 1,
  },
  {
    name: '404 without a body and with the header of the API',
    registry: says(404, '', marked),
    anonymous: true,
    expected: { answer: 'notFound' },
    requests: 1,
  },
  {
    name: '403 with a page and the header of the API',
    registry: says(403, page, marked),
    anonymous: true,
    expected: { answer: 'forbidden' },
    requests: 1,
  },
  {
    name: '404 to a login that was never asked for: the root is asked for a challenge',
    registry: refuses(404, 'NAME_UNKNOWN'),
    expected: { answer: 'notFound' },
    requests: 2,
  },
  {
    name: '401 with errors and no challenge anywhere',
    registry: refuses(401, 'UNAUTHORIZED'),
    expected: denied,
    requests: 2,
  },
  {
    name: '412 of a policy',
    registry: refuses(412, 'PROJECTPOLICYVIOLATION'),
    expected: { answer: 'forbiddenByPolicy', status: 412 },
    requests: 1,
  },
  {
    name: '451 of the law',
    registry: refuses(451, 'DENIED'),
    expected: { answer: 'forbiddenByPolicy', status: 451 },
    requests: 1,
  },
  // Outages: everything else.
  {
    name: '403 with a page',
    registry: says(403, page, { 'content-type': 'text/html' }),
    anonymous: true,
    expected: unavailable('notDistribution', { status: 403 }),
    requests: 1,
  },
  {
    name: '403 in plain words',
    registry: says(403, 'RBAC: access denied'),
    anonymous: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '404 with a page',
    registry: says(404, page),
    anonymous: true,
    expected: unavailable('notDistribution', { status: 404 }),
    requests: 1,
  },
  {
    name: '404 of an ingress without a backend, after a login',
    registry: (request, response) =>
      (request.headers.authorization
        ? says(404, 'default backend - 404')
        : refuses(401, 'UNAUTHORIZED', { 'www-authenticate': basic }))(request, response),
    expected: unavailable('notDistribution'),
    requests: 2,
  },
  {
    name: '404 with the errors of another API',
    registry: says(404, '{"errors":[{"status":"404"}]}', json),
    anonymous: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '404 with errors that are no list',
    registry: says(404, '{"errors":{"code":"X"}}', json),
    anonymous: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '404 with an empty list of errors',
    registry: says(404, '{"errors":[]}', json),
    anonymous: true,
    expected: unavailable('notDistribution'),
    requests: 1,
  },
  {
    name: '401 with a page and no challenge',
    registry: says(401, page),
    anonymous: true,
    expected: unavailable('notDistribution', { status: 401 }),
    requests: 1,
  },
  {
    name: '401 that wants Negotiate alone',
    registry: says(401, '', { 'www-authenticate': 'Negotiate' }),
    expected: unavailable('challenge'),
    requests: 1,
  },
  {
    name: '401 that wants Digest alone, anonymously',
    registry: says(401, '', { 'www-authenticate': 'Digest realm="a",nonce="b"' }),
    anonymous: true,
    expected: unavailable('challenge'),
    requests: 1,
  },
  {
    name: '401 with a Bearer challenge without realm',
    registry: says(401, '', { 'www-authenticate': 'Bearer service="lab"' }),
    expected: unavailable('challenge'),
    requests: 1,
  },
  {
    name: '401 with a realm that is no URL',
    registry: says(401, '', { 'www-authenticate': 'Bearer realm="lab"' }),
    expected: unavailable('challenge'),
    requests: 1,
  },
  {
    name: '401 with a realm that is a file',
    registry: says(401, '', { 'www-authenticate': 'Bearer realm="file:///etc/passwd"' }),
    expected: unavailable('challenge'),
    requests: 1,
  },
  {
    name: '401 that wants Negotiate or Basic',
    registry: wants(basicOfAlice, ['Negotiate', basic]),
    expected: { answer: 'granted' },
    requests: 2,
  },
  {
    name: '401 that wants Negotiate or Basic in one header',
    registry: wants(basicOfAlice, `Negotiate, ${basic}`),
    expected: { answer: 'granted' },
    requests: 2,
  },
  {
    name: '401 with a Bearer challenge that cannot be used, and Basic',
    registry: wants(basicOfAlice, `Bearer realm="", ${basic}`),
    expected: { answer: 'granted' },
    requests: 2,
  },
  {
    name: '400',
    registry: refuses(400, 'UNSUPPORTED'),
    expected: unavailable('unexpectedStatus', { status: 400 }),
    requests: 1,
  },
  {
    name: '400 of ECR to a login that is none',
    registry: (request, response) =>
      (request.headers.authorization
        ? refuses(400, 'DENIED')
        : refuses(401, 'UNAUTHORIZED', { 'www-authenticate': basic }))(request, response),
    expected: { ...denied, status: 400 },
    requests: 2,
  },
  {
    name: '400 with the same words before any login',
    registry: refuses(400, 'DENIED'),
    expected: unavailable('unexpectedStatus'),
    requests: 1,
  },
  {
    name: '400 with other words to a login',
    registry: (request, response) =>
      (request.headers.authorization
        ? refuses(400, 'NAME_INVALID')
        : refuses(401, 'UNAUTHORIZED', { 'www-authenticate': basic }))(request, response),
    expected: unavailable('unexpectedStatus'),
    requests: 2,
  },
  {
    name: '405',
    registry: refuses(405, 'UNSUPPORTED'),
    expected: unavailable('unexpectedStatus', { status: 405 }),
    requests: 1,
  },
  {
    name: '407',
    registry: refuses(407, 'DENIED'),
    expected: unavailable('proxy', { status: 407 }),
    requests: 1,
  },
  {
    name: '410',
    registry: refuses(410, 'NAME_UNKNOWN'),
    expected: unavailable('unexpectedStatus', { status: 410 }),
    requests: 1,
  },
  {
    name: '412 with a page',
    registry: says(412, page),
    expected: unavailable('notDistribution', { status: 412 }),
    requests: 1,
  },
  {
    name: '429 with seconds',
    registry: refuses(429, 'TOOMANYREQUESTS', { 'retry-after': '7' }),
    expected: unavailable('tooManyRequests', { status: 429, retryAfterMs: 7_000 }),
    requests: 1,
  },
  {
    name: '429 with a date long past',
    registry: refuses(429, 'TOOMANYREQUESTS', { 'retry-after': 'Mon, 01 Jan 2001 00:00:00 GMT' }),
    expected: unavailable('tooManyRequests', { retryAfterMs: 0 }),
    requests: 1,
  },
  {
    name: '429 with a wait of a year',
    registry: refuses(429, 'TOOMANYREQUESTS', { 'retry-after': '31536000' }),
    expected: unavailable('tooManyRequests', { retryAfterMs: 3_600_000 }),
    requests: 1,
  },
  {
    name: '429 with nonsense',
    registry: refuses(429, 'TOOMANYREQUESTS', { 'retry-after': 'soon' }),
    expected: unavailable('tooManyRequests'),
    requests: 1,
  },
  {
    name: '500',
    registry: refuses(500, 'UNKNOWN'),
    expected: unavailable('serverError', { status: 500 }),
    requests: 1,
  },
  {
    name: '503 with a page',
    registry: says(503, page, { 'retry-after': '1' }),
    expected: unavailable('serverError', { status: 503, retryAfterMs: 1_000 }),
    requests: 1,
  },
  {
    name: '511 of a portal',
    registry: says(511, page),
    expected: unavailable('serverError', { status: 511 }),
    requests: 1,
  },
  {
    name: '500 after a login',
    registry: (request, response) =>
      (request.headers.authorization
        ? refuses(500, 'UNKNOWN')
        : refuses(401, 'UNAUTHORIZED', { 'www-authenticate': basic }))(request, response),
    expected: unavailable('serverError'),
    requests: 2,
  },
];

describe('what a registry says', () => {
  it.each(rows)('$name', async ({ registry, tag, anonymous, expected, requests }) => {
    const { host, heard } = await fake(registry);
    const client = await clientFor(plainHttp(host));
    const question = (tag ? byTag : byDigest)(host, anonymous ? {} : { login: login() });
    const answer = await client.manifest(question);
    expect(answer).toMatchObject(expected);
    expect(heard).toHaveLength(requests);
    expect(answer.spent).toMatchObject({ requests, tokenRequests: 0 });
  });
});

describe('what reaches people', () => {
  it('is nothing that a server wrote', async () => {
    const { host } = await fake(refuses(400, 'SECRET', { 'x-secret': 'SECRET' }));
    const client = await clientFor(plainHttp(host));
    const answer = await client.manifest(byDigest(host));
    expect(answer).toMatchObject({ answer: 'unavailable', message: `${host}: unexpected answer (HTTP 400)` });
    expect(JSON.stringify(answer)).not.toContain('SECRET');
  });

  it('holds no credential', async () => {
    const { host } = await fake(wants('Basic another', basic));
    const client = await clientFor(plainHttp(host));
    const answer = await client.manifest(byDigest(host, { login: login() }));
    expect(JSON.stringify(answer)).not.toMatch(/correct horse|Basic /);
  });
});
