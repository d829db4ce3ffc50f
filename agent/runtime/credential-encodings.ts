import type { RegistryAuth } from './runtime.ts';

/** No more of a password than fits into an error, lest its forms take longer than the pull. */
const MAX_CHARACTERS = 65_536;

/**
 * The forms in which a runtime or a registry may repeat a credential in an error: as it is, escaped as JSON and Go's
 * %q do (and once more, for an error inside an error), percent-encoded, and in base64 of either alphabet. As secret
 * as the credential.
 */
export function encodingsOf({ username, password }: RegistryAuth): readonly string[] {
  const forms = new Set<string>();
  const basic = `${username}:${password}`.slice(0, MAX_CHARACTERS);
  const beginning = password.slice(0, MAX_CHARACTERS);
  for (const text of [beginning, ...base64(beginning), ...base64(basic)]) {
    const escaped = escapedForms(text);
    for (const form of [text, ...escaped, ...escaped.flatMap(escapedForms), ...percentEncoded(text)]) {
      forms.add(form);
    }
  }
  return [...forms];
}

/** Without padding: it is then the beginning of the form with it, and the rest is only `=`. */
function base64(text: string): string[] {
  const bytes = Buffer.from(text);
  return [bytes.toString('base64').replace(/=+$/, ''), bytes.toString('base64url')];
}

/** JSON in its shortest form, as Go's encoding/json writes it (`<`, `>`, `&` in hex), and all but ASCII in hex. */
function escapedForms(text: string): string[] {
  const json = JSON.stringify(text).slice(1, -1);
  const html = json.replace(/[<>&\u2028\u2029]/g, inHex);
  return [json, html, json.replace(/[^ -~]/g, inHex), html.replaceAll('/', '\\/')];
}

function inHex(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** RFC 3986 with either case of the digits, everything reserved or not; and HTML forms, with `+` for a space. */
function percentEncoded(text: string): string[] {
  const component = encodeURIComponent(text.toWellFormed());
  const strict = component.replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
  const upper = strict.replace(/%../g, (code) => code.toUpperCase());
  const form = new URLSearchParams([['', text]]).toString().slice(1);
  const forms = [component, upper, encodeURI(text.toWellFormed()), form, upper.replaceAll('%20', '+')];
  return forms.flatMap((each) => [each, each.replace(/%../g, (code) => code.toLowerCase())]);
}
