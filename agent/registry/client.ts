/**
 * The pull side of the OCI distribution protocol: asks a registry itself what it grants to a login, and
 * fetches manifests and blobs by what their bytes are. It never asks a mirror, never trusts a header, and
 * every question ends with one of a closed list of answers (answer.ts).
 *
 * @example const folders = ['/etc/containerd/certs.d']; const endpoints = createEndpoints({ runtime:
 * 'containerd', folders, authoritativeMirrors: [] }); const client = createRegistryClient({ endpoints });
 * const answer = await client.manifest({ registry: 'docker.io', repository: 'library/busybox', reference:
 * 'latest' }); if (answer.answer === 'granted') console.log(answer.manifest.digest);
 */
import type { LookupFunction } from 'node:net';
import { LRUCache } from 'lru-cache';
import type { RegistryAnswer } from './answer.ts';
import { createAuthorization } from './authorization.ts';
import { isDigest, receive, type Sink } from './content.ts';
import { ConfigurationError, type Endpoint } from './endpoint/endpoint.ts';
import type { Endpoints } from './endpoint/endpoints.ts';
import { type ExchangeParts, exchange, type Offered, type Spending } from './exchange.ts';
import { defaultLimits, type RegistryLimits } from './limits.ts';
import type { RegistryLogin } from './login.ts';
import { largestParsedBytes, manifestTypes, parseManifest } from './manifest.ts';
import { Outage, type Seen } from './outage.ts';
import { proxyFromEnvironment } from './proxy.ts';
import { createTransport } from './transport.ts';

export type RegistryQuestion = {
  /** As in the image's normalized name: `docker.io`, `registry.example:5000`. */
  readonly registry: string;
  /** `library/busybox` */
  readonly repository: string;
  /** None asks anonymously. */
  readonly login?: RegistryLogin;
  /** Asks for a new token although one is known, so that a right that was taken away is seen at once. */
  readonly freshToken?: boolean;
  readonly signal?: AbortSignal;
};

export type ManifestQuestion = RegistryQuestion & {
  /** A tag or a digest. */
  readonly reference: string;
};

export type BlobQuestion = RegistryQuestion & {
  readonly digest: string;
  readonly maxBytes?: number;
  readonly timeoutMs?: number;
};

export type ReceivedManifest = {
  /** Of a question by digest that very digest, else sha256. */
  readonly digest: string;
  readonly bytes: Buffer;
};

/** Questions never throw, except as said for a sink. */
export type RegistryClient = {
  manifest(question: ManifestQuestion): Promise<RegistryAnswer<{ readonly manifest: ReceivedManifest }>>;
  /**
   * Streams a blob into a sink. Only `granted` says that it was the right one.
   *
   * @throws whatever the sink throws
   */
  blob(question: BlobQuestion, sink: Sink): Promise<RegistryAnswer<{ readonly size: number }>>;
  /** Ends all connections. */
  close(): Promise<void>;
};

export type RegistryClientOptions = {
  readonly endpoints: Endpoints;
  readonly limits?: Partial<RegistryLimits>;
  /** Where HTTPS_PROXY and the like are read from, once; default the process's own. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Instead of the system's name resolution. */
  readonly lookup?: LookupFunction;
  readonly now?: () => number;
};

const REPOSITORY = /^[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*$/;
/**
 * The grammar of distribution/reference; what it lets through is a host, and safe as the name of a folder.
 */
const REGISTRY =
  /^(?:[A-Za-z0-9][A-Za-z0-9-]*(?:\.[A-Za-z0-9][A-Za-z0-9-]*)*|\[[A-Fa-f0-9:]+\])(?::[0-9]+)?$/;
const TAG = /^\w[\w.-]{0,127}$/;
const MAX_PATH = 255;
const MAX_REGISTRY = 255;

export function createRegistryClient(options: RegistryClientOptions): RegistryClient {
  const limits = { ...defaultLimits, ...options.limits };
  const now = options.now ?? Date.now;
  const proxyFor = proxyFromEnvironment(options.environment ?? process.env);
  const { lookup, endpoints } = options;
  const transport = createTransport({ limits, proxyFor, ...(lookup && { lookup }) });
  return clientOver({ transport, authorization: createAuthorization(now), endpoints, limits, now });
}

/** A client over its parts, for who brings a transport of another kind. */
export function clientOver(parts: ExchangeParts): RegistryClient {
  const { limits, transport } = parts;
  const asking = createAsking(parts);
  return {
    manifest({ reference, ...question }) {
      const digest = isDigest(reference) ? reference : undefined;
      const isWellFormed = digest !== undefined || TAG.test(reference);
      return asking({
        question,
        path: isWellFormed ? `manifests/${reference}` : undefined,
        accept: manifestTypes.join(', '),
        timeoutMs: limits.manifestMs,
        async receive({ content }, spending) {
          const pieces: Uint8Array[] = [];
          const received = await receive(content, digest, limits.manifestBytes, (piece) => {
            spending.bytes += piece.byteLength;
            pieces.push(piece);
          });
          const bytes = Buffer.concat(pieces);
          if (digest === undefined) expectManifest(bytes, content.url.host);
          return { manifest: { digest: received.digest, bytes } };
        },
      });
    },
    blob({ digest, maxBytes = limits.blobBytes, timeoutMs = limits.blobMs, ...question }, sink) {
      return asking({
        question,
        path: isDigest(digest) ? `blobs/${digest}` : undefined,
        accept: '*/*',
        timeoutMs,
        async receive({ content }, spending) {
          const { size } = await receive(content, digest, maxBytes, async (piece) => {
            spending.bytes += piece.byteLength;
            await fromSink(sink, piece);
          });
          return { size };
        },
      });
    },
    close: () => transport.close(),
  };
}

function isWellFormed(registry: string, repository: string): boolean {
  if (registry.length > MAX_REGISTRY || !REGISTRY.test(registry) || !URL.canParse(`https://${registry}`)) {
    return false;
  }
  return repository.length <= MAX_PATH && REPOSITORY.test(repository);
}

/** By tag there is no digest to hold the bytes against: a login page is no manifest. */
function expectManifest(bytes: Buffer, host: string): void {
  if (bytes.byteLength > largestParsedBytes) throw new Outage('tooLarge', host);
  if (parseManifest(bytes) === undefined) throw new Outage('notDistribution', host, { status: 200 });
}

/** Keeps what a sink throws apart from what we throw. */
class SinkFailure extends Error {
  override readonly name = 'SinkFailure';
}

async function fromSink(sink: Sink, piece: Uint8Array): Promise<void> {
  try {
    await sink(piece);
  } catch (cause) {
    throw new SinkFailure('the sink failed', { cause });
  }
}

type Asking<Content> = {
  readonly question: RegistryQuestion;
  /** Undefined for one that no registry could have. */
  readonly path: string | undefined;
  readonly accept: string;
  readonly timeoutMs: number;
  /** @throws Outage */
  receive(offered: Offered, spending: Spending): Promise<Content>;
};

const MAX_PLAIN_HOSTS = 200;
const PLAIN_HOST_MS = 600_000;

/** Troubles that mean that a host may speak no TLS. */
const NO_TLS: ReadonlySet<Seen> = new Set<Seen>(['tls', 'connect', 'disconnected', 'timeout']);

/** Goes from one endpoint to the next while none has an answer, and turns whatever happens into one. */
function createAsking(
  parts: ExchangeParts,
): <Content>(asking: Asking<Content>) => Promise<RegistryAnswer<Content>> {
  // Hosts that turned out to speak no TLS where the configuration allows for that.
  const plainHosts = new LRUCache<string, true>({ max: MAX_PLAIN_HOSTS, ttl: PLAIN_HOST_MS });

  const askOne = async <Content>(
    { question, path = '', accept, receive }: Asking<Content>,
    endpoint: Endpoint,
    signal: AbortSignal,
    spending: Spending,
  ): Promise<RegistryAnswer<Content>> => {
    const { login, freshToken = false } = question;
    const heard = await exchange(parts, { endpoint, path, accept, login, freshToken, signal, spending });
    if (heard.answer !== 'offered') return { ...heard, spent: spending };
    const content = await receive(heard, spending);
    return { answer: 'granted', asked: heard.asked, ...content, spent: spending };
  };

  const askAll = async <Content>(
    asking: Asking<Content>,
    signal: AbortSignal,
    spending: Spending,
  ): Promise<RegistryAnswer<Content>> => {
    const { registry, repository } = asking.question;
    let trouble = new Outage('invalidName', registry);
    if (asking.path === undefined || !isWellFormed(registry, repository)) throw trouble;
    const all = await parts.endpoints.find(registry, repository);
    let hasFailed = false;
    for (const [n, endpoint] of all.entries()) {
      const next = all[n + 1];
      const knownPlain = next?.fallback === true && plainHosts.has(endpoint.base.host);
      if (knownPlain || (endpoint.fallback && hasFailed && !NO_TLS.has(trouble.seen))) continue;
      try {
        const answer = await askOne(asking, endpoint, signal, spending);
        if (endpoint.fallback) plainHosts.set(endpoint.base.host, true);
        return answer;
      } catch (error) {
        if (!(error instanceof Outage)) throw error;
        if (endpoint.fallback) plainHosts.delete(endpoint.base.host);
        trouble = error;
        hasFailed = true;
      }
    }
    throw trouble;
  };

  return async (asking) => {
    const { registry, signal } = asking.question;
    const deadline = AbortSignal.timeout(asking.timeoutMs);
    const spending: Spending = { requests: 0, tokenRequests: 0, bytes: 0 };
    try {
      const both = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
      return await askAll(asking, both, spending);
    } catch (error) {
      if (error instanceof SinkFailure) throw error.cause;
      const outage = asOutage(error, registry, signal);
      const { seen, message, status, retryAfterMs } = outage;
      return {
        answer: 'unavailable',
        seen,
        message,
        ...(status !== undefined && { status }),
        ...(retryAfterMs !== undefined && { retryAfterMs }),
        spent: spending,
      };
    }
  };
}

function asOutage(error: unknown, registry: string, signal: AbortSignal | undefined): Outage {
  if (signal?.aborted === true) return new Outage('aborted', registry);
  if (error instanceof Outage) return error;
  return new Outage(error instanceof ConfigurationError ? 'configuration' : 'internal', registry, {
    cause: error,
  });
}
