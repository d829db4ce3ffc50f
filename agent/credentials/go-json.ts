/**
 * A JSON text as Go's encoding/json sees it. JSON.parse loses what Go keeps: of a name that stands twice in
 * an object both values count (a map is merged, a string overwritten, and either may be of a wrong type).
 */

/** A value that has not been looked into: its text, without white space around it. */
export type RawJson = string;

/** A name and its value, in the order of the text. */
export type JsonMember = readonly [name: string, value: RawJson];

/** encoding/json scanner.go, maxNestingDepth. */
const MAX_DEPTH = 10_000;

/** The text as a raw value; undefined where it is not JSON, or deeper than Go goes. */
export function readJson(text: string): RawJson | undefined {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return depthOf(text) > MAX_DEPTH ? undefined : text.trim();
}

export function isNull(raw: RawJson): boolean {
  return raw === 'null';
}

/**
 * Undefined where the value is no object, `tooMany` where it has more members than `most`; that is seen at
 * once.
 */
export function membersOf(raw: RawJson, most: number): JsonMember[] | 'tooMany' | undefined {
  if (!raw.startsWith('{')) return undefined;
  const members: JsonMember[] = [];
  let open = raw.indexOf('"');
  while (open !== -1) {
    if (members.length === most) return 'tooMany';
    const close = endOfString(raw, open);
    const colon = raw.indexOf(':', close);
    const end = endOfValue(raw, colon + 1);
    members.push([stringOf(raw.slice(open, close)) ?? '', raw.slice(colon + 1, end).trim()]);
    open = raw.indexOf('"', end);
  }
  return members;
}

/** Undefined where the value is no array, `tooMany` where it has more items than `most`. */
export function itemsOf(raw: RawJson, most: number): RawJson[] | 'tooMany' | undefined {
  if (!raw.startsWith('[')) return undefined;
  const items: RawJson[] = [];
  let at = 1;
  while (at < raw.length) {
    const end = endOfValue(raw, at);
    const item = raw.slice(at, end).trim();
    if (item === '') return items;
    if (items.length === most) return 'tooMany';
    items.push(item);
    at = end + 1;
  }
  return items;
}

/** Go matches field names without regard to case, by Unicode folding: U+017F is an s as well, U+212A a k. */
export function foldCase(name: string): string {
  return name.replaceAll('\u017f', 's').toLowerCase();
}

/** Undefined where the value is no string. A lone surrogate becomes U+FFFD (decode.go, unquote). */
export function stringOf(raw: RawJson): string | undefined {
  const value: unknown = raw.startsWith('"') ? JSON.parse(raw) : undefined;
  return typeof value === 'string' ? value.toWellFormed() : undefined;
}

function depthOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  let at = 0;
  while (at < json.length) {
    const character = json[at];
    if (character === '{' || character === '[') depth += 1;
    else if (character === '}' || character === ']') depth -= 1;
    deepest = Math.max(deepest, depth);
    at = character === '"' ? endOfString(json, at) : at + 1;
  }
  return deepest;
}

/** Where the string that opens here has ended. */
function endOfString(json: string, open: number): number {
  let at = open + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at + 1;
}

/** The comma or the closing brace or bracket after the value that begins here. */
function endOfValue(json: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < json.length) {
    const character = json[at];
    if (character === '{' || character === '[') depth += 1;
    else if (depth === 0 && (character === ',' || character === '}' || character === ']')) return at;
    else if (character === '}' || character === ']') depth -= 1;
    at = character === '"' ? endOfString(json, at) : at + 1;
  }
  return at;
}
