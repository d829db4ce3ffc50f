/** Longest text of an error that is looked at; gRPC's own limit on a status is about as much. */
const MAX_READ = 16_384;
const MAX_KEPT = 512;
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
 * strings (a token server's carry the account), without bearer or basic tokens, and without any of `secrets`.
 */
export function messageForLog(message: string, secrets: readonly string[] = []): string {
  let text = message.slice(0, MAX_READ);
  for (const secret of secrets) {
    // One or two characters are no secret, and taking them out would leave nothing readable.
    if (secret.length > 2) text = text.replaceAll(secret, '***');
  }
  text = text
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
