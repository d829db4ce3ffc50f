/** Longest text of an error that is looked at; gRPC's own limit on a status is about as much. */
const MAX_READ = 16_384;
const MAX_KEPT = 512;
/** In which secrets are looked for; gRPC lets no longer status through (Node's HTTP/2, maxHeaderListSize). */
const MAX_MASKED = 65_536;
/** As much of a secret's beginning is taken out wherever it stands: whoever echoes one may have cut it. */
const TELLING = 8;
/** Of a longer message the front (which image) and the end (the cause, which Go's wrapping puts last) are kept. */
const KEPT_FRONT = 120;

/** Stands where a name, host or URL was; contains nothing that a pattern could match. */
const NAME = '<>';

/**
 * What is left of a pull error when everything that names an image, a host or a URL is taken out, so that nobody
 * steers its class by what they call their image, tag or registry: quoted text, whatever stands where a runtime puts
 * a tag or a host, and every word that looks like a reference (names never contain white space).
 */
export function withoutNames(message: string): string {
  return (
    message
      .slice(0, MAX_READ)
      // The two phrases of the errors' own vocabulary that look like a path.
      .replace(/(?<=^|\s)i\/o timeout/gi, 'io timeout')
      .replace(/(?<=\binvalid )username\/password/gi, 'username and password')
      .replace(/"(?:[^"\\]|\\.)*"/g, NAME)
      .replace(/\[(?:manifests|blobs) [^\s\]]*\]/gi, NAME)
      .replace(/\b(reading (?:manifest|blob)) \S+(?= in )/gi, `$1 ${NAME}`)
      .replace(/\b(lookup|from host) \S+/gi, `$1 ${NAME}`)
      .replace(/\b(registry) \S+:(?=\s)/gi, `$1 ${NAME}:`)
      .replace(/(?<=^|\s|\()\S*[/@]\S*?(?=[:;,)]?(?:\s|$))/g, NAME)
      .replace(/(?<=^|\s|\()[\w-]+[.:][\w-]\S*?(?=[:;,)]?(?:\s|$))/g, NAME)
      .replace(/[\p{Cc}\s]+/gu, ' ')
  );
}

/**
 * A pull error as it may be logged and stored: one line, at most 512 characters, without user:password@ and query
 * strings (a token server's carry the account), without bearer or basic tokens, and without any of `secrets` or
 * their first eight characters and more.
 */
export function messageForLog(message: string, secrets: readonly string[] = []): string {
  const text = maskSecrets(message.slice(0, MAX_MASKED), secrets)
    .slice(0, MAX_READ)
    .replace(/(\w:\/\/)[^\s/@"]+@/g, '$1')
    .replace(/(\w:\/\/[^\s?"]*)\?[^\s"]*/g, '$1')
    .replace(/\b(bearer|basic) [\w.~+/=-]{8,}/gi, '$1 ***')
    .replace(
      /\b((?:access_|refresh_|identity_)?token|password|secret)(=["']?|["']\s*:\s*["'])[^\s"'&,;]{8,}/gi,
      '$1$2***',
    )
    .replace(/[\p{Cc}\p{Zl}\p{Zp}\s]+/gu, ' ')
    .trim();
  if (text.length <= MAX_KEPT) return text;
  return `${text.slice(0, KEPT_FRONT)} … ${text.slice(text.length - (MAX_KEPT - KEPT_FRONT - 3))}`;
}

/** Secrets that begin alike, as two ways to escape one do, are looked at together: the longest that fits counts. */
function maskSecrets(message: string, secrets: readonly string[]): string {
  // One or two characters are no secret, and taking them out would leave nothing readable.
  const telling = secrets.filter((secret) => secret.length > 2);
  const alike = Map.groupBy(telling, (secret) => secret.slice(0, TELLING));
  let text = message;
  // The longest first: a short one may be part of another.
  for (const [beginning, group] of [...alike].sort(([one], [other]) => other.length - one.length)) {
    text = maskGroup(text, beginning, group);
  }
  return text;
}

function maskGroup(text: string, beginning: string, secrets: readonly string[]): string {
  const parts: string[] = [];
  let from = 0;
  for (let at = text.indexOf(beginning); at !== -1; at = text.indexOf(beginning, from)) {
    parts.push(text.slice(from, at), '***');
    from = at + Math.max(...secrets.map((secret) => sharedLength(text, at, secret)));
  }
  return parts.length === 0 ? text : parts.join('') + text.slice(from);
}

function sharedLength(text: string, at: number, secret: string): number {
  let length = 0;
  while (length < secret.length && text[at + length] === secret[length]) length += 1;
  return length;
}
