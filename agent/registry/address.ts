import { lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

/**
 * Addresses that nobody may have the agent ask: link-local (where clouds keep their credentials), the
 * metadata services that clouds keep elsewhere, multicast, broadcast and unspecified. Node reads IPv4-mapped
 * IPv6 as IPv4.
 */
const FORBIDDEN = new BlockList();
FORBIDDEN.addSubnet('0.0.0.0', 8, 'ipv4');
FORBIDDEN.addSubnet('169.254.0.0', 16, 'ipv4');
FORBIDDEN.addSubnet('224.0.0.0', 4, 'ipv4');
FORBIDDEN.addAddress('255.255.255.255', 'ipv4');
FORBIDDEN.addAddress('100.100.100.200', 'ipv4'); // Alibaba Cloud
FORBIDDEN.addAddress('168.63.129.16', 'ipv4'); // Azure
FORBIDDEN.addAddress('192.0.0.192', 'ipv4'); // Oracle Cloud
FORBIDDEN.addAddress('::', 'ipv6');
FORBIDDEN.addSubnet('fe80::', 10, 'ipv6');
FORBIDDEN.addSubnet('ff00::', 8, 'ipv6');
FORBIDDEN.addAddress('fd00:ec2::254', 'ipv6'); // AWS
FORBIDDEN.addAddress('fd20:ce::254', 'ipv6'); // Google Cloud
// The same through NAT64 (RFC 6052) and as IPv4-compatible addresses.
for (const prefix of ['64:ff9b::', '::']) {
  FORBIDDEN.addSubnet(`${prefix}a9fe:0`, 112, 'ipv6');
  FORBIDDEN.addAddress(`${prefix}6464:64c8`, 'ipv6');
  FORBIDDEN.addAddress(`${prefix}a83f:8110`, 'ipv6');
  FORBIDDEN.addAddress(`${prefix}c000:c0`, 'ipv6');
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/**
 * Where a connection may go. `registry`: to whatever the image's name says, the node's own registries
 * included. `elsewhere`: to where a registry sends us, which must not be the node itself unless the registry
 * is there.
 */
export type Reach = 'registry' | 'elsewhere';

/** Whether a connection to this IP address (with or without a zone) is out of the question. */
export function isForbidden(address: string, reach: Reach): boolean {
  const plain = address.replace(/%.*$/, '');
  const family = isIP(plain);
  if (family === 0) return true;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  return FORBIDDEN.check(plain, kind) || (reach === 'elsewhere' && LOOPBACK.check(plain, kind));
}

/** Whether a URL's host is the machine itself, by its very name. */
export function isLoopbackHost(hostname: string): boolean {
  const plain = hostname.replace(/^\[|\]$/g, '');
  if (plain === 'localhost' || plain.endsWith('.localhost')) return true;
  const family = isIP(plain);
  return family !== 0 && LOOPBACK.check(plain, family === 4 ? 'ipv4' : 'ipv6');
}

/** A name that has addresses, and none of them may be asked. */
export class ForbiddenAddress extends Error {
  override readonly name = 'ForbiddenAddress';
}

/**
 * Name resolution that leaves out the forbidden addresses. @throws (through its callback) ForbiddenAddress
 */
export function guardedLookup(reach: Reach, lookup: LookupFunction = systemLookup): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const found =
        typeof addresses === 'string' ? [{ address: addresses, family: isIP(addresses) }] : addresses;
      const allowed = found.filter(({ address }) => !isForbidden(address, reach));
      const [first] = allowed;
      if (first === undefined) return callback(new ForbiddenAddress('no address that may be asked'), []);
      if (options.all === true) callback(null, allowed);
      else callback(null, first.address, first.family);
    });
  };
}
