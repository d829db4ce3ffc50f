/**
 * The part of Go's net/url and net that kubelet's keyring reads registry keys with: `https://` in front, then
 * url.Parse, and only host and path of the result. The web's URL parser normalizes where Go does not.
 */

export type HostAndPath = { readonly host: string; readonly path: string };

/** Host and decoded path of a key or an image without scheme; undefined where url.Parse gives an error. */
export function parseSchemeless(text: string): HostAndPath | undefined {
  if (/[\u0000-\u001f\u007f]/.test(text)) return undefined;
  const withoutFragment = cut(text, '#');
  const withoutQuery = cut(withoutFragment.before, '?').before;
  const slash = withoutQuery.indexOf('/');
  const authority = slash === -1 ? withoutQuery : withoutQuery.slice(0, slash);
  const path = slash === -1 ? '' : withoutQuery.slice(slash);
  const at = authority.lastIndexOf('@');
  if (at !== -1 && !isUserinfo(authority.slice(0, at))) return undefined;
  const host = parseHost(authority.slice(at + 1));
  const decodedPath = unescape(path);
  const fragmentOk = withoutFragment.after === undefined || unescape(withoutFragment.after) !== undefined;
  return host === undefined || decodedPath === undefined || !fragmentOk
    ? undefined
    : { host, path: decodedPath };
}

/** net.SplitHostPort, with the whole host and no port where that gives an error. */
export function splitPort(host: string): { readonly name: string; readonly port: string } {
  const colon = host.lastIndexOf(':');
  const whole = { name: host, port: '' };
  if (colon === -1) return whole;
  const bracketed = /^\[([^[\]]*)\]:([^[\]:]*)$/.exec(host);
  if (bracketed) return { name: bracketed[1] ?? '', port: bracketed[2] ?? '' };
  if (/[[\]]/.test(host) || host.indexOf(':') !== colon) return whole;
  return { name: host.slice(0, colon), port: host.slice(colon + 1) };
}

function parseHost(host: string): string | undefined {
  const open = host.lastIndexOf('[');
  if (open !== -1) return parseBracketed(host, open);
  const colon = host.lastIndexOf(':');
  if (colon !== -1 && !/^:\d*$/.test(host.slice(colon))) return undefined;
  return unescapeHost(host);
}

/** Only an IPv6 address may stand in brackets (net/url since Go 1.25). */
function parseBracketed(host: string, open: number): string | undefined {
  const close = host.lastIndexOf(']');
  if (close < open || !/^(?::\d*)?$/.test(host.slice(close + 1))) return undefined;
  const address = host.slice(open + 1, close);
  if (!/^[0-9A-Fa-f:.]+$/.test(address) || !address.includes(':') || !URL.canParse(`http://[${address}]/`))
    return undefined;
  return `[${address}]${host.slice(close + 1)}`;
}

/** In a host only bytes beyond ASCII may be percent-encoded, and of ASCII only these stand for themselves. */
function unescapeHost(host: string): string | undefined {
  if (!/^(?:[A-Za-z0-9\-_.~!$&'()*+,;=:<>"]|[^\u0000-\u007f]|%[89A-Fa-f][0-9A-Fa-f]|%25)*$/.test(host))
    return undefined;
  return unescape(host);
}

function unescape(text: string): string | undefined {
  if (!text.includes('%')) return text;
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  const bytes = text.replace(/%([0-9A-Fa-f]{2})|[^%]+/g, (part, hex: string | undefined) =>
    hex === undefined
      ? Buffer.from(part, 'utf8').toString('latin1')
      : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function isUserinfo(text: string): boolean {
  return /^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(text) && unescape(text) !== undefined;
}

function cut(text: string, separator: string): { before: string; after: string | undefined } {
  const position = text.indexOf(separator);
  return position === -1
    ? { before: text, after: undefined }
    : { before: text.slice(0, position), after: text.slice(position + 1) };
}
