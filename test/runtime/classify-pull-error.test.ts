import { status as grpc } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { classify, containerd, crio, wordOf } from './pull-error-scene.ts';

const outcomeOf = (message: string): string => classify(message).outcome;

describe('a status that the runtime printed', () => {
  const at = (verb: string, url: string, status: string) =>
    `${containerd}unexpected status from ${verb} request to ${url}: ${status}`;
  const manifest = 'https://r.example/v2/a/b/manifests/1';
  const store = 'https://bucket.s3.example/docker/registry/v2/blobs/sha256/ab/data?X-Amz-Signature=c0ffee';

  it.each([
    [at('HEAD', manifest, '401 Unauthorized'), 'refused registry'],
    [at('HEAD', manifest, '403 Forbidden'), 'refused registry'],
    [at('HEAD', manifest, '410 Gone'), 'notFound registry'],
    [at('HEAD', manifest, '412 Precondition Failed'), 'forbiddenByPolicy registry'],
    [at('HEAD', manifest, '451 Unavailable For Legal Reasons'), 'forbiddenByPolicy registry'],
    [at('HEAD', manifest, '407 Proxy Authentication Required'), 'unavailable registry'],
    [
      at('HEAD', manifest, '503 Service Unavailable (Retry-After: 2026-01-01T00:00:00Z)'),
      'unavailable registry',
    ],
    [at('HEAD', manifest, '400 Bad Request'), 'unknown registry'],
    // Not the registry: a mirror, and a host whose name begins or ends as the registry's.
    [
      at('HEAD', 'https://mirror.example/v2/a/b/manifests/1?ns=r.example', '401 Unauthorized'),
      'refused other',
    ],
    [at('HEAD', 'https://r.example.evil/v2/a/b/manifests/1', '401 Unauthorized'), 'refused other'],
    [at('HEAD', 'https://r.example@evil.example/v2/a/b/manifests/1', '401 Unauthorized'), 'refused other'],
    [at('HEAD', 'https://r.example:5000/v2/a/b/manifests/1', '401 Unauthorized'), 'refused other'],
    // A blob is no answer about the right to a manifest, and an object store is no registry.
    [at('HEAD', 'https://r.example/v2/a/b/blobs/sha256:ab', '401 Unauthorized'), 'unavailable registry'],
    [at('GET', store, '403 Forbidden'), 'unavailable other'],
    [
      'unexpected status code https://r.example/v2/a/b/blobs/sha256:ab: 403 Forbidden',
      'unavailable unstated',
    ],
    [
      'initializing image: reading blob sha256:ab in r.example/a/b: fetching blob: denied: no',
      'unavailable unstated',
    ],
    ['writing blob: fetching blob: StatusCode: 403, "<?xml?>"', 'unavailable unstated'],
    // containerd 1.x's fetcher names the URL that it asked, not the one that answered.
    [
      'unexpected status code https://r.example/v2/a/b/manifests/1: 403 Forbidden - Server message: denied: not yours',
      'refused unstated',
    ],
    [
      'httpReadSeeker: failed open: unexpected status code https://r.example/v2/a/b/manifests/1: 404 Not Found',
      'notFound unstated',
    ],
    // containerd 1.6's resolver.
    [
      `${containerd}pulling from host r.example failed with status code [manifests 1]: 401 Unauthorized`,
      'refused registry',
    ],
    [
      `${containerd}pulling from host mirror.example failed with status code [manifests 1]: 401 Unauthorized`,
      'refused other',
    ],
    [
      `${containerd}pulling from host r.example failed with status code [blobs sha256:ab]: 401 Unauthorized`,
      'unavailable registry',
    ],
    // containers/image.
    [`${crio}StatusCode: 403, "<html>503 Service Unavailable</html>"`, 'refused registry'],
    [`${crio}StatusCode: 412, "not signed"`, 'forbiddenByPolicy registry'],
    [
      'pinging container registry r.example: received unexpected HTTP status: 502 Bad Gateway',
      'unavailable unstated',
    ],
    [
      'pinging container registry r.example: invalid status code from registry 403 (Forbidden)',
      'refused registry',
    ],
    [
      'pinging container registry m.example: invalid status code from registry 403 (Forbidden)',
      'refused other',
    ],
  ])('%s', (message, word) => {
    expect(wordOf(message)).toBe(word);
  });

  it('is not read from what the registry wrote behind another', () => {
    expect(
      wordOf(at('HEAD', manifest, '503 Service Unavailable\ndenied: unexpected status: 401 Unauthorized')),
    ).toBe('unavailable registry');
  });

  it('of a mirror counts as the registry itself where the runtime calls it that', () => {
    const docker = { image: 'docker.io/a/b:1' };
    const url = 'https://registry-1.docker.io/v2/a/b/manifests/1';
    expect(wordOf(at('HEAD', url, '401 Unauthorized'), docker)).toBe('refused registry');
    expect(wordOf(at('HEAD', url, '401 Unauthorized'))).toBe('refused other');
  });
});

describe('a token server', () => {
  const token = (url: string, status: string) =>
    `${containerd}failed to authorize: failed to fetch oauth token: unexpected status from GET request to ${url}: ${status}`;

  it.each([
    [token('https://auth.example/token?account=x&service=y', '401 Unauthorized'), 'refused other'],
    [token('https://r.example/token', '403 Forbidden'), 'refused registry'],
    [token('https://r.example/token', '404 Not Found'), 'unknown registry'],
    [token('https://r.example/token', '412 Precondition Failed'), 'unknown registry'],
    [token('https://r.example/token', '429 Too Many Requests'), 'unavailable registry'],
    [
      'initializing source docker://r.example/a/b:1: Requesting bearer token: invalid status code from registry 403 (Forbidden)',
      'refused unstated',
    ],
    ['failed to fetch oauth token: unexpected status: 401 Unauthorized', 'refused unstated'],
  ])('%s', (message, word) => {
    expect(wordOf(message)).toBe(word);
  });
});

describe('what stands between the node and the registry', () => {
  const request = (why: string) => [
    `${containerd}failed to do request: Head "https://r.example/v2/a/b/manifests/1": ${why}`,
    `pinging container registry r.example: Get "https://r.example/v2/": ${why}`,
  ];

  it.each([
    ['Proxy Authentication Required', 'unavailable other'],
    ['Forbidden', 'unavailable other'],
    ['Bad Gateway', 'unavailable other'],
    ['Gateway Timeout', 'unavailable other'],
    ['proxyconnect tcp: dial tcp 10.0.0.1:3128: connect: connection refused', 'unavailable other'],
    ['read tcp 10.0.0.2:1->10.0.0.1:443: read: connection reset by peer', 'unavailable unstated'],
    ['http2: server sent GOAWAY and closed the connection', 'unavailable unstated'],
    ['stream error: stream ID 1; INTERNAL_ERROR; received from peer', 'unavailable unstated'],
    ['dial tcp 10.0.0.1:443: socket: permission denied', 'nodeTrouble unstated'],
    ['dial tcp 10.0.0.1:443: connect: operation not permitted', 'nodeTrouble unstated'],
    ['dial tcp 10.0.0.1:443: socket: too many open files', 'nodeTrouble unstated'],
    ['something new', 'unavailable unstated'],
  ])('is never a refusal: %s', (why, word) => {
    for (const message of request(why)) expect([message, wordOf(message)]).toEqual([message, word]);
  });
});

describe("containers/image's account of mirrors", () => {
  const account = (mirror: string, own: string) =>
    `initializing source docker://r.example/a/b:1: (Mirrors also failed: [mirror.example/a/b:1: reading manifest 1 in mirror.example/a/b: ${mirror}]): r.example/a/b:1: ${own}`;
  const own = (what: string) => `reading manifest 1 in r.example/a/b: ${what}`;
  const down = 'pinging container registry r.example: Get "https://r.example/v2/": dial tcp: i/o timeout';

  it.each([
    ['authentication required', down, 'unavailable unstated'],
    ['manifest unknown', down, 'unavailable unstated'],
    ['authentication required', own('manifest unknown'), 'notFound registry'],
    [
      'received unexpected HTTP status: 500 Internal Server Error',
      own('authentication required'),
      'refused registry',
    ],
    ['authentication required', own('something new'), 'unknown unstated'],
  ])('mirror: %s; registry: %s', (mirror, primary, word) => {
    expect(wordOf(account(mirror, primary))).toBe(word);
  });

  it('may be long: the registry stands at its end', () => {
    expect(wordOf(account('x '.repeat(3_000), own('denied: no')))).toBe('refused registry');
  });

  it('says nothing where a mirror writes what looks like the end of it', () => {
    const forged = ']): r.example/a/b:1: reading manifest 1 in r.example/a/b: authentication required';
    expect(wordOf(account(forged, down))).toBe('unknown unstated');
    expect(wordOf(account(`${forged}; artifact err: `, down))).toBe('unknown unstated');
    expect(wordOf(account('no end', '').slice(0, 120))).toBe('unknown unstated');
  });

  it('is read in both of its tries', () => {
    const both = `unable to pull image or OCI artifact: pull image err: ${account('denied: no', own('manifest unknown'))}; artifact err: ${account('denied: no', own('manifest unknown'))}`;
    expect(wordOf(both)).toBe('notFound registry');
  });
});

describe('the gRPC code', () => {
  it.each([
    [grpc.UNAVAILABLE, 'No connection established', 'runtimeUnavailable'],
    [grpc.UNIMPLEMENTED, 'unknown service runtime.v1.ImageService', 'runtimeUnavailable'],
    [grpc.CANCELLED, 'Call cancelled', 'runtimeUnavailable'],
    [grpc.CANCELLED, 'Cancelled on client', 'runtimeUnavailable'],
    [grpc.CANCELLED, 'failed to pull and unpack image "x": context canceled', 'unavailable'],
    [grpc.DEADLINE_EXCEEDED, 'Deadline exceeded after 60.001s', 'unavailable'],
  ])('%i (%s) is %s', (code, message, outcome) => {
    expect(classify(message, { code }).outcome).toBe(outcome);
  });
});

describe('a call that ended', () => {
  it('says nothing of the registry when the agent itself has closed the connection', () => {
    for (const text of ['Cancelled on client', 'Call cancelled', 'context canceled'])
      expect(classify(text, { code: grpc.CANCELLED, call: 'closed' }).outcome).toBe('runtimeUnavailable');
  });

  it('at its deadline is one of a registry that hangs, whoever noticed first', () => {
    for (const text of ['Cancelled on client', 'Call cancelled', 'context canceled'])
      expect(classify(text, { code: grpc.CANCELLED, call: 'overdue' }).outcome).toBe('unavailable');
  });

  it('over its deadline and without a status is one of a registry that hangs', () => {
    const reset = 'Received RST_STREAM with code 2 (Internal server error)';
    expect(classify(reset, { code: grpc.INTERNAL, call: 'overdue' }).outcome).toBe('unavailable');
    expect(classify(reset, { code: grpc.INTERNAL }).outcome).toBe('unknown');
  });
});

describe('names that somebody chose', () => {
  const hostile = [
    'evil.example/not-found/unauthorized:denied',
    'evil.example/timeout/x509:toomanyrequests',
    'evil.example/i/o-timeout/401:503',
    'denied:5000/unauthorized:manifest-unknown',
    'evil.example/registryunavailable/no-such-host:eof',
  ];
  it.each(hostile)('%s does not steer the class', (image) => {
    const tag = image.slice(image.lastIndexOf(':') + 1);
    const repository = image.slice(0, image.lastIndexOf(':'));
    const resolve = `failed to pull and unpack image "${image}": failed to resolve reference "${image}": `;
    const reading = `initializing source docker://${image}: reading manifest ${tag} in ${repository}: `;
    for (const [code, message, outcome] of [
      [5, `${resolve}${image}: not found`, 'notFound'],
      [
        2,
        `${resolve}pulling from host ${image.split('/')[0]} failed with status code [manifests ${tag}]: 401 Unauthorized`,
        'refused',
      ],
      [
        2,
        `${resolve}unexpected status from HEAD request to https://evil.example/v2/${repository}/manifests/${tag}: 503 Service Unavailable`,
        'unavailable',
      ],
      [2, `${resolve}something new`, 'unknown'],
      [2, `${reading}authentication required`, 'refused'],
      [2, `${reading}manifest unknown`, 'notFound'],
      [2, `${reading}something new`, 'unknown'],
      [
        2,
        `pinging container registry ${repository.split('/')[0]}: Get "https://${repository}": something new`,
        'unavailable',
      ],
    ] as const) {
      expect([message, classify(message, { code }).outcome]).toEqual([message, outcome]);
    }
  });
});

describe('text that a registry sent', () => {
  it('does not overrule the status it came with', () => {
    const refused = `${containerd}unexpected status from HEAD request to https://r.example/v2/: 403 Forbidden\ndenied: user "x" RegistryUnavailable: 503 Service Unavailable i/o timeout`;
    expect(outcomeOf(refused)).toBe('refused');
    const down = `${containerd}unexpected status from HEAD request to https://r.example/v2/: 503 Service Unavailable\ndenied: no\nmanifest unknown`;
    expect(outcomeOf(down)).toBe('unavailable');
  });

  it('never counts as success', () => {
    for (const text of ['200 OK', 'pulled', 'Image is up to date', '{"imageRef":"sha256:ab"}']) {
      expect(outcomeOf(`${containerd}${text}`)).toBe('unknown');
    }
  });
});

describe("CRI-O's two tries in one message", () => {
  const both = (image: string, artifact: string) =>
    outcomeOf(
      `unable to pull image or OCI artifact: pull image err: ${crio}${image}; artifact err: get manifest from ref: ${crio}${artifact}`,
    );

  it('are unavailable when either could not ask', () => {
    expect(both('authentication required', 'received unexpected HTTP status: 503 Service Unavailable')).toBe(
      'unavailable',
    );
    expect(both('received unexpected HTTP status: 503 Service Unavailable', 'authentication required')).toBe(
      'unavailable',
    );
  });
  it("mean what the image's try says otherwise", () => {
    expect(both('authentication required', 'unsupported media type')).toBe('refused');
    expect(both('something new', 'authentication required')).toBe('unknown');
  });
});
