import { BlockList, isIP } from 'node:net';
import { isLoopbackHost } from './address.ts';

/** Says which proxy a URL is asked through; undefined for none. */
export type ProxySelector = (target: URL) => URL | undefined;

type Rule = (host: string, port: string, family: number) => boolean;

/**
 * Which proxy Go's programs, and so the container runtimes, would take in this environment
 * (golang.org/x/net/http/httpproxy): HTTP_PROXY, HTTPS_PROXY, NO_PROXY or their lower-case forms, upper case
 * first; never for loopback. A proxy that cannot be read counts as none, as there.
 */
export function proxyFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ProxySelector {
  const setting = (name: string): string => environment[name] || environment[name.toLowerCase()] || '';
  const proxies: Readonly<Record<string, URL | undefined>> = {
    'http:': readProxy(setting('HTTP_PROXY')),
    'https:': readProxy(setting('HTTPS_PROXY')),
  };
  const rules = readNoProxy(setting('NO_PROXY'));
  return (target) => {
    const proxy = proxies[target.protocol];
    if (proxy === undefined) return undefined;
    const host = target.hostname.toLowerCase().replace(/^\[|\]$/g, '');
    // Go spares "localhost" itself and no name below it.
    if (isLoopbackHost(host) && !host.endsWith('.localhost')) return undefined;
    const port = target.port || (target.protocol === 'https:' ? '443' : '80');
    const family = isIP(host);
    return rules.some((matches) => matches(host, port, family)) ? undefined : proxy;
  };
}

/** A URL, or `host:port`, which means plain HTTP. */
function readProxy(text: string): URL | undefined {
  if (text === '') return undefined;
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  const isWhole =
    url !== undefined && url.hostname !== '' && !/%(?![0-9a-f]{2})/i.test(url.username + url.password);
  return isWhole ? url : undefined;
}

function readNoProxy(text: string): readonly Rule[] {
  const rules: Rule[] = [];
  for (const part of text.split(',')) {
    const entry = part.trim().toLowerCase();
    if (entry === '*') return [() => true];
    const rule = entry === '' ? undefined : (networkRule(entry) ?? hostRule(entry));
    if (rule !== undefined) rules.push(rule);
  }
  return rules;
}

/** `10.0.0.0/8`, `fd00::/8`. */
function networkRule(entry: string): Rule | undefined {
  const [, address = '', prefix = ''] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
  const family = isIP(address);
  const bits = Number(prefix);
  if (family === 0 || bits > (family === 4 ? 32 : 128)) return undefined;
  const network = new BlockList();
  network.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6');
  return (host, _port, hostFamily) =>
    hostFamily !== 0 && network.check(host, hostFamily === 4 ? 'ipv4' : 'ipv6');
}

/** An address or a domain, with or without a port; `.domain` and `*.domain` mean what is below it only. */
function hostRule(entry: string): Rule | undefined {
  const { host, port } = splitPort(entry);
  const portFits = (actual: string): boolean => port === '' || port === actual;
  if (isIP(host) !== 0) return (actual, actualPort) => sameAddress(host, actual) && portFits(actualPort);
  const domain = host.replace(/^\*(?=\.)/, '');
  if (domain === '') return undefined;
  const suffix = domain.startsWith('.') ? domain : `.${domain}`;
  return (actual, actualPort, family) =>
    family === 0 && portFits(actualPort) && (actual.endsWith(suffix) || actual === domain);
}

function splitPort(entry: string): { host: string; port: string } {
  const [, bracketed, plain = '', port = ''] = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(entry) ?? [];
  if (bracketed !== undefined) return { host: bracketed, port };
  return plain === '' ? { host: entry, port: '' } : { host: plain, port };
}

function sameAddress(one: string, other: string): boolean {
  if (isIP(other) === 0) return false;
  const list = new BlockList();
  list.addAddress(one, isIP(one) === 4 ? 'ipv4' : 'ipv6');
  return list.check(other, isIP(other) === 4 ? 'ipv4' : 'ipv6');
}
