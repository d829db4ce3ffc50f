/** How long and how much a question to a registry may cost. Times in milliseconds, sizes in bytes. */
export type RegistryLimits = {
  /** TCP, a proxy's CONNECT and TLS together. */
  readonly connectMs: number;
  /** From the request to the headers of its answer. */
  readonly headersMs: number;
  /** Between two pieces of a body. */
  readonly idleMs: number;
  /** A whole question for a manifest: every endpoint, token, redirect and byte of it. */
  readonly manifestMs: number;
  /** The same for a blob, unless its question says otherwise. */
  readonly blobMs: number;
  readonly manifestBytes: number;
  /** A blob, unless its question says otherwise: enough for an image config. */
  readonly blobBytes: number;
  readonly tokenBytes: number;
  /** Of an error's body no more is read. */
  readonly errorBytes: number;
  readonly headerBytes: number;
  readonly redirects: number;
  /** Connections to one host at a time. */
  readonly connectionsPerHost: number;
};

export const defaultLimits: RegistryLimits = {
  connectMs: 5_000,
  headersMs: 10_000,
  idleMs: 10_000,
  manifestMs: 30_000,
  blobMs: 30_000,
  manifestBytes: 8 * 2 ** 20,
  blobBytes: 8 * 2 ** 20,
  tokenBytes: 64 * 2 ** 10,
  errorBytes: 64 * 2 ** 10,
  headerBytes: 16 * 2 ** 10,
  redirects: 5,
  connectionsPerHost: 4,
};
