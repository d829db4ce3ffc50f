/**
 * Does a name match a shell pattern? Go's path/filepath Match, as kubelet uses it for one label of a host name: `*`
 * any run of characters but `/`, `?` any one of them, `\x` the character x. Character classes cannot occur, because
 * brackets are not allowed in a host (see go-url.ts). A pattern that ends in `\` matches nothing.
 *
 * Never takes more than pattern length times name length steps.
 */
export function globMatches(pattern: string, name: string): boolean {
  const tokens = tokensOf(pattern);
  if (tokens === undefined) return false;
  const characters = [...name];
  let token = 0;
  let character = 0;
  let star = -1;
  let starCharacter = 0;
  while (character < characters.length) {
    const current = tokens[token];
    if (current === STAR) {
      star = token;
      starCharacter = character;
      token += 1;
    } else if (current !== undefined && tokenMatches(current, characters[character] ?? '')) {
      token += 1;
      character += 1;
    } else if (star !== -1 && characters[starCharacter] !== '/') {
      token = star + 1;
      starCharacter += 1;
      character = starCharacter;
    } else return false;
  }
  while (tokens[token] === STAR) token += 1;
  return token === tokens.length;
}

const STAR = Symbol('*');
const ANY = Symbol('?');
type Token = typeof STAR | typeof ANY | string;

function tokensOf(pattern: string): Token[] | undefined {
  const tokens: Token[] = [];
  let escaped = false;
  for (const character of pattern) {
    if (escaped || !'*?\\'.includes(character)) tokens.push(character);
    else if (character !== '\\') tokens.push(character === '*' ? STAR : ANY);
    escaped = !escaped && character === '\\';
  }
  return escaped ? undefined : tokens;
}

function tokenMatches(token: Token, character: string): boolean {
  return token === ANY ? character !== '/' : token === character;
}
