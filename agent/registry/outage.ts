import { printable } from '../printable.ts';

/** Why a question got no word of the registry: a closed list, for metrics and logs alike. */
export type Seen =
  | 'aborted'
  | 'certificate'
  | 'challenge'
  | 'configuration'
  | 'connect'
  | 'digestMismatch'
  | 'disconnected'
  | 'forbiddenAddress'
  | 'internal'
  | 'invalidName'
  | 'nameResolution'
  | 'notDistribution'
  | 'notHttp'
  | 'plainHttp'
  | 'proxy'
  | 'redirect'
  | 'serverError'
  | 'timeout'
  | 'tls'
  | 'tokenServer'
  | 'tooLarge'
  | 'tooManyRequests'
  | 'unexpectedStatus';

const WORDS: Readonly<Record<Seen, string>> = {
  aborted: 'the question was given up',
  certificate: 'its TLS certificate is not trusted',
  challenge: 'asks for a login of a kind that is not supported, or does not accept its own tokens',
  configuration: "the container runtime's configuration for this registry cannot be used",
  connect: 'no connection',
  digestMismatch: 'sent other content than it was asked for',
  disconnected: 'the connection broke',
  forbiddenAddress: 'has an address that must not be asked (link-local, multicast or unspecified)',
  internal: 'the question failed',
  invalidName: 'the image name cannot be asked for',
  nameResolution: 'the host name has no address',
  notDistribution: 'the answer is not that of a registry',
  notHttp: 'the answer is not HTTP',
  plainHttp: "would be asked over plain HTTP, which the container runtime's configuration does not allow",
  proxy: 'the proxy does not connect to it',
  redirect: 'leads elsewhere, and there is no answer',
  serverError: 'server error',
  timeout: 'did not answer in time',
  tls: 'no TLS connection',
  tokenServer: 'the token server gave no token',
  tooLarge: 'the answer is too large',
  tooManyRequests: 'too many requests',
  unexpectedStatus: 'unexpected answer',
};

export type OutageDetails = {
  /** HTTP status, where one was seen. */
  readonly status?: number;
  /** What the answer's Retry-After asks for. */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
};

/**
 * The registry could not be asked, or what answered was not the registry's word. Never leaves this folder.
 */
export class Outage extends Error {
  override readonly name = 'Outage';
  readonly seen: Seen;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  /** @param host whom the trouble was with, as `host:port`. */
  constructor(seen: Seen, host: string, { status, retryAfterMs, cause }: OutageDetails = {}) {
    super(outageMessage(seen, host, status), cause === undefined ? undefined : { cause });
    this.seen = seen;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * For people, tenants included: made of closed pieces, so that nothing a server wrote can be in it but its
 * name.
 */
function outageMessage(seen: Seen, host: string, status: number | undefined): string {
  return `${printable(host, 260)}: ${WORDS[seen]}${status === undefined ? '' : ` (HTTP ${status})`}`;
}
