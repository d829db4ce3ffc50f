import type { Name, PullText } from './pull-text.ts';

/** An HTTP status that a runtime printed. */
export type PrintedStatus = {
  /** Where the phrase begins in the words. */
  readonly at: number;
  readonly status: number;
  /** Whom the text names as the one that answered; undefined where it names nobody. */
  readonly answeredBy: Name | undefined;
  /** What was asked for. `other`: none of the distribution protocol's, such as an object store's. */
  readonly asked: 'manifest' | 'blob' | 'token' | 'other' | 'unstated';
};

type Form = {
  /** What stands before the code, in lower case. */
  readonly before: string;
  /** What the name in the phrase is; left out where there is none. */
  readonly name?: 'answered' | 'asked' | 'path';
};

/**
 * The phrases in which runtimes print a status, and whether they name who answered.
 *
 * containerd core/remotes/errors.ErrUnexpectedStatus names the URL that answered in the end (`answered`);
 * fetcher.go of 1.x the one it asked, and an object store behind it may have answered (`asked`); 1.6's
 * resolver.go the host, and the path (`path`). containers/image docker/errors.go names nobody itself.
 */
const FORMS: readonly Form[] = [
  { before: ' status from get request to ', name: 'answered' },
  { before: ' status from head request to ', name: 'answered' },
  { before: ' status from post request to ', name: 'answered' },
  { before: ' unexpected status code ', name: 'asked' },
  { before: ' unexpected head status code ', name: 'asked' },
  { before: ' failed with status code [manifests ', name: 'path' },
  { before: ' failed with status code [blobs ', name: 'path' },
  { before: ' unexpected status: ' },
  { before: ' unexpected http status: ' },
  { before: ' invalid status code from registry ' },
  { before: ' invalid status code returned when fetching blob ' },
  { before: ' statuscode: ' },
  { before: ' error parsing http ' },
];

/** The status that the text tells first. */
export function printedStatus(text: PullText): PrintedStatus | undefined {
  let first: PrintedStatus | undefined;
  for (const form of FORMS) {
    const found = firstOf(form, text);
    if (found !== undefined && found.at < (first?.at ?? Number.POSITIVE_INFINITY)) first = found;
  }
  return first;
}

function firstOf(form: Form, text: PullText): PrintedStatus | undefined {
  const { words } = text;
  for (let at = words.indexOf(form.before); at !== -1; at = words.indexOf(form.before, at + 1)) {
    let end = at + form.before.length;
    let name: Name | undefined;
    if (form.name !== undefined) {
      name = text.names.find((each) => each.at === end);
      const colon = words.indexOf(' ', end);
      if (name === undefined || colon === -1 || words[colon - 1] !== ':') continue;
      end = colon + 1;
    }
    const status = codeAt(words, end);
    if (status !== undefined) return describe(form, text, at, status, name);
  }
  return undefined;
}

function codeAt(words: string, at: number): number | undefined {
  const digits = words.slice(at, at + 4);
  return /^[1-5]\d\d[^\d]$/.test(digits) ? Number(digits.slice(0, 3)) : undefined;
}

function describe(
  form: Form,
  text: PullText,
  at: number,
  status: number,
  name: Name | undefined,
): PrintedStatus {
  const asked = isOfToken(text, at) ? 'token' : askedFor(form, text, at, name);
  return { at, status, asked, answeredBy: answeredBy(form, text, at, name) };
}

function answeredBy(form: Form, text: PullText, at: number, name: Name | undefined): Name | undefined {
  if (form.name === 'answered') return name;
  if (form.name === 'asked') return undefined;
  if (form.name === undefined) return nameBefore(text, at);
  const host = text.names.findLast((each) => each.at < at);
  return host?.after === 'host' ? host : undefined;
}

function askedFor(form: Form, text: PullText, at: number, name: Name | undefined): PrintedStatus['asked'] {
  if (form.name === 'path') return form.before.includes('manifests') ? 'manifest' : 'blob';
  if (name !== undefined) return askedBy(name.text);
  return isOfBlob(text, at) ? 'blob' : 'unstated';
}

/** `failed to fetch oauth token: unexpected status …`, `requesting bearer token: invalid status code …`. */
function isOfToken({ words }: PullText, at: number): boolean {
  return /(?:oauth|anonymous|bearer) token: (?:\S+ )?$/.test(words.slice(Math.max(0, at - 40), at + 1));
}

function askedBy(url: string): PrintedStatus['asked'] {
  if (url.includes('/manifests/')) return 'manifest';
  if (url.includes('/blobs/')) return 'blob';
  return /\/v2\/?$/.test(url) ? 'unstated' : 'other';
}

/** Does what stands here tell of a blob, which an object store may have answered for? */
export function isOfBlob({ words, names }: PullText, at: number): boolean {
  const before = words.slice(0, at + 1);
  if (
    before.includes(' fetching blob: ') ||
    words.startsWith(' invalid status code returned when fetching blob ', at)
  )
    return true;
  return words.startsWith(' content at ', at) && names.some(({ text }) => text.includes('/blobs/'));
}

/**
 * Who answered, where the words at `at` follow right behind its name. containers/image writes `reading
 * manifest 1 in NAME: …` and `pinging container registry NAME: …`.
 */
export function nameBefore({ words, names }: PullText, at: number): Name | undefined {
  const begin = words[at] === ' ' ? at + 1 : at;
  const name = names.findLast((each) => each.at <= at);
  if (name === undefined || (name.after !== 'in' && name.after !== 'registry')) return undefined;
  const between = words.slice(name.at, begin);
  return ['', '<>: ', '<>: errors: '].includes(between) ? name : undefined;
}
