import { isIPv6 } from 'node:net';

/**
 * The part of Go's net/url and net that kubelet's keyring reads registry keys and image names with:
 * `https://` in front, url.Parse, then only host and path. The web's parser normalizes where Go's does not.
 * As of Go 1.26, which kubelet 1.36 is built with: brackets only around an IPv6 address, colons only before a
 * port.
 *
 * Texts are byte strings here, as Go's are: one character for each byte of UTF-8.
 */

export type HostAndPath = { readonly host: string; readonly path: string };

export function toByteString(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/**
 * Host and decoded path of a text without scheme (ParseSchemelessURL); undefined where url.Parse gives an
 * error.
 */
export function parseSchemeless(text: string): HostAndPath | undefined {
  const [url, fragment] = cut(text, '#');
  if (hasControlByte(url) || percentDecode(fragment) === undefined) return undefined;
  const [hierarchy] = cut(url, '?');
  const slash = hierarchy.indexOf('/');
  const authority = slash === -1 ? hierarchy : hierarchy.slice(0, slash);
  const host = parseAuthority(authority);
  const path = percentDecode(slash === -1 ? '' : hierarchy.slice(slash));
  return host === undefined || path === undefined ? undefined : { host, path };
}

/** net.SplitHostPort as SplitURL uses it: where that gives an error, all of it is the name. */
export function splitPort(host: string): { readonly name: string; readonly port: string } {
  const colon = host.lastIndexOf(':');
  const bracket = host.lastIndexOf(']');
  const port = host.slice(colon + 1);
  if (host.startsWith('[') && bracket === colon - 1) return { name: host.slice(1, bracket), port };
  return colon === -1 || bracket !== -1 ? { name: host, port: '' } : { name: host.slice(0, colon), port };
}

function parseAuthority(authority: string): string | undefined {
  const at = authority.lastIndexOf('@');
  if (at !== -1 && !isUserinfo(authority.slice(0, at))) return undefined;
  return parseHost(authority.slice(at + 1));
}

function parseHost(host: string): string | undefined {
  const open = host.lastIndexOf('[');
  if (open > 0) return undefined;
  if (open === 0) return isBracketed(host) ? host : undefined;
  const colon = host.indexOf(':');
  return colon === -1 || isOptionalPort(host.slice(colon)) ? decodeHost(host) : undefined;
}

/** `[IPv6]` or `[IPv6]:port`; behind the address there may be a zone (RFC 6874), `%25` and its name. */
function isBracketed(host: string): boolean {
  const close = host.lastIndexOf(']');
  const inside = host.slice(1, Math.max(close, 1));
  const zoneAt = inside.indexOf('%25');
  const address = percentDecode(zoneAt === -1 ? inside : inside.slice(0, zoneAt)) ?? '';
  const zone = zoneAt === -1 ? undefined : inside.slice(zoneAt + '%25'.length);
  const zoneFits = zone === undefined || (zone !== '' && isZone(zone));
  return zoneFits && !address.includes('%') && isIPv6(address) && isOptionalPort(host.slice(close + 1));
}

/** Percent-encoded may be only what could stand for itself as well, a space, `%`, and bytes beyond ASCII. */
function isZone(zone: string): boolean {
  const decoded = percentDecode(zone);
  return (
    decoded !== undefined &&
    /^[A-Za-z0-9\-_.~!$&'()*+,;=:<>"[\]% \u0080-\u00ff]*$/.test(decoded) &&
    !/[^A-Za-z0-9\-_.~!$&'()*+,;=:<>"[\]%\u0080-\u00ff]/.test(zone)
  );
}

function isOptionalPort(text: string): boolean {
  return /^(?::[0-9]*)?$/.test(text);
}

/**
 * In a host only bytes beyond ASCII may be percent-encoded (and `%` itself), and few of ASCII stand for
 * themselves.
 */
function decodeHost(host: string): string | undefined {
  if (/[^A-Za-z0-9\-_.~!$&'()*+,;=:<>"\]%\u0080-\u00ff]|%(?!25)[0-7]/.test(host)) return undefined;
  return percentDecode(host);
}

function isUserinfo(text: string): boolean {
  return /^[A-Za-z0-9\-._:~!$&'()*+,;=%@]*$/.test(text) && percentDecode(text) !== undefined;
}

function percentDecode(text: string): string | undefined {
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) return undefined;
  return text.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Of what Unicode calls control characters only ASCII's: the others are parts of UTF-8 here. */
function hasControlByte(text: string): boolean {
  return /[^\P{Cc}\u0080-\u009f]/u.test(text);
}

function cut(text: string, separator: string): [before: string, after: string] {
  const position = text.indexOf(separator);
  return position === -1 ? [text, ''] : [text.slice(0, position), text.slice(position + 1)];
}
