import { printable } from '../printable.ts';

const MAX_STRING = 1_024;
const MAX_ITEMS = 100;
const MAX_DEPTH = 5;
const MAX_STACK_LINES = 20;
const REDACTED = '[redacted]';

/**
 * Names of fields that hold credentials in docker configs, CRI's AuthConfig, secrets and HTTP headers, in
 * lower case.
 */
const SECRET_NAMES: ReadonlySet<string> = new Set([
  'auth',
  'auths',
  'authorization',
  'credential',
  'credentials',
  'credentialhash',
  'identitytoken',
  'password',
  'registrytoken',
  'secretdata',
  'stringdata',
  'token',
  '.dockercfg',
  '.dockerconfigjson',
]);

/** `https://user:password@host`; a digest after an @ is none. */
const USER_INFO = /:\/\/[^\s/@]+@(?!sha(?:256|384|512):)/g;
const AUTHORIZATION = /\b(Bearer|Basic)\s+[\w.~+/=-]{8,}/gi;

/**
 * The fields of a log line as they may be written: strings on one line and cut, lists and depth bounded,
 * credentials taken out. No caller passes credentials; this is the second line of defence, for the caller
 * that does by mistake. `stacks`: whether errors show theirs.
 */
export function loggable(fields: Record<string, unknown>, stacks: boolean): Record<string, unknown> {
  return entries(fields, stacks, 0);
}

/** A log line's message, in the same way. */
export function loggableText(text: string): string {
  const cut = text.length > 2 * MAX_STRING ? text.slice(0, 2 * MAX_STRING) : text;
  return printable(
    cut.replace(USER_INFO, `://${REDACTED}@`).replace(AUTHORIZATION, `$1 ${REDACTED}`),
    MAX_STRING,
  );
}

function entries(fields: object, stacks: boolean, depth: number): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields)
      .slice(0, MAX_ITEMS)
      .map(([name, value]) => [
        printable(name, 100),
        SECRET_NAMES.has(name.toLowerCase()) ? REDACTED : loggableValue(value, stacks, depth + 1),
      ]),
  );
}

function loggableValue(value: unknown, stacks: boolean, depth: number): unknown {
  if (typeof value === 'string') return loggableText(value);
  if (typeof value === 'bigint') return String(value);
  // No measurement of ours is worth more than three digits after the point.
  if (typeof value === 'number') return Number.isInteger(value) ? value : Math.round(value * 1_000) / 1_000;
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DEPTH) return '[…]';
  if (value instanceof Error) return describeError(value, stacks, depth);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Map) return entries(Object.fromEntries(value), stacks, depth);
  if (Array.isArray(value) || value instanceof Set) {
    return [...value].slice(0, MAX_ITEMS).map((item) => loggableValue(item, stacks, depth + 1));
  }
  return entries(value, stacks, depth);
}

function describeError(error: Error, stacks: boolean, depth: number): Record<string, unknown> {
  return {
    type: error.name,
    ...('reason' in error ? { reason: loggableValue(error.reason, stacks, depth + 1) } : {}),
    message: loggableText(error.message),
    ...(stacks ? { stack: (error.stack ?? '').split('\n').slice(1, MAX_STACK_LINES).map(loggableText) } : {}),
    ...(error.cause === undefined ? {} : { cause: loggableValue(error.cause, stacks, depth + 1) }),
  };
}
