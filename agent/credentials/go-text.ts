import { isUtf8 } from 'node:buffer';

/**
 * Text as Go reads and writes it, where that differs from JavaScript: Go's strings are bytes that need not
 * be UTF-8.
 */

const REPLACEMENT = '\ufffd';

/**
 * Bytes as Go's decoders read them: one U+FFFD for each byte that is no part of well-formed UTF-8
 * (unicode/utf8 DecodeRune). The web's decoders put one for a whole broken sequence, which would give other
 * hashes than kubelet's.
 */
export function decodeText(bytes: Buffer): string {
  return decodeParts(bytes, (text) => text, REPLACEMENT);
}

/**
 * A string as Go's encoding/json writes it with HTML escaping on (encode.go, appendString). Bytes that are
 * not UTF-8 become the six characters `\ufffd`; a U+FFFD that was there before stays as it is.
 */
export function quoteJson(bytes: Buffer): string {
  return `"${decodeParts(bytes, escapeText, '\\ufffd')}"`;
}

/** Of the control characters only those below U+0020. */
const ESCAPED = /["\\<>&\u2028\u2029]|[^\P{Cc}\u007f-\u009f]/gu;
const SHORT_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
]);

function escapeText(text: string): string {
  return text.replace(ESCAPED, escapeCharacter);
}

function escapeCharacter(character: string): string {
  return SHORT_ESCAPES.get(character) ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Well-formed stretches through `shape`, `broken` for every other byte. */
function decodeParts(bytes: Buffer, shape: (text: string) => string, broken: string): string {
  if (isUtf8(bytes)) return shape(bytes.toString('utf8'));
  const parts: string[] = [];
  let start = 0;
  let at = 0;
  while (at < bytes.length) {
    const length = runeLength(bytes, at);
    if (length === 0) {
      if (at > start) parts.push(shape(bytes.toString('utf8', start, at)));
      parts.push(broken);
      start = at + 1;
    }
    at += length === 0 ? 1 : length;
  }
  parts.push(shape(bytes.toString('utf8', start)));
  return parts.join('');
}

/** How many bytes the rune at this place takes; 0 where there is none (RFC 3629, section 4). */
function runeLength(bytes: Buffer, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  const second = bytes[at + 1] ?? 0;
  // Longer than need be, a surrogate, or beyond U+10FFFF.
  const tooLow = (lead === 0xe0 && second < 0xa0) || (lead === 0xf0 && second < 0x90);
  const tooHigh = (lead === 0xed && second > 0x9f) || (lead === 0xf4 && second > 0x8f);
  if (tooLow || tooHigh) return 0;
  for (let next = at + 1; next < at + length; next += 1) {
    if (((bytes[next] ?? 0) & 0xc0) !== 0x80) return 0;
  }
  return length;
}
