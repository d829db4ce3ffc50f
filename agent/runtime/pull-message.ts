import { asciiLower } from './credential-encodings.ts';
import { MAX_TEXT } from './pull-text.ts';

const MAX_KEPT = 512;
/**
 * Of a longer message the front (which image) and the end (the cause, which Go's wrapping puts last) are
 * kept.
 */
const KEPT_FRONT = 120;
/** Longer than the longest of `secrets`, so that one that begins before the cut is found. */
const BEYOND_THE_CUT = 16;
/** Shorter values are words, not tokens. */
const MIN_TOKEN = 8;
/** As many characters of a secret are taken for it where the text breaks off behind them. */
const FEW = 4;
const MASK = '***';
const CUT_OFF = '."\'\\…';

/**
 * A pull error as it may be logged and stored: one line, at most 512 characters of the first 2 KiB, without
 * user:password@ and query strings (a token server's carry the account), without bearer or basic tokens.
 * `secrets` are the beginnings of what must not be kept (credential-encodings.ts): the message ends where
 * one of them begins.
 */
export function messageForLog(message: string, secrets: readonly string[] = []): string {
  const words = untilSecret(message, secrets).split(/[\p{Cc}\p{Zl}\p{Zp}\s]+/u);
  const line = words
    .map((word, at) => withoutToken(withoutLogin(word), words[at - 1] ?? ''))
    .join(' ')
    .trim();
  if (line.length <= MAX_KEPT) return line;
  return `${line.slice(0, KEPT_FRONT)} … ${line.slice(line.length - (MAX_KEPT - KEPT_FRONT - 3))}`;
}

/** What follows the beginning of a secret may be the rest of it, in whatever form. */
function untilSecret(message: string, secrets: readonly string[]): string {
  const read = asciiLower(message.slice(0, MAX_TEXT + BEYOND_THE_CUT));
  let end = MAX_TEXT;
  for (const [few, alike] of Map.groupBy(secrets, (secret) => secret.slice(0, FEW))) {
    for (let at = read.indexOf(few); at !== -1 && at < end; at = read.indexOf(few, at + 1)) {
      if (alike.some((secret) => givesAway(read, at, secret))) end = at;
    }
  }
  return end < Math.min(MAX_TEXT, message.length) ? `${message.slice(0, end)}${MASK}` : message.slice(0, end);
}

/** Does a secret stand here, at least until somebody cut the text off? */
function givesAway(text: string, at: number, secret: string): boolean {
  let length = 0;
  while (length < secret.length && text[at + length] === secret[length]) length += 1;
  if (length === secret.length) return true;
  const next = text[at + length];
  // containers/image cuts what a registry sent to 50 bytes and writes it as `"…..."` (docker/errors.go).
  return next === undefined || CUT_OFF.includes(next);
}

/** Without what stands before the @ of a URL, and without its query. */
function withoutLogin(word: string): string {
  if (!word.includes('://')) return word;
  return word
    .split('"')
    .map((part) => part.split('://').map(withoutLoginAndQuery).join('://'))
    .join('"');
}

function withoutLoginAndQuery(part: string, at: number): string {
  if (at === 0) return part;
  const query = part.indexOf('?');
  const bare = query === -1 ? part : `${part.slice(0, query)}${part.endsWith(':') ? ':' : ''}`;
  const slash = bare.indexOf('/');
  const authority = slash === -1 ? bare : bare.slice(0, slash);
  if (authority.endsWith(MASK)) return MASK;
  return bare.slice(authority.lastIndexOf('@') + 1);
}

/** `before`: the word before it. */
function withoutToken(word: string, before: string): string {
  if (word.length < MIN_TOKEN) return word;
  if (/(?:bearer|basic)$/i.test(before)) return word.replace(/^[\w.~+/=-]{8,}/, MASK);
  if (/(?:token|password|secret)["']:$/i.test(before)) return word.replace(/^["']?[^"'&,;]{8,}/, MASK);
  return word.replace(/((?:token|password|secret)(?:=["']?|["']:["']))[^"'&,;]{8,}/gi, '$1***');
}
