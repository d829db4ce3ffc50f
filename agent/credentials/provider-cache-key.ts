import { createHash } from 'node:crypto';
import { ProviderError } from '../errors.ts';

/**
 * What kubelet keeps a plugin's answers under (pkg/credentialprovider/plugin/plugin.go, generateCacheKey and
 * its kin). Each text is written behind its length in two bytes, so that none can pass for two; one that is
 * longer than 65535 bytes has no key, and then there is no answer either.
 */

/** The service account that an answer was got with, as far as other pods may share the answer. */
export type CachedAccount = {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly annotations: ReadonlyMap<string, string>;
  /** Given for cache type Token only: then the answer is for this token alone. */
  readonly token?: string;
};

/** For whom an answer is kept; empty for the node. @throws ProviderError cacheKeyTooLong */
export function accountKey({ namespace, name, uid, annotations, token }: CachedAccount): string {
  const parts = [prefixed(namespace), prefixed(name), prefixed(uid), annotationsOf(annotations)];
  if (token !== undefined) parts.push(prefixed('token'), prefixed(tokenHash(token)));
  return parts.join('');
}

/**
 * The three places of an answer, in the order in which they are looked at. @throws ProviderError
 * cacheKeyTooLong
 */
export function cacheKeys(image: string, account: string): Readonly<Record<CacheKeyType, string>> {
  return {
    Image: prefixed(image) + prefixedBytes(account),
    Registry: prefixed(registryOf(image)) + prefixedBytes(account),
    Global: prefixed('<global>') + prefixedBytes(account),
  };
}

export const CACHE_KEY_TYPES = ['Image', 'Registry', 'Global'] as const;
export type CacheKeyType = (typeof CACHE_KEY_TYPES)[number];

export function isCacheKeyType(text: string): text is CacheKeyType {
  return CACHE_KEY_TYPES.some((type) => type === text);
}

/** Look-ups that may share one run of the plugin. */
export function flightKey(image: string, token: string, annotations: ReadonlyMap<string, string>): string {
  return prefixed(image) + prefixed(tokenHash(token)) + annotationsOf(annotations);
}

/** Host and port of a normalized repository. */
export function registryOf(image: string): string {
  const slash = image.indexOf('/');
  return slash === -1 ? image : image.slice(0, slash);
}

function tokenHash(token: string): string {
  return token === '' ? '' : `sha256:${createHash('sha256').update(token).digest('hex')}`;
}

function annotationsOf(annotations: ReadonlyMap<string, string>): string {
  const sorted = [...annotations].sort(([a], [b]) => (a < b ? -1 : 1));
  return fourBytes(sorted.length) + sorted.map(([name, value]) => prefixed(name) + prefixed(value)).join('');
}

function fourBytes(count: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(count);
  return bytes.toString('latin1');
}

function prefixed(text: string): string {
  return prefixedBytes(Buffer.from(text).toString('latin1'));
}

/** One character for each byte. */
function prefixedBytes(text: string): string {
  if (text.length > 0xffff) {
    throw new ProviderError('cacheKeyTooLong', 'the annotations of the service account are too long');
  }
  return String.fromCharCode(text.length >> 8, text.length & 0xff) + text;
}
