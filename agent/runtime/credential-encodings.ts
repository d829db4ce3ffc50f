import type { RegistryAuth } from './runtime.ts';

/** As much of a form's beginning gives it away; whoever echoes a credential may have cut it. */
const TELLING = 8;
/**
 * Characters of a credential that are encoded: enough for `TELLING` of every form, however long the
 * credential is.
 */
const READ = 24;
/** Shorter ones are no secret, and to take them out would leave nothing readable. */
const SHORTEST = 3;

/**
 * The beginnings of the forms in which a runtime or a registry may repeat a credential in an error: as it
 * is, escaped as JSON and Go's %q do (and once more, for an error inside an error) or as HTML,
 * percent-encoded, and in base64 of either alphabet. ASCII letters in lower case; the longest first. As
 * secret as the credential. The work does not depend on how long the credential is.
 */
export function encodingsOf({ username, password }: RegistryAuth): readonly string[] {
  if (password.length < SHORTEST) return [];
  const beginning = beginningOf(password);
  const texts = [
    beginning,
    ...base64(beginning),
    ...base64(beginningOf(`${beginningOf(username)}:${beginning}`)),
  ];
  const telling = texts.flatMap(formsOf).map((form) => asciiLower(form.slice(0, TELLING)));
  return [...new Set(telling)].toSorted((one, other) => other.length - one.length);
}

/** ASCII letters alone: what else has two cases may change its length with them. */
export function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}

/** Half of a surrogate pair has no form. */
function beginningOf(text: string): string {
  const cut = text.slice(0, READ);
  return cut.length < text.length ? cut.replace(/[\ud800-\udbff]$/, '') : cut;
}

/** Whole groups of three bytes, so that it is the beginning of the whole's form; `=` tells nothing. */
function base64(text: string): string[] {
  const bytes = Buffer.from(text);
  const whole = bytes.length < 3 ? bytes : bytes.subarray(0, bytes.length - (bytes.length % 3));
  return [whole.toString('base64').replaceAll('=', ''), whole.toString('base64url')];
}

function formsOf(text: string): string[] {
  const escaped = escapedForms(text);
  return [text, ...escaped, ...escaped.flatMap(escapedForms), ...percentEncoded(text), htmlEscaped(text)];
}

/**
 * JSON in its shortest form, as Go's encoding/json writes it (`<`, `>`, `&` in hex), all but ASCII in hex,
 * and Go's %q and %+q, which write control characters in two digits.
 */
function escapedForms(text: string): string[] {
  const json = JSON.stringify(text).slice(1, -1);
  const html = json.replace(/[<>&\u2028\u2029]/g, inHex);
  const quoted = goQuoted(text);
  return [
    json,
    html,
    json.replace(/[^ -~]/g, inHex),
    html.replaceAll('/', '\\/'),
    quoted,
    quoted.replace(/[^ -~]/gu, inGoHex),
  ];
}

function inHex(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

function inGoHex(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code > 0xffff ? `\\U${code.toString(16).padStart(8, '0')}` : inHex(character);
}

/** strconv.Quote, without the quotes. */
function goQuoted(text: string): string {
  return text.replace(/["\\]|[^\P{Cc}]/gu, (character) => {
    const short = GO_ESCAPES[character];
    if (short !== undefined) return short;
    const code = character.charCodeAt(0);
    return code < 0x80 ? `\\x${code.toString(16).padStart(2, '0')}` : inHex(character);
  });
}

const GO_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
};

/** RFC 3986, everything reserved or not; and HTML forms, with `+` for a space. */
function percentEncoded(text: string): string[] {
  const component = encodeURIComponent(text.toWellFormed());
  const strict = component.replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
  const form = new URLSearchParams([['', text]]).toString().slice(1);
  return [component, strict, encodeURI(text.toWellFormed()), form, strict.replaceAll('%20', '+')];
}

/** As Go's html.EscapeString. */
function htmlEscaped(text: string): string {
  return text.replace(/[<>&'"]/g, (character) => HTML_ESCAPES[character] ?? character);
}

const HTML_ESCAPES: Readonly<Record<string, string>> = {
  '<': '&lt;',
  '>': '&gt;',
  '&': '&amp;',
  "'": '&#39;',
  '"': '&#34;',
};
