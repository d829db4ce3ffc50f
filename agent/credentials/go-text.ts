import { isUtf8 } from 'node:buffer';

/**
 * Bytes as Go's decoders read them: one U+FFFD for each byte that is no part of well-formed UTF-8 (unicode/utf8
 * DecodeRune). The web's decoders put one for a whole broken sequence, which would give other hashes than kubelet's.
 */
export function decodeText(bytes: Uint8Array): string {
  return runes(bytes).join('');
}

/** A string as Go's encoding/json writes it, HTML escaping on: what kubelet hashes. Not-UTF-8 bytes become `\ufffd`. */
export function quoteJson(bytes: Uint8Array): string {
  const escaped = isUtf8(bytes)
    ? Buffer.from(bytes).toString('utf8').replace(ESCAPED, escapeCharacter)
    : runes(bytes, '\\ufffd', escapeAll).join('');
  return `"${escaped}"`;
}

/** A lone surrogate in a JSON text decodes to U+FFFD in Go. */
export function encodeText(text: string): Buffer {
  return Buffer.from(text.toWellFormed(), 'utf8');
}

const ESCAPED = /["\\<>&\u0000-\u001f\u2028\u2029]/g;
const SHORT: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function escapeCharacter(character: string): string {
  return SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function escapeAll(text: string): string {
  return text.replace(ESCAPED, escapeCharacter);
}

function runes(
  bytes: Uint8Array,
  broken = '\ufffd',
  shape: (text: string) => string = (text) => text,
): string[] {
  const buffer = Buffer.from(bytes);
  if (isUtf8(buffer)) return [shape(buffer.toString('utf8'))];
  const found: string[] = [];
  let start = 0;
  while (start < buffer.length) {
    const length = [1, 2, 3, 4].find(
      (n) => start + n <= buffer.length && isUtf8(buffer.subarray(start, start + n)),
    );
    found.push(length === undefined ? broken : shape(buffer.toString('utf8', start, start + length)));
    start += length ?? 1;
  }
  return found;
}
