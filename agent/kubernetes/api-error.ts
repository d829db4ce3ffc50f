export type ApiFailure =
  /** Kubeconfig, certificate, token or exec plugin: there is nothing to ask with. */
  | 'identityUnusable'
  | 'unreachable'
  | 'timeout'
  | 'badRequest'
  | 'unauthorized'
  | 'forbidden'
  | 'notFound'
  | 'conflict'
  /** 410: the resource version or continue token is no longer known. */
  | 'expired'
  /** The resource version asked for is newer than any that the server has (it was restored from a backup, say). */
  | 'tooNew'
  | 'tooManyRequests'
  | 'serverError'
  | 'answerMalformed'
  | 'answerTooLarge';

/** What became of a request to the API server. The message holds nothing of a body but the text of a Status. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly reason: ApiFailure;
  /** From the header Retry-After. */
  readonly retryAfterMs: number | undefined;

  constructor(
    reason: ApiFailure,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** ENOENT and the like, for messages: an error's own could quote what was read. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'cannot be read';
}
