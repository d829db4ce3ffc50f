import { readdirSync } from 'node:fs';
import { status as grpc } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { encodingsOf } from '../../agent/runtime/credential-encodings.ts';
import { classifyPullError, PULL_ERRORS } from '../../agent/runtime/pull-errors.ts';
import { capture } from './fake-runtime.ts';

type Recorded = {
  readonly file: string;
  readonly title: string;
  readonly code: number;
  readonly message: string;
};

/** What each recorded case means, by the beginning of its title; the first that fits counts. */
const meaningOfCase: readonly (readonly [RegExp, string])[] = [
  [/^(?:no creds|wrong password|private digest, no creds)/, 'refused'],
  [/^(?:tag|digest|tag\+digest), (?:no creds|wrong password)/, 'refused'],
  [/^unknown (?:tag|repo|digest)/, 'notFound'],
  [/^same digest, (?:OTHER repo|OTHER registry)/, 'notFound'],
  [/^(?:host refuses connection|same digest, host that refuses)/, 'unavailable'],
  [/^malformed ref/, 'invalid'],
  [/^(?:1\.6|1\.7|2\.1|crio)$/, 'unavailable'],
  [/^(?:token|htpasswd): (?:no credentials|wrong password|unknown user|known user without right)/, 'refused'],
  [
    /^(?:token|htpasswd|anonymous): (?:unknown (?:tag|repository|digest)|digest that is in another)/,
    'notFound',
  ],
  [/^registry answers 40[13]\b/, 'refused'],
  [/^token server answers 40[13]\b/, 'refused'],
  [/^registry answers 404\b/, 'notFound'],
  [/^token server answers 404\b/, 'unknown'],
  [/^(?:registry|token server) answers 400\b/, 'unknown'],
  [/^(?:registry|token server) answers (?:429|50\d)\b/, 'unavailable'],
  [/^(?:registry|token server) (?:down|hangs)/, 'unavailable'],
  [/^registry (?:closes|resets|speaks no HTTP)/, 'unavailable'],
  [/^(?:host name unknown|TLS:)/, 'unavailable'],
];

function recorded(): readonly Recorded[] {
  const files = readdirSync(new URL('../captures/', import.meta.url)).filter((name) =>
    /^pull-errors-.*\.txt$/.test(name),
  );
  return files.flatMap((file) => {
    let title = '';
    return capture(file)
      .split('\n')
      .flatMap((line) => {
        if (/^#+ /.test(line)) title = line.replace(/^#+ /, '');
        const error = /\bcode=(\d+)\(\w+\) msg=(.*)$/.exec(line);
        return error
          ? [{ file, title, code: Number(error[1]), message: (error[2] ?? '').replace(/ details=\[\]$/, '') }]
          : [];
      });
  });
}

const outcomeOf = (message: string, code: number = grpc.UNKNOWN) => classifyPullError(code, message).outcome;

describe('a recorded PullImage error', () => {
  it('is there for every runtime', () => {
    expect(new Set(recorded().map(({ file }) => file)).size).toBeGreaterThanOrEqual(5);
  });

  it.each(recorded())('$file: $title', ({ title, code, message }) => {
    const expected = meaningOfCase.find(([pattern]) => pattern.test(title));
    expect(expected, 'no meaning is written down for this case').toBeDefined();
    expect(outcomeOf(message, code)).toBe(expected?.[1]);
  });
});

const containerd =
  'failed to pull and unpack image "r.example/a/b:1": failed to resolve reference "r.example/a/b:1": ';
const crio = 'initializing source docker://r.example/a/b:1: reading manifest 1 in r.example/a/b: ';
const docker = 'Error response from daemon: ';

/** Row name -> what it is there for. Texts as the named projects' sources and issue trackers have them. */
const rowExamples: Readonly<Record<string, readonly (readonly [string, number?])[]>> = {
  unpack: [
    [
      'failed to pull and unpack image "r.example/a/b:1": failed to extract layer sha256:ab: mount: not found',
      5,
    ],
  ],
  nodeStorage: [
    ['writing blob: adding layer with blob "sha256:ab": write /var/lib/x: no space left on device'],
  ],
  signature: [
    [
      'SignatureValidationFailed: unable to pull image: Source image rejected: A signature was required, but no signature exists',
    ],
    ['Source image rejected: Invalid GPG signature'],
  ],
  nameInvalid: [
    ['failed to parse image reference "a:b:c": invalid reference format'],
    ['short name mode is enforcing, but image name x returns ambiguous list'],
  ],
  registryUnavailable: [
    ['RegistryUnavailable: unable to pull image: pinging container registry r.example: whatever'],
  ],
  tokenServerOdd: [
    [
      `${containerd}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://r.example/token: 404 Not Found`,
    ],
  ],
  httpRefused: [
    [
      `${containerd}failed to authorize: failed to fetch oauth token: unexpected status from GET request to https://auth.r.example/token?account=x&service=y: 401 Unauthorized`,
    ],
    [
      `${containerd}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://ghcr.io/token?scope=a: 403 Forbidden`,
    ],
    [
      `${containerd}unexpected status from HEAD request to https://123.dkr.ecr.eu-central-1.amazonaws.com/v2/a/manifests/1: 403 Forbidden`,
    ],
    [
      'unexpected status code https://r.example/v2/a/b/manifests/1: 403 Forbidden - Server message: denied: not yours',
    ],
    [`${crio}StatusCode: 403, "<html>503 Service Unavailable</html>"`],
    ['Requesting bearer token: invalid status code from registry 403 (Forbidden)'],
  ],
  httpNotFound: [
    [
      'httpReadSeeker: failed open: unexpected status code https://r.example/v2/a/b/manifests/1: 404 Not Found',
    ],
  ],
  httpUnavailable: [
    [
      `${containerd}unexpected status from HEAD request to https://r.example/v2/a/b/manifests/1: 503 Service Unavailable (Retry-After: 2026-01-01T00:00:00Z)`,
    ],
    ['pinging container registry r.example: received unexpected HTTP status: 502 Bad Gateway'],
    ['pinging container registry r.example: invalid status code from registry 504 (Gateway Timeout)'],
  ],
  httpOther: [
    [
      `${containerd}unexpected status from HEAD request to https://r.example/v2/a/b/manifests/1: 400 Bad Request`,
    ],
  ],
  requestNotDone: [
    [
      `${containerd}failed to do request: Head "http://r.example/v2/a/b/manifests/1": readLoopPeekFailLocked: %!w(<nil>)`,
    ],
  ],
  rateLimited: [
    [
      `${crio}toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating`,
    ],
    [`${crio}too many requests to registry`],
  ],
  bareServerError: [[`${docker}error from registry: 503 Service Unavailable`]],
  bareRefused: [[`${docker}login attempt failed with 401 Unauthorized`]],
  network: [
    [
      `${containerd}failed to do request: Head "https://r.example/v2/": dial tcp: lookup r.example on 10.96.0.10:53: no such host`,
    ],
    ['dial tcp: lookup r.example on 10.96.0.10:53: server misbehaving'],
    ['Get "https://r.example/v2/": dial tcp 10.0.0.1:443: connect: no route to host'],
    ['Get "https://r.example/v2/": dial tcp 10.0.0.1:443: connect: network is unreachable'],
    ['Get "https://r.example/v2/": read tcp 10.0.0.2:1->10.0.0.1:443: read: connection reset by peer'],
  ],
  timeout: [
    ['Get "https://r.example/v2/": dial tcp 10.0.0.1:443: i/o timeout'],
    [
      'Get "https://r.example/v2/": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
    ],
    ['Get "https://r.example/v2/": net/http: TLS handshake timeout'],
  ],
  tls: [
    ['Get "https://r.example/v2/": x509: certificate has expired or is not yet valid'],
    ['Get "https://r.example/v2/": remote error: tls: bad certificate'],
    ['Head "https://r.example/v2/": http: server gave HTTP response to HTTPS client'],
  ],
  connectionEnded: [
    ['Get "https://r.example/v2/": EOF'],
    ['reading blob: unexpected EOF'],
    ['Get "https://r.example/v2/": http2: server sent GOAWAY'],
  ],
  serviceUnavailable: [[`${crio}unavailable: service unavailable`]],
  accessDenied: [
    [
      `${containerd}pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`,
    ],
    [
      `${docker}pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
    ],
    [`${docker}Get "https://123.dkr.ecr.eu-central-1.amazonaws.com/v2/": no basic auth credentials`],
  ],
  badCredentials: [
    [
      `${crio}unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password`,
    ],
  ],
  unknownArtifact: [
    [`${crio}unknown: artifact a/b:1 not found`],
    [`${crio}unknown: repository a/b not found`],
  ],
  errcodeRefused: [
    [`${crio}denied: requested access to the resource is denied`],
    [`${crio}denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on resource`],
    [`${crio}denied: Your authorization token has expired. Reauthenticate and try again.`],
    [`${crio}denied: access forbidden`],
    [`${crio}unauthorized: access to the requested resource is not authorized`],
    [
      `${crio}unauthorized: unauthorized to access repository: a/b, action: pull: unauthorized to access repository: a/b, action: pull`,
    ],
    [
      `${crio}unauthorized: authentication required, visit https://aka.ms/acr/authorization for more information.`,
    ],
    [
      'Error reading manifest 1 in r.example/a/b: errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required\n',
    ],
  ],
  errcodeRefusedBare: [[`${crio}unauthorized`], [`${crio}denied`]],
  manifestUnknown: [
    [`${crio}manifest unknown: manifest unknown`],
    [`${crio}name unknown: The repository with name 'a/b' does not exist in the registry with id '123'`],
  ],
  dockerNotFound: [[`${docker}manifest for r.example/a/b:1 not found`]],
  notFound: [[`${containerd}r.example/a/b:1: not found`, grpc.NOT_FOUND]],
};

describe('the table of pull errors', () => {
  it.each(PULL_ERRORS)('$name means $outcome', ({ name, outcome }) => {
    const examples = rowExamples[name];
    expect(examples, 'a row without an example').toBeDefined();
    for (const [message, code] of examples ?? [])
      expect([message, outcomeOf(message, code)]).toEqual([message, outcome]);
  });

  it('leaves what it does not know unknown, which is never a permission and never a refusal', () => {
    for (const message of [
      '',
      'something went wrong',
      'failed to pull and unpack image "x": lease does not exist: not found',
    ]) {
      expect(outcomeOf(message)).toBe('unknown');
      expect(outcomeOf(message, grpc.NOT_FOUND)).toBe('unknown');
    }
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
    expect(outcomeOf(message, code)).toBe(outcome);
  });
});

describe('a call that ended', () => {
  it('says nothing of the registry when the agent itself has closed the connection', () => {
    for (const text of ['Cancelled on client', 'Call cancelled', 'context canceled'])
      expect(classifyPullError(grpc.CANCELLED, text, [], 'closed').outcome).toBe('runtimeUnavailable');
  });

  it('at its deadline is one of a registry that hangs, whoever noticed first', () => {
    for (const text of ['Cancelled on client', 'Call cancelled', 'context canceled'])
      expect(classifyPullError(grpc.CANCELLED, text, [], 'overdue').outcome).toBe('unavailable');
  });

  it('over its deadline and without a status is one of a registry that hangs', () => {
    const reset = 'Received RST_STREAM with code 2 (Internal server error)';
    expect(classifyPullError(grpc.INTERNAL, reset, [], 'overdue').outcome).toBe('unavailable');
    expect(classifyPullError(grpc.INTERNAL, reset, [], 'open').outcome).toBe('unknown');
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
        'unknown',
      ],
    ] as const) {
      expect([message, outcomeOf(message, code)]).toEqual([message, outcome]);
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

describe('the message that is kept', () => {
  const kept = (message: string, secrets: readonly string[] = []) =>
    classifyPullError(2, message, secrets).message;

  it('is one line of at most 512 characters that still tells the cause', () => {
    const long = kept(`failed to pull "${'x'.repeat(5_000)}":\n\tunexpected\u2028status: 401 Unauthorized`);
    expect(long.length).toBeLessThanOrEqual(512);
    expect(long).not.toMatch(/[\p{Cc}\u2028]/u);
    expect(long).toMatch(/401 Unauthorized$/);
  });

  it('holds no credential', () => {
    const message = kept(
      'Get "https://alice:hunter22@r.example/token?account=alice&service=r&token=abc": Authorization: Basic YWxpY2U6aHVudGVyMjI= denied for hunter22 password="hunter22x"',
      ['hunter22', 'YWxpY2U6aHVudGVyMjI='],
    );
    expect(message).not.toMatch(/hunter22|alice|YWxpY2U6|abc/);
    expect(message).toContain('r.example/token');
  });

  it('holds no credential in any form that a runtime or a registry may give it', () => {
    const auth = { username: 'alice', password: 'tip>"top"\\ sécret/1 & \t?more(!)' };
    const basic = `${auth.username}:${auth.password}`;
    const json = JSON.stringify(auth.password).slice(1, -1);
    const forms = [
      auth.password,
      json,
      JSON.stringify(json).slice(1, -1),
      json.replaceAll('>', '\\u003e').replaceAll('&', '\\u0026'),
      json.replaceAll('é', '\\u00e9'),
      encodeURIComponent(auth.password),
      encodeURIComponent(auth.password).toLowerCase(),
      new URLSearchParams({ p: auth.password }).toString().slice(2),
      Buffer.from(basic).toString('base64'),
      Buffer.from(basic).toString('base64').replaceAll('=', ''),
      Buffer.from(basic).toString('base64url'),
      encodeURIComponent(Buffer.from(basic).toString('base64')),
      Buffer.from(auth.password).toString('base64'),
    ];
    for (const form of forms) {
      expect(kept(`denied: <${form}> no`, encodingsOf(auth)), form).toMatch(
        /^denied: <(\*\*\*)+(=|%3D)*> no$/i,
      );
      expect(kept(`denied: <${form.slice(0, 9)}`, encodingsOf(auth)), form).toBe('denied: <***');
    }
  });

  it('holds nothing of a password that is longer than what is read of a message', () => {
    const auth = { username: 'alice', password: 'abcdefghij'.repeat(10_000) };
    for (const cut of [9, 2_000, 20_000, 100_000]) {
      const echo = `denied: ${auth.password.slice(0, cut)}`;
      expect(kept(echo, encodingsOf(auth))).toBe('denied: ***');
      expect(kept(`${echo}: end`, encodingsOf(auth))).not.toContain('abcdefgh');
    }
  });

  it('leaves the words around a credential readable', () => {
    const message = 'failed to fetch oauth token: unexpected status: 401 Unauthorized';
    expect(kept(message)).toBe(message);
    expect(kept('body {"access_token": "eyJhbGciOi"} token=eyJhbGciOi')).not.toContain('eyJ');
  });

  it('takes no longer for a hostile text', () => {
    // A pattern that backtracks would not end within the test's time.
    for (const unit of ['"', '\\"', '://', '<>: ', 'unknown: artifact ', 'a.', 'registry '])
      kept(unit.repeat(1_000_000));
  });
});
