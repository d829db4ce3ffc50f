/**
 * Longest part of an error that is looked at: a runtime's own words and the names in them fit, a body does
 * not.
 */
export const MAX_TEXT = 2_048;
/** In which the parts of a message are looked for, by one search each; gRPC lets hardly more through. */
const MAX_MESSAGE = 16_384;

/** Stands in the words where a name, host, URL or quoted text was; no input can contain it. */
const MARK = '<>';

/** Something that somebody chose: an image, a host, a URL. */
export type Name = {
  /** Where its mark stands in the words. */
  readonly at: number;
  /** As written, without quotes. */
  readonly text: string;
  /** The word before it, in lower case. */
  readonly after: string;
};

/**
 * An error text with its names apart, so that nobody steers its class by what they call an image or a host.
 */
export type PullText = {
  /** In lower case, parted and surrounded by single spaces. */
  readonly words: string;
  /** In the order of their marks. */
  readonly names: readonly Name[];
};

/**
 * What each of a runtime's tries ended with; undefined where the message does not tell for certain.
 *
 * CRI-O tries a name as an image and then as an OCI artifact (internal/storage/image.go) and reports both.
 * containers/image reports a registry's mirrors before the registry itself: `(Mirrors also failed: [a: …]):
 * b: …` (docker/docker_image_src.go, newImageSource); only the registry's own part is kept.
 */
export function triesOf(message: string): readonly string[] | undefined {
  const text = message.slice(0, MAX_MESSAGE);
  const tries = text.startsWith('unable to pull image or OCI artifact:')
    ? text.split('; artifact err: ', 3)
    : [text];
  // A text that repeats the joints of the format could have been written by a mirror to look like the
  // registry's.
  if (tries.length > 2) return undefined;
  const own = tries.map(withoutMirrors);
  return own.every((each) => each !== undefined) ? own.map((each) => each.slice(0, MAX_TEXT)) : undefined;
}

function withoutMirrors(text: string): string | undefined {
  const begin = text.indexOf('(Mirrors also failed: ');
  if (begin === -1) return text;
  const end = text.indexOf(']): ', begin);
  if (end === -1 || text.indexOf(']): ', end + 1) !== -1) return undefined;
  return text.slice(0, begin) + text.slice(end + 4);
}

/** Takes the names out of a text of at most `MAX_TEXT` characters, in one pass from left to right. */
export function readPullText(text: string): PullText {
  const { rest, quoted } = withoutQuotes(text.slice(0, MAX_TEXT).replaceAll('<', ' '));
  const names: Name[] = [];
  let words = ' ';
  let before = '';
  let beforeThat = '';

  function mark(name: string, lead: string, tail: string): void {
    names.push({ at: words.length + lead.length, text: name, after: before });
    words += `${lead}${MARK}${tail} `;
  }

  let nextQuoted = 0;
  const parts = rest.split(/[\s\p{Cc}]+/u).filter((part) => part !== '');
  for (const [at, part] of parts.entries()) {
    const { lead, core, tail } = partsOfWord(part);
    const word = core.toLowerCase();
    if (core.includes(MARK)) {
      // `ref="…"` and the like: one name, whatever stands around it.
      mark(quoted[nextQuoted] ?? '', lead, tail);
      nextQuoted += core.split(MARK).length - 1;
    } else if (isName(word) || isNamedBy(before, beforeThat, tail, parts[at + 1])) mark(core, lead, tail);
    else words += `${lead}${word}${tail} `;
    beforeThat = before;
    before = word;
  }
  return { words, names };
}

/** Quoted text, as Go's %q writes it, becomes one mark. A quote without an end is an ordinary character. */
function withoutQuotes(text: string): { readonly rest: string; readonly quoted: readonly string[] } {
  const quoted: string[] = [];
  let rest = '';
  let from = 0;
  for (let open = text.indexOf('"'); open !== -1; open = text.indexOf('"', from)) {
    const close = endOfQuote(text, open + 1);
    if (close === -1) break;
    rest += text.slice(from, open) + MARK;
    quoted.push(text.slice(open + 1, close));
    from = close + 1;
  }
  return { rest: rest + text.slice(from), quoted };
}

function endOfQuote(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '"') return at;
  }
  return -1;
}

const LEADING = '([';
const TRAILING = ':;,)]';

function partsOfWord(word: string): { readonly lead: string; readonly core: string; readonly tail: string } {
  let begin = 0;
  let end = word.length;
  while (begin < end && LEADING.includes(word.charAt(begin))) begin += 1;
  while (end > begin && TRAILING.includes(word.charAt(end - 1))) end -= 1;
  return { lead: word.slice(0, begin), core: word.slice(begin, end), tail: word.slice(end) };
}

/** Words of the errors' own vocabulary that look like a path. */
const OWN_WORDS: ReadonlySet<string> = new Set(['i/o', 'input/output', 'username/password']);

/** Names never contain white space, and a reference, host or URL has one of these in it. */
function isName(word: string): boolean {
  if (word.length < 3 || OWN_WORDS.has(word)) return false;
  return word.includes('/') || word.includes('@') || /^[\w-]+[.:][\w-]/.test(word);
}

/** Where a runtime puts a tag, digest or host, whatever it looks like. */
function isNamedBy(before: string, beforeThat: string, tail: string, next: string | undefined): boolean {
  switch (before) {
    case 'manifest':
    case 'blob':
      // containers/image: `reading manifest 1 in r.example/a`.
      return beforeThat === 'reading' && next === 'in';
    case 'manifests':
    case 'blobs':
      // containerd 1.6: `failed with status code [manifests 1]: 401 Unauthorized`.
      return beforeThat === 'code' && tail.startsWith(']');
    case 'host':
      return beforeThat === 'from';
    case 'lookup':
      return true;
    case 'registry':
      return tail.startsWith(':');
    default:
      return false;
  }
}
