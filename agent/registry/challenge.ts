/** One challenge of a WWW-Authenticate header (RFC 9110, section 11.6.1). Names are in lower case. */
export type Challenge = {
  readonly scheme: string;
  /** Of parameters that stand twice the first counts. */
  readonly parameters: ReadonlyMap<string, string>;
};

/** A challenge is a few hundred bytes; more is not looked into. */
const MAX_TEXT = 8_192;
const MAX_CHALLENGES = 16;

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y;
const SPACE = /[ \t]*/y;
/** What may stand between challenges and parameters: empty list members are legal. */
const SEPARATORS = /[ \t,]*/y;
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*/y;
const QUOTED = /"((?:[^"\\]|\\.)*)"/y;
/** Whatever a sloppy server writes without quotes. */
const UNQUOTED = /[^\s,"]+/y;

/**
 * All challenges of an answer, in order: several in one header, several headers, quoted strings with commas
 * and escapes, `token68` (which is passed over). Lenient where it does no harm, for it is read by those who
 * cannot mend the server; what cannot be read ends the list.
 */
export function parseChallenges(headers: string | readonly string[] | undefined): readonly Challenge[] {
  const challenges: Challenge[] = [];
  for (const header of typeof headers === 'string' ? [headers] : (headers ?? [])) {
    if (header.length <= MAX_TEXT) readHeader(header, challenges);
    if (challenges.length >= MAX_CHALLENGES) break;
  }
  return challenges.slice(0, MAX_CHALLENGES);
}

function readHeader(text: string, challenges: Challenge[]): void {
  const cursor = createCursor(text);
  let parameters: Map<string, string> | undefined;
  for (;;) {
    cursor.take(SEPARATORS);
    const word = cursor.take(TOKEN);
    if (word === '') return;
    const afterWord = cursor.at();
    const spaced = cursor.take(SPACE) !== '';
    if (cursor.skip('=') && parameters !== undefined) {
      cursor.take(SPACE);
      const value = cursor.takeValue();
      if (value === undefined) return;
      const name = word.toLowerCase();
      if (!parameters.has(name)) parameters.set(name, value);
      continue;
    }
    cursor.moveTo(afterWord);
    parameters = new Map();
    challenges.push({ scheme: word.toLowerCase(), parameters });
    if (spaced) skipToken68(cursor);
  }
}

/** `Negotiate YII…==`: one value that is no parameter. */
function skipToken68(cursor: Cursor): void {
  const start = cursor.at();
  cursor.take(SPACE);
  const value = cursor.take(TOKEN68);
  cursor.take(SPACE);
  const alone = value !== '' && (cursor.atEnd() || cursor.next() === ',');
  if (!alone) cursor.moveTo(start);
}

type Cursor = {
  at(): number;
  moveTo(position: number): void;
  atEnd(): boolean;
  next(): string;
  skip(character: string): boolean;
  /** What the sticky pattern matches here, or the empty text. */
  take(pattern: RegExp): string;
  /** A quoted or unquoted value; undefined for a quote that is never closed. */
  takeValue(): string | undefined;
};

function createCursor(text: string): Cursor {
  let position = 0;
  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const found = pattern.exec(text);
    if (found !== null) position += found[0].length;
    return found;
  };
  return {
    at: () => position,
    moveTo(to) {
      position = to;
    },
    atEnd: () => position >= text.length,
    next: () => text.charAt(position),
    skip(character) {
      if (text.charAt(position) !== character) return false;
      position += 1;
      return true;
    },
    take: (pattern) => match(pattern)?.[0] ?? '',
    takeValue() {
      if (text.charAt(position) !== '"') return match(UNQUOTED)?.[0] ?? '';
      return match(QUOTED)?.[1]?.replace(/\\(.)/g, '$1');
    },
  };
}
