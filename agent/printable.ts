/** C0 and C1 controls, line separators and the marks that reorder text on a screen. */
const UNPRINTABLE = /[\p{Cc}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu;

/**
 * Text from outside on its way to a person: on one line, with no character that moves a cursor or forges a
 * line (they are written as `\u001b`), and cut at `maxLength` characters.
 */
export function printable(text: string, maxLength = 1_024): string {
  const cut = text.length > maxLength ? `${text.slice(0, maxLength - 1)}…` : text;
  return cut.replace(UNPRINTABLE, escaped);
}

function escaped(character: string): string {
  if (character === '\n') return '\\n';
  if (character === '\t') return '\\t';
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
