import { readdirSync } from 'node:fs';
import { status as grpc } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { PULL_ERRORS } from '../../agent/runtime/pull-errors.ts';
import { capture } from './fake-runtime.ts';
import { classify, containerd, crio, docker, wordOf } from './pull-error-scene.ts';

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

/** Which image the runtime was asked for. */
function imageOf(message: string): string {
  return /(?:image "|docker:\/\/)([^\s"]+)/.exec(message)?.[1]?.replace(/:$/, '') ?? 'r.example/a:1';
}

describe('a recorded PullImage error', () => {
  it('is there for every runtime', () => {
    expect(new Set(recorded().map(({ file }) => file)).size).toBeGreaterThanOrEqual(5);
  });

  it.each(recorded())('$file: $title', ({ title, code, message }) => {
    const expected = meaningOfCase.find(([pattern]) => pattern.test(title));
    expect(expected, 'no meaning is written down for this case').toBeDefined();
    expect(classify(message, { code, image: imageOf(message) }).outcome).toBe(expected?.[1]);
  });
});

/** Row name -> what it is there for. Texts as the named projects' sources and issue trackers have them. */
const rowExamples: Readonly<
  Record<string, readonly (readonly [text: string, word: string, code?: number])[]>
> = {
  nodeTrouble: [
    [
      'writing blob: adding layer with blob "sha256:ab": write /var/lib/x: no space left on device',
      'nodeTrouble unstated',
    ],
    [
      'failed to pull and unpack image "r.example/a/b:1": failed to copy: write /var/lib/x: input/output error',
      'nodeTrouble unstated',
    ],
    ['open /var/lib/containers/storage/x: permission denied', 'nodeTrouble unstated'],
  ],
  unpack: [
    [
      'failed to pull and unpack image "r.example/a/b:1": failed to unpack image on snapshotter overlayfs: unexpected media type text/html for sha256:ab: not found',
      'unavailable unstated',
      5,
    ],
    [
      'failed to pull and unpack image "r.example/a/b:1": failed to extract layer sha256:ab: wrong diff id calculated on extraction "sha256:cd"',
      'unavailable unstated',
    ],
    [
      'failed to pull and unpack image "r.example/a/b:1": failed to extract layer sha256:ab: mount: not found',
      'nodeTrouble unstated',
      5,
    ],
  ],
  nodePolicy: [
    [
      'SignatureValidationFailed: unable to pull image: Source image rejected: A signature was required, but no signature exists',
      'forbiddenByPolicy other',
    ],
    ['Source image rejected: Invalid GPG signature', 'forbiddenByPolicy other'],
    [
      'initializing source docker://r.example/a/b:1: registry r.example is blocked in /etc/containers/registries.conf or /etc/containers/registries.conf.d',
      'forbiddenByPolicy other',
    ],
  ],
  registryPolicy: [
    [
      `${crio}unknown: current image with "Pending" status of vulnerability scanning cannot be pulled due to configured policy in 'Prevent images with vulnerability severity of "Low" or higher from running.'`,
      'forbiddenByPolicy unstated',
    ],
  ],
  nameInvalid: [
    ['failed to parse image reference "a:b:c": invalid reference format', 'invalid unstated'],
    ['short name mode is enforcing, but image name x returns ambiguous list', 'invalid unstated'],
  ],
  registryUnavailable: [
    [
      'RegistryUnavailable: unable to pull image: pinging container registry r.example: whatever',
      'unavailable unstated',
    ],
  ],
  proxy: [
    ['pinging container registry r.example: proxyconnect tcp: tls: first record', 'unavailable other'],
    [`${docker}Get "https://r.example/v2/": Proxy Authentication Required`, 'unavailable other'],
  ],
  requestNotDone: [
    [
      `${containerd}failed to do request: Head "http://r.example/v2/a/b/manifests/1": readLoopPeekFailLocked: %!w(<nil>)`,
      'unavailable unstated',
    ],
    [
      `${containerd}failed to do request: Head "https://r.example/v2/": dial tcp: lookup r.example on 10.96.0.10:53: no such host`,
      'unavailable unstated',
    ],
    [
      'pinging container registry r.example: Get "https://r.example/v2/": something new',
      'unavailable unstated',
    ],
  ],
  notAToken: [
    [
      `${containerd}failed to authorize: failed to fetch anonymous token: unable to decode token response: invalid character '<' looking for beginning of value`,
      'unavailable unstated',
    ],
    [
      `${containerd}failed to authorize: failed to fetch oauth token: authorization server did not include a token in the response`,
      'unavailable unstated',
    ],
    [
      'initializing source docker://r.example/a/b:1: decoding bearer token (last URL "https://auth.example/t", body start "<html>"): invalid character \'<\' looking for beginning of value',
      'unavailable unstated',
    ],
  ],
  otherBytes: [
    [
      'failed to pull and unpack image "r.example/a/b:1": failed commit on ref "layer-sha256:ab": unexpected commit digest sha256:cd, expected sha256:ab: failed precondition',
      'unavailable unstated',
      9,
    ],
    [
      'failed to pull and unpack image "r.example/a/b:1": failed commit on ref "layer-sha256:ab": "layer-sha256:ab" failed size validation: 12 != 13: failed precondition',
      'unavailable unstated',
      9,
    ],
    ['writing blob: Digest did not match, expected sha256:ab, got sha256:cd', 'unavailable unstated'],
    [
      'failed to pull and unpack image "r.example/a/b:1": unexpected media type text/html for sha256:ab: not found',
      'unavailable unstated',
      5,
    ],
  ],
  rateLimited: [
    [
      `${crio}toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating`,
      'unavailable registry',
    ],
    [`${crio}too many requests to registry`, 'unavailable registry'],
  ],
  bareServerError: [[`${docker}error from registry: 503 Service Unavailable`, 'unavailable unstated']],
  bareRefused: [[`${docker}login attempt failed with 401 Unauthorized`, 'refused unstated']],
  network: [
    ['dial tcp: lookup r.example on 10.96.0.10:53: server misbehaving', 'unavailable unstated'],
    [
      `${docker}Get "https://r.example/v2/": dial tcp 10.0.0.1:443: connect: no route to host`,
      'unavailable unstated',
    ],
    ['read tcp 10.0.0.2:1->10.0.0.1:443: read: connection reset by peer', 'unavailable unstated'],
  ],
  timeout: [
    ['dial tcp 10.0.0.1:443: i/o timeout', 'unavailable unstated'],
    ['context deadline exceeded (Client.Timeout exceeded while awaiting headers)', 'unavailable unstated'],
    [`${docker}Get "https://r.example/v2/": net/http: TLS handshake timeout`, 'unavailable unstated'],
  ],
  tls: [
    [
      `${docker}Get "https://r.example/v2/": x509: certificate has expired or is not yet valid`,
      'unavailable unstated',
    ],
    ['remote error: tls: bad certificate', 'unavailable unstated'],
    ['http: server gave HTTP response to HTTPS client', 'unavailable unstated'],
  ],
  connectionEnded: [
    [`${docker}Get "https://r.example/v2/": EOF`, 'unavailable unstated'],
    ['reading blob: unexpected EOF', 'unavailable unstated'],
    ['http2: server sent GOAWAY', 'unavailable unstated'],
    [
      'failed to pull and unpack image "r.example/a/b:1": failed to copy: stream error: stream ID 3; INTERNAL_ERROR; received from peer',
      'unavailable unstated',
    ],
  ],
  serviceUnavailable: [[`${crio}unavailable: service unavailable`, 'unavailable unstated']],
  accessDenied: [
    [
      `${containerd}pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed`,
      'refused unstated',
    ],
    [
      `${docker}pull access denied for x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
      'refused unstated',
    ],
    [
      `${docker}Get "https://123.dkr.ecr.eu-central-1.amazonaws.com/v2/": no basic auth credentials`,
      'refused unstated',
    ],
  ],
  badCredentials: [
    [
      `${crio}unable to retrieve auth token: invalid username/password: unauthorized: incorrect username or password`,
      'refused unstated',
    ],
  ],
  unknownArtifact: [
    [`${crio}unknown: artifact a/b:1 not found`, 'notFound registry'],
    [`${crio}unknown: repository a/b not found`, 'notFound registry'],
  ],
  errcodeRefused: [
    [`${crio}denied: requested access to the resource is denied`, 'refused registry'],
    [
      `${crio}denied: Permission "artifactregistry.repositories.downloadArtifacts" denied on resource`,
      'refused registry',
    ],
    [
      `${crio}denied: Your authorization token has expired. Reauthenticate and try again.`,
      'refused registry',
    ],
    [`${crio}denied: access forbidden`, 'refused registry'],
    [`${crio}unauthorized: access to the requested resource is not authorized`, 'refused registry'],
    [
      `${crio}unauthorized: unauthorized to access repository: a/b, action: pull: unauthorized to access repository: a/b, action: pull`,
      'refused registry',
    ],
    [
      `${crio}unauthorized: authentication required, visit https://aka.ms/acr/authorization for more information.`,
      'refused registry',
    ],
    [
      'Error reading manifest 1 in r.example/a/b: errors:\ndenied: requested access to the resource is denied\nunauthorized: authentication required\n',
      'refused registry',
    ],
  ],
  errcodeRefusedBare: [
    [`${crio}unauthorized`, 'refused registry'],
    [`${crio}denied`, 'refused registry'],
  ],
  manifestUnknown: [
    [`${crio}manifest unknown: manifest unknown`, 'notFound registry'],
    [
      `${crio}name unknown: The repository with name 'a/b' does not exist in the registry with id '123'`,
      'notFound registry',
    ],
  ],
  dockerNotFound: [[`${docker}manifest for r.example/a/b:1 not found`, 'notFound unstated']],
  notFound: [[`${containerd}r.example/a/b:1: not found`, 'notFound unstated', grpc.NOT_FOUND]],
};

describe('the table of pull errors', () => {
  it.each(PULL_ERRORS)('$name means $outcome', ({ name, outcome }) => {
    const examples = rowExamples[name] ?? [];
    expect(examples.length, 'a row without an example').toBeGreaterThan(0);
    for (const [message, word, code = grpc.UNKNOWN] of examples) {
      expect([message, wordOf(message, { code })]).toEqual([message, word]);
    }
    expect(examples.map(([, word]) => word.split(' ')[0])).toContain(outcome);
  });

  it('has an example for each of its rows and for nothing else', () => {
    expect(Object.keys(rowExamples).toSorted()).toEqual(PULL_ERRORS.map(({ name }) => name).toSorted());
  });

  it('leaves what it does not know unknown, which is never a permission and never a refusal', () => {
    for (const message of [
      '',
      'something went wrong',
      'failed to pull and unpack image "x": lease does not exist: not found',
    ]) {
      expect(wordOf(message)).toBe('unknown unstated');
      expect(wordOf(message, { code: grpc.NOT_FOUND })).toBe('unknown unstated');
    }
  });
});
