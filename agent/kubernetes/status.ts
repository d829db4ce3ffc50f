import { z } from 'zod';
import { ApiError } from '../errors.ts';

const MAX_TEXT = 512;

const statusObject = z.object({
  kind: z.literal('Status'),
  message: z.string().default(''),
  reason: z.string().default(''),
  code: z.number().default(0),
  details: z.object({ causes: z.array(z.object({ reason: z.string().default('') })).nullish() }).nullish(),
});

const FAILURES: ReadonlyMap<number, ApiError['reason']> = new Map([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'notFound'],
  [408, 'timeout'],
  [409, 'conflict'],
  [410, 'expired'],
  [429, 'tooManyRequests'],
]);

/**
 * The error that a metav1.Status (or whatever else was answered) stands for. `httpStatus` is undefined for
 * the object of a watch's ERROR event, whose own `code` counts then.
 */
export function errorFromStatus(
  object: unknown,
  httpStatus: number | undefined,
  retryAfterMs?: number,
): ApiError {
  const status = statusObject.safeParse(object).data;
  const code = httpStatus ?? status?.code ?? 0;
  const text = status?.message ? `: ${status.message.slice(0, MAX_TEXT)}` : '';
  return new ApiError(failureOf(code, status), `the API server answered ${code || 'an error'}${text}`, {
    retryAfterMs,
  });
}

function failureOf(code: number, status: z.infer<typeof statusObject> | undefined): ApiError['reason'] {
  if (status?.reason === 'Expired' || status?.reason === 'Gone') return 'expired';
  // client-go tells it by this cause, and by the text for servers that do not send the cause.
  const tooNew =
    status?.details?.causes?.some((cause) => cause.reason === 'ResourceVersionTooLarge') ||
    status?.message.includes('Too large resource version');
  if (tooNew) return 'tooNew';
  return FAILURES.get(code) ?? (code >= 400 && code < 500 ? 'badRequest' : 'serverError');
}

/** Whatever stands between may ask for hours, but nobody is to be blind that long. */
const MAX_RETRY_AFTER_MS = 60_000;

/**
 * Retry-After in ms, a minute at most; the API server writes whole seconds. Undefined where it says nothing
 * usable.
 */
export function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined || !/^\d{1,5}$/.test(header)) return undefined;
  return Math.min(Number(header) * 1_000, MAX_RETRY_AFTER_MS);
}
