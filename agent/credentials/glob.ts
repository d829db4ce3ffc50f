/**
 * Shell patterns as Go's path/filepath Match reads them, which kubelet uses on each label of a host name: `*`
 * any run of characters but `/`, `?` any one of them, `[a-z]` and `[^a-z]` one of a class, `\x` the character
 * x.
 */

type CharacterClass = { readonly negated: boolean; readonly ranges: readonly (readonly [string, string])[] };
type Token = '*' | '?' | { readonly literal: string } | CharacterClass;
export type Glob = { readonly tokens: readonly Token[]; readonly minLength: number };

/** Undefined for a pattern that is none (Go's ErrBadPattern). */
export function parseGlob(pattern: string): Glob | undefined {
  const tokens: Token[] = [];
  let at = 0;
  while (at < pattern.length) {
    const character = pattern[at] ?? '';
    if (character === '[') {
      const found = parseClass(pattern, at + 1);
      if (found === undefined) return undefined;
      tokens.push(found.token);
      at = found.end;
    } else if (character === '*' || character === '?') {
      if (character === '?' || tokens.at(-1) !== '*') tokens.push(character);
      at += 1;
    } else {
      const found = parseEscape(pattern, at);
      if (found === undefined) return undefined;
      tokens.push({ literal: found.character });
      at = found.end;
    }
  }
  return { tokens, minLength: tokens.filter((token) => token !== '*').length };
}

/** Takes at most as many steps as the product of the two lengths. */
export function globMatches({ tokens, minLength }: Glob, name: string): boolean {
  if (minLength > name.length) return false;
  let token = 0;
  let character = 0;
  let star = -1;
  let starCharacter = 0;
  while (character < name.length) {
    if (tokens[token] === '*') {
      star = token;
      starCharacter = character;
      token += 1;
    } else if (tokenMatches(tokens[token], name[character] ?? '')) {
      token += 1;
      character += 1;
    } else if (star !== -1 && name[starCharacter] !== '/') {
      token = star + 1;
      starCharacter += 1;
      character = starCharacter;
    } else {
      return false;
    }
  }
  return token === tokens.length || (tokens[token] === '*' && token + 1 === tokens.length);
}

function tokenMatches(token: Token | undefined, character: string): boolean {
  if (token === undefined || token === '*') return false;
  if (token === '?') return character !== '/';
  if ('literal' in token) return token.literal === character;
  return token.ranges.some(([low, high]) => low <= character && character <= high) !== token.negated;
}

function parseClass(pattern: string, start: number): { token: CharacterClass; end: number } | undefined {
  const negated = pattern[start] === '^';
  const ranges: [string, string][] = [];
  let at = negated ? start + 1 : start;
  while (pattern[at] !== ']' || ranges.length === 0) {
    const low = parseBound(pattern, at);
    const high = low && pattern[low.end] === '-' ? parseBound(pattern, low.end + 1) : low;
    if (low === undefined || high === undefined) return undefined;
    ranges.push([low.character, high.character]);
    at = high.end;
  }
  return { token: { negated, ranges }, end: at + 1 };
}

function parseBound(pattern: string, at: number): { character: string; end: number } | undefined {
  return pattern[at] === '-' || pattern[at] === ']' ? undefined : parseEscape(pattern, at);
}

function parseEscape(pattern: string, at: number): { character: string; end: number } | undefined {
  const place = pattern[at] === '\\' ? at + 1 : at;
  const character = pattern[place];
  return character === undefined ? undefined : { character, end: place + 1 };
}
