import { status as grpc } from '@grpc/grpc-js';
import type { PullText } from './pull-text.ts';
import type { PullFailure } from './runtime.ts';

/** One way a pull fails. `code` limits a row to one gRPC code. */
export type PullErrorRow = {
  readonly name: string;
  readonly outcome: PullFailure;
  /** Any of these stands in the words; `<>` is where a name was. */
  readonly phrases: readonly string[];
  readonly code?: grpc;
  /** Who spoke, whoever is named. Left out: whoever is named right before the phrase. */
  readonly speaker?: 'other' | 'unstated';
  /** Has to follow the phrase before the next `:` or `;`. */
  readonly until?: string;
  /** A text that begins so is not meant. */
  readonly notIn?: string;
  /** What stands behind the phrase may say more: the first of these that fits decides. */
  readonly because?: readonly PullErrorRow[];
};

const DOCKER = ' error response from daemon: ';

/**
 * What the node itself lacks or forbids; says nothing about the credentials, nor about the registry. errno
 * as Go prints them: ENOSPC, EDQUOT, EROFS, EIO, ENOMEM, EMFILE, ENOBUFS, EPERM and EACCES of socket and
 * file calls.
 */
const NODE_TROUBLE: PullErrorRow = {
  name: 'nodeTrouble',
  outcome: 'nodeTrouble',
  speaker: 'unstated',
  phrases: [
    'no space left on device',
    'disk quota exceeded',
    'read-only file system',
    'input/output error',
    'cannot allocate memory',
    'too many open files',
    'no buffer space available',
    'operation not permitted',
    'socket: permission denied',
    'connect: permission denied',
    '<>: permission denied',
  ],
};

const PROXY_REFUSED = ' proxy authentication required';

/** Why a request was not done, from what Go puts behind it. */
const NOT_DONE_BECAUSE: readonly PullErrorRow[] = [
  NODE_TROUBLE,
  // Go net/http transport.go: a proxy's answer to CONNECT is an error whose text is the reason phrase alone.
  {
    name: 'proxyAnswer',
    outcome: 'unavailable',
    speaker: 'other',
    phrases: [
      ' proxyconnect ',
      PROXY_REFUSED,
      '<>: forbidden ',
      '<>: bad gateway ',
      '<>: gateway timeout ',
      '<>: service unavailable ',
    ],
  },
];

/** Go's net/http where no answer came: `Head "URL": …`, in containerd behind `failed to do request`. */
const REQUEST_NOT_DONE: PullErrorRow = {
  name: 'requestNotDone',
  outcome: 'unavailable',
  speaker: 'unstated',
  phrases: [' failed to do request: ', ' get <>: ', ' head <>: ', ' post <>: '],
  // The docker engine writes what the registry answered in the same form.
  notIn: DOCKER,
  because: NOT_DONE_BECAUSE,
};

/**
 * Bytes that are not what was asked for. containerd plugins/content/local/writer.go,
 * core/metadata/content.go, resolver.go, core/unpack/unpacker.go and core/diff/apply; containers/image
 * copy/digesting_reader.go, internal/image/unparsed.go.
 */
const OTHER_BYTES: PullErrorRow = {
  name: 'otherBytes',
  outcome: 'unavailable',
  phrases: [
    'unexpected commit digest',
    'unexpected commit size',
    'failed size validation',
    'digest did not match',
    'digest mismatch',
    'does not match provided manifest digest',
    'not a valid digest',
    ' unexpected media type ',
    ' rejecting ',
    'wrong diff id calculated',
    'mismatched image rootfs',
    'invalid tar header',
    'unsupported content-encoding',
    'gzip: invalid header',
    'unhandled content range',
    'failed to discard to offset',
    'unable to discard to offset',
  ],
};

/**
 * The image is there, and the node cannot make a file system of it. containerd core/unpack,
 * client/image.go.
 */
const UNPACK: PullErrorRow = {
  name: 'unpack',
  outcome: 'nodeTrouble',
  phrases: [
    ' failed to extract ',
    ' failed to unpack ',
    ' failed to prepare ',
    ' failed to commit ',
    ' failed to apply ',
  ],
  because: [OTHER_BYTES],
};

/**
 * Every PullImage error that is known, but for the HTTP statuses (http-status.ts). The row that matches
 * furthest to the left decides, and of two at the same place the earlier: Go wraps from the left, so that
 * the runtime's own words stand before what a registry sent, and text of a registry's (or of a user name it
 * echoes) cannot overrule the status that came with it.
 */
export const PULL_ERRORS: readonly PullErrorRow[] = [
  NODE_TROUBLE,
  UNPACK,
  // kubelet's ErrSignatureValidationFailed (cri-api pkg/errors), CRI-O's policy.json, a registry blocked in
  // registries.conf: the node's own word.
  {
    name: 'nodePolicy',
    outcome: 'forbiddenByPolicy',
    speaker: 'other',
    phrases: [
      'signaturevalidationfailed',
      'source image rejected',
      'signature was required',
      'signature verification failed',
      ' registry <> is blocked in ',
    ],
  },
  // Harbor's deployment security, where the runtime prints the message without its status
  // (src/server/middleware).
  {
    name: 'registryPolicy',
    outcome: 'forbiddenByPolicy',
    phrases: ['due to configured policy', 'projectpolicyviolation', ' precondition failed: '],
  },

  // The name itself. Recorded on all four runtimes as `malformed ref`; distribution/reference errors.
  {
    name: 'nameInvalid',
    outcome: 'invalid',
    phrases: [
      'invalid reference format',
      'repository name must be ',
      'repository name must not be ',
      'repository name must have ',
      'failed to parse image reference',
      'parse image name',
      'could not parse reference',
      'unsupported digest algorithm',
      'invalid checksum digest',
      'short name mode',
      'short-name mode',
      'short name resolution',
      'short-name resolution',
    ],
  },

  // kubelet's ErrRegistryUnavailable, recorded on CRI-O with the registry down.
  { name: 'registryUnavailable', outcome: 'unavailable', phrases: [' registryunavailable: '] },
  { name: 'proxy', outcome: 'unavailable', speaker: 'other', phrases: [' proxyconnect ', PROXY_REFUSED] },
  REQUEST_NOT_DONE,
  // A token server, or whatever stands in front of it, that answers something else than a token. containerd
  // core/remotes/docker/auth/fetch.go and authorizer.go, containers/image docker/docker_client.go.
  {
    name: 'notAToken',
    outcome: 'unavailable',
    phrases: [
      'unable to decode token response',
      'decoding bearer token',
      'unmarshaling bearer token',
      'did not include a token in the response',
      'failed to find supported auth scheme',
      'no realm specified for token auth',
      'invalid token auth challenge realm',
      'missing realm in bearer auth',
      ' invalid character ',
      'unexpected end of json input',
      ' cannot unmarshal ',
    ],
  },
  OTHER_BYTES,

  // distribution errcode TOOMANYREQUESTS, Docker Hub's pull limit, containers/image ErrTooManyRequests.
  {
    name: 'rateLimited',
    outcome: 'unavailable',
    phrases: ['toomanyrequests', 'too many requests', 'pull rate limit'],
  },
  // net/http Response.Status where a runtime prints it without one of the phrases above (cri-dockerd, older
  // CRI-O).
  {
    name: 'bareServerError',
    outcome: 'unavailable',
    phrases: [
      ' 500 internal server error',
      ' 502 bad gateway',
      ' 503 service unavailable',
      ' 504 gateway timeout',
      ' 504 gateway time-out',
    ],
  },
  { name: 'bareRefused', outcome: 'refused', phrases: [' 401 unauthorized', ' 403 forbidden'] },

  // Go net: errno and DNS errors. `connection refused` is recorded on all four runtimes.
  {
    name: 'network',
    outcome: 'unavailable',
    phrases: [
      'connection refused',
      'connection reset by peer',
      'connection timed out',
      'no route to host',
      'network is unreachable',
      'network is down',
      'host is down',
      'host is unreachable',
      'broken pipe',
      'no such host',
      'server misbehaving',
      'name resolution',
      'cannot assign requested address',
      'device or resource busy',
      'use of closed network connection',
    ],
  },
  // Go net, net/http and context: whatever ran out of time, and containerd's pull progress timeout.
  {
    name: 'timeout',
    outcome: 'unavailable',
    phrases: [
      ' i/o timeout',
      'deadline exceeded',
      'deadlineexceeded',
      'timeout exceeded',
      'timeout awaiting',
      'tls handshake timeout',
      'request canceled',
      'context canceled',
      'progress timeout',
    ],
  },
  // crypto/tls, crypto/x509, and net/http where the other side speaks something else.
  {
    name: 'tls',
    outcome: 'unavailable',
    phrases: [
      ' x509: ',
      ' tls: ',
      'failed to verify certificate',
      'gave http response to https client',
      'malformed http',
      'transport connection broken',
    ],
  },
  // io.EOF and net/http2: the connection ended in the middle.
  {
    name: 'connectionEnded',
    outcome: 'unavailable',
    phrases: [
      ': eof ',
      ': eof;',
      ': eof:',
      ': unexpected eof',
      ' http2: ',
      ' stream error: ',
      'server closed idle',
    ],
  },
  // distribution errcode UNAVAILABLE; net/http's redirect limit.
  {
    name: 'serviceUnavailable',
    outcome: 'unavailable',
    phrases: ['service unavailable', 'stopped after 10 redirects'],
  },

  // containerd ErrInvalidAuthorization (recorded: `… authorization failed: no basic auth credentials`; with
  // a token server `server message: insufficient_scope: authorization failed`), docker's ErrAccessDenied.
  // They name no host: containerd says the same of a mirror.
  {
    name: 'accessDenied',
    outcome: 'refused',
    phrases: [
      'pull access denied',
      'authorization failed',
      'no basic auth credentials',
      'insufficient_scope',
    ],
  },
  // containers/image ErrUnauthorizedForCredentials.
  {
    name: 'badCredentials',
    outcome: 'refused',
    phrases: ['invalid username/password', 'missing username or secret'],
  },
  // Harbor and GCR answer an unknown project in these codes (UNKNOWN, NOT_FOUND), which distribution prints
  // as `unknown:`.
  {
    name: 'unknownArtifact',
    outcome: 'notFound',
    phrases: [
      ' unknown: artifact ',
      ' unknown: repository ',
      ' unknown: project ',
      ' unknown: resource ',
      ' unknown: image ',
    ],
    until: 'not found',
  },
  // distribution errcode UNAUTHORIZED and DENIED (recorded on CRI-O): Docker Hub, ECR, Artifact Registry,
  // ACR, Harbor, GitLab (`denied: access forbidden`), Quay (`unauthorized: access to the requested resource
  // is not authorized`).
  {
    name: 'errcodeRefused',
    outcome: 'refused',
    phrases: [
      ' unauthorized: ',
      ' denied: ',
      ' forbidden: ',
      ' authentication required',
      ' authentication is required',
      'requested access to the resource is denied',
      'access to the requested resource is not authorized',
      'access forbidden',
      ' unknown: unauthorized',
      ' unknown: forbidden',
      ' unknown: authentication',
      'http basic: access denied',
    ],
  },
  // A bare code without a message: distribution ErrorCode.Error().
  {
    name: 'errcodeRefusedBare',
    outcome: 'refused',
    phrases: [' unauthorized ', ' unauthorized;', ' unauthorized,', ' denied ', ' denied;', ' denied,'].map(
      (word) => `<>:${word}`,
    ),
  },
  // distribution errcode MANIFEST_UNKNOWN (recorded on CRI-O) and NAME_UNKNOWN (ECR: `name unknown: The
  // repository …`).
  {
    name: 'manifestUnknown',
    outcome: 'notFound',
    phrases: [
      ' manifest unknown',
      ' name unknown',
      ' unknown: not found',
      'named manifest is not known to registry',
      'repository name not known to registry',
    ],
  },
  // docker engine: `manifest for … not found`.
  { name: 'dockerNotFound', outcome: 'notFound', phrases: [' manifest for <> not found'] },
  // containerd resolver.go and fetcher.go, recorded: the reference itself, then errdefs.ErrNotFound. Only
  // there: a snapshot or lease that is missing on the node ends in `not found` with the same code. It names
  // no host.
  {
    name: 'notFound',
    outcome: 'notFound',
    code: grpc.NOT_FOUND,
    phrases: [
      ' failed to resolve image: <>: not found',
      ' failed to resolve reference <>: <>: not found',
      ' content at <>: not found',
      ' content at <> not found: not found',
      ' manifest for <>: not found',
    ],
  },
];

export type MatchedRow = { readonly row: PullErrorRow; readonly at: number };

/** The row that decides; undefined when none fits. `at`: where its phrase begins in the words. */
export function matchingRow(code: number, { words }: PullText): MatchedRow | undefined {
  const matched = leftmost(code, words, PULL_ERRORS);
  if (matched?.row.because === undefined) return matched;
  const because = leftmost(code, words.slice(matched.at), matched.row.because);
  return { at: matched.at, row: because?.row ?? matched.row };
}

function leftmost(code: number, words: string, rows: readonly PullErrorRow[]): MatchedRow | undefined {
  let best: MatchedRow | undefined;
  for (const row of rows) {
    if (row.code !== undefined && row.code !== code) continue;
    if (row.notIn !== undefined && words.startsWith(row.notIn)) continue;
    for (const phrase of row.phrases) {
      const at = words.indexOf(phrase);
      if (at === -1 || at >= (best?.at ?? Number.POSITIVE_INFINITY)) continue;
      if (row.until === undefined || isSaidBy(words, at + phrase.length, row.until)) best = { row, at };
    }
  }
  return best;
}

function isSaidBy(words: string, from: number, until: string): boolean {
  const at = words.indexOf(until, from);
  if (at === -1) return false;
  const said = words.slice(from, at);
  return !said.includes(':') && !said.includes(';');
}
