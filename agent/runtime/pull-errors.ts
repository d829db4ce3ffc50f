import { status as grpc } from '@grpc/grpc-js';
import { messageForLog, withoutNames } from './pull-message.ts';
import type { PullOutcome } from './runtime.ts';

export type FailedPull = Exclude<PullOutcome, { outcome: 'pulled' }>;
type Outcome = FailedPull['outcome'];

/** One way a pull fails. Matched against the text without names; `code` limits a row to one gRPC code. */
export type PullErrorRow = {
  readonly name: string;
  readonly code?: grpc;
  readonly pattern: RegExp;
  readonly outcome: Outcome;
};

/** An HTTP status, where the runtimes themselves print it. */
function httpStatus(codes: string): RegExp {
  return new RegExp(
    String.raw`(?:status from \w+ request to <>:|with status code <>:|unexpected status code <>:|unexpected status:|` +
      String.raw`unexpected http status:|invalid status code from registry|statuscode:|error parsing http) (?:${codes})\b`,
    'i',
  );
}

/**
 * Every PullImage error that is known. The row that matches furthest to the left decides, and of two at the same
 * place the earlier: Go wraps from the left, so that the runtime's own words stand before what a registry sent, and
 * text of a registry's (or of a user name it echoes) cannot overrule the status that came with it.
 */
export const PULL_ERRORS: readonly PullErrorRow[] = [
  // The node's own trouble; says nothing about the credentials, nor about the registry.
  // containerd core/unpack: `failed to extract layer …`, `failed to prepare extraction snapshot …`.
  { name: 'unpack', pattern: /failed to (?:extract|unpack|prepare|commit|apply)\b/i, outcome: 'unknown' },
  // errno ENOSPC, EDQUOT, EROFS, EIO, ENOMEM, EMFILE as Go prints them.
  {
    name: 'nodeStorage',
    pattern:
      /no space left on device|disk quota exceeded|read-only file system|input\/output error|cannot allocate memory|too many open files/i,
    outcome: 'unknown',
  },
  // kubelet's ErrSignatureValidationFailed (cri-api pkg/errors), CRI-O's policy.json: the registry has served it.
  {
    name: 'signature',
    pattern:
      /SignatureValidationFailed|source image rejected|signature was required|signature verification failed/i,
    outcome: 'unknown',
  },

  // The name itself. Recorded on all four runtimes as `malformed ref`; distribution/reference errors.
  {
    name: 'nameInvalid',
    pattern:
      /invalid reference format|repository name must (?:be|not be|have)|failed to parse image reference|parse image name|could not parse reference|unsupported digest algorithm|invalid checksum digest|short[- ]name (?:mode|resolution)/i,
    outcome: 'invalid',
  },

  // kubelet's ErrRegistryUnavailable, recorded on CRI-O with the registry down.
  { name: 'registryUnavailable', pattern: /RegistryUnavailable/, outcome: 'unavailable' },
  // A token server that does not know its own address; containerd core/remotes/docker/authorizer.go.
  {
    name: 'tokenServerOdd',
    pattern:
      /failed to fetch (?:oauth|anonymous) token: unexpected status[^:]*: (?!40[13]\b|408|425|429|5\d\d)\d{3}\b/i,
    outcome: 'unknown',
  },
  // core/remotes/errors ErrUnexpectedStatus; 1.6 `pulling from host … failed with status code` (recorded); the same
  // wraps `failed to fetch oauth token:` and `failed to fetch anonymous token:`. containers/image docker/errors.go.
  { name: 'httpRefused', pattern: httpStatus('401|403'), outcome: 'refused' },
  { name: 'httpNotFound', pattern: httpStatus('404|410'), outcome: 'notFound' },
  { name: 'httpUnavailable', pattern: httpStatus(String.raw`407|408|425|429|5\d\d`), outcome: 'unavailable' },
  { name: 'httpOther', pattern: httpStatus(String.raw`\d{3}`), outcome: 'unknown' },

  // containerd core/remotes/docker/resolver.go: whatever net/http's client could not do, in whatever words (recorded:
  // `readLoopPeekFailLocked: %!w(<nil>)` for a server that speaks no HTTP). No registry has answered.
  { name: 'requestNotDone', pattern: /failed to do request: /i, outcome: 'unavailable' },

  // distribution errcode TOOMANYREQUESTS, Docker Hub's pull limit, containers/image ErrTooManyRequests.
  {
    name: 'rateLimited',
    pattern: /toomanyrequests|too ?many ?requests|429 too many|pull rate limit/i,
    outcome: 'unavailable',
  },
  // net/http Response.Status where a runtime prints it without one of the phrases above (cri-dockerd, older CRI-O).
  {
    name: 'bareServerError',
    pattern: /\b50\d (?:internal server error|bad gateway|service unavailable|gateway time-?out)/i,
    outcome: 'unavailable',
  },
  { name: 'bareRefused', pattern: /\b(?:401 unauthorized|403 forbidden)/i, outcome: 'refused' },

  // Go net: errno and DNS errors. `connection refused` is recorded on all four runtimes.
  {
    name: 'network',
    pattern:
      /connection (?:refused|reset by peer|timed out)|no route to host|network is (?:unreachable|down)|host is (?:down|unreachable)|broken pipe|no such host|server misbehaving|name resolution|cannot assign requested address|proxyconnect\b|device or resource busy/i,
    outcome: 'unavailable',
  },
  // Go net, net/http and context: whatever ran out of time, and containerd's pull progress timeout.
  {
    name: 'timeout',
    pattern:
      /\bio timeout|deadline ?exceeded|client\.timeout|timeout (?:exceeded|awaiting)|tls handshake timeout|request canceled|context canceled|progress timeout/i,
    outcome: 'unavailable',
  },
  // crypto/tls, crypto/x509, and net/http where the other side speaks something else.
  {
    name: 'tls',
    pattern:
      /(?<=^|\s)(?:x509|tls): |failed to verify certificate|gave http response to https client|malformed http|transport connection broken/i,
    outcome: 'unavailable',
  },
  // io.EOF and net/http2: the connection ended in the middle.
  {
    name: 'connectionEnded',
    pattern: /: (?:unexpected )?EOF\b|(?<=^|\s)http2: |server closed idle/,
    outcome: 'unavailable',
  },
  // distribution errcode UNAVAILABLE; net/http's redirect limit.
  {
    name: 'serviceUnavailable',
    pattern: /service unavailable|stopped after 10 redirects/i,
    outcome: 'unavailable',
  },

  // containerd ErrInvalidAuthorization (recorded: `… authorization failed: no basic auth credentials`; with a token
  // server `server message: insufficient_scope: authorization failed`), docker's ErrAccessDenied.
  {
    name: 'accessDenied',
    pattern: /pull access denied|authorization failed|no basic auth credentials|insufficient_scope/i,
    outcome: 'refused',
  },
  // containers/image ErrUnauthorizedForCredentials.
  {
    name: 'badCredentials',
    pattern: /invalid username and password|missing username or secret/i,
    outcome: 'refused',
  },
  // Harbor and GCR answer an unknown project in these codes (UNKNOWN, NOT_FOUND), which distribution prints as `unknown:`.
  {
    name: 'unknownArtifact',
    pattern:
      /(?<=^|\s)unknown: (?:artifact|repository|project|resource|image)\b[^:;]*not found|(?<=^|\s)unknown: not found/i,
    outcome: 'notFound',
  },
  // distribution errcode UNAUTHORIZED and DENIED (recorded on CRI-O): Docker Hub, ECR, Artifact Registry, ACR, Harbor,
  // GitLab (`denied: access forbidden`), Quay (`unauthorized: access to the requested resource is not authorized`).
  {
    name: 'errcodeRefused',
    pattern:
      /(?<=^|\s)(?:unauthorized|denied|forbidden): |authentication (?:is )?required|requested access to the resource is denied|access to the requested resource is not authorized|access forbidden|(?<=^|\s)unknown: (?:unauthorized|forbidden|authentication)|http basic: access denied/i,
    outcome: 'refused',
  },
  // A bare code without a message: distribution ErrorCode.Error().
  { name: 'errcodeRefusedBare', pattern: /<>: (?:unauthorized|denied)(?=$|[;,\s])/i, outcome: 'refused' },
  // distribution errcode MANIFEST_UNKNOWN (recorded on CRI-O) and NAME_UNKNOWN (ECR: `name unknown: The repository …`).
  {
    name: 'manifestUnknown',
    pattern: /manifest unknown|name unknown|(?:named manifest is|repository name) not known to registry/i,
    outcome: 'notFound',
  },
  // docker engine: `manifest for … not found`.
  { name: 'dockerNotFound', pattern: /manifest for \S+ not found/i, outcome: 'notFound' },
  // containerd resolver.go and fetcher.go, recorded: the reference itself, then errdefs.ErrNotFound. Only there: a
  // snapshot or lease that is missing on the node ends in `not found` with the same code.
  {
    name: 'notFound',
    code: grpc.NOT_FOUND,
    pattern:
      /(?:failed to resolve (?:image|reference <>): <>|content at <>(?: not found)?|manifest for <>): not found/i,
    outcome: 'notFound',
  },
];

/**
 * How the call stood when its error came: `closed` by the agent's own end, or at its deadline. The server keeps the
 * deadline too, and its reset may come before grpc-js says so itself; it looks like that of a server that went away.
 */
export type CallState = 'open' | 'closed' | 'overdue';

/**
 * What a failed PullImage says, from its gRPC code and text: a refusal carries no other sign (all runtimes answer
 * Unknown(2) without details). `secrets` are taken out of the message that is kept.
 */
export function classifyPullError(
  code: number,
  message: string,
  secrets: readonly string[] = [],
  call: CallState = 'open',
): FailedPull {
  const kept = messageForLog(message, secrets);
  return { outcome: outcomeOfCode(code, message, call) ?? outcomeOfText(code, message), message: kept };
}

/** Codes that gRPC itself, or a runtime that is no runtime, answers with. */
function outcomeOfCode(code: number, message: string, call: CallState): Outcome | undefined {
  switch (code) {
    case grpc.UNAVAILABLE:
    case grpc.UNIMPLEMENTED:
      return 'runtimeUnavailable';
    case grpc.CANCELLED:
      if (call !== 'open') return call === 'closed' ? 'runtimeUnavailable' : 'unavailable';
      // grpc-js's words where a connection broke; containerd cancels a pull whose registry sends nothing any more.
      return message === 'Call cancelled' || message === 'Cancelled on client'
        ? 'runtimeUnavailable'
        : 'unavailable';
    case grpc.DEADLINE_EXCEEDED:
      return 'unavailable';
    case grpc.INTERNAL:
      // A stream that was reset without a status (`Received RST_STREAM with code …`).
      return call === 'overdue' ? 'unavailable' : undefined;
    default:
      return undefined;
  }
}

/**
 * CRI-O tries the name as an image and then as an OCI artifact and reports both. One half that could not ask makes
 * the whole unavailable; otherwise the image's half decides.
 */
function outcomeOfText(code: number, message: string): Outcome {
  const text = withoutNames(message);
  const halves = text.startsWith('unable to pull image or OCI artifact:')
    ? text.split('; artifact err: ')
    : [text];
  const outcomes = halves.map((half) => matchingRow(code, half)?.outcome ?? 'unknown');
  if (outcomes.includes('unavailable')) return 'unavailable';
  return outcomes[0] ?? 'unknown';
}

function matchingRow(code: number, text: string): PullErrorRow | undefined {
  let best: PullErrorRow | undefined;
  let leftmost = Number.POSITIVE_INFINITY;
  for (const row of PULL_ERRORS) {
    if (row.code !== undefined && row.code !== code) continue;
    const at = text.search(row.pattern);
    if (at >= 0 && at < leftmost) {
      best = row;
      leftmost = at;
    }
  }
  return best;
}
