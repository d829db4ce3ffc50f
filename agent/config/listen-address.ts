import { isIPv4, isIPv6 } from 'node:net';

/** Where to listen. An empty host is every address of the machine; port 0 is any that is free. */
export type ListenAddress = { readonly host: string; readonly port: number };

const HOST_NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i;

/** `host:port`, `[IPv6]:port` or `:port`; undefined for anything else. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const colon = text.lastIndexOf(':');
  const portText = text.slice(colon + 1);
  if (colon === -1 || text.length > 300 || !/^\d{1,5}$/.test(portText)) return undefined;
  const port = Number(portText);
  const host = hostOf(text.slice(0, colon));
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

export function formatListenAddress({ host, port }: ListenAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

function hostOf(text: string): string | undefined {
  if (text === '' || isIPv4(text)) return text;
  if (text.startsWith('[') && text.endsWith(']')) {
    const address = text.slice(1, -1);
    return isIPv6(address) ? address : undefined;
  }
  // All digits and dots, yet no IPv4 address: a typing error, not a name.
  return HOST_NAME.test(text) && !/^[\d.]+$/.test(text) ? text : undefined;
}
