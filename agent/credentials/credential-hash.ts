import { createHash } from 'node:crypto';
import { quoteJson } from './go-text.ts';

/** The bytes of an auth entry's fields, as Go holds them in its strings. */
export type CredentialBytes = {
  readonly username: Buffer;
  readonly password: Buffer;
  readonly email: Buffer;
};

/**
 * Kubelet's credentialHash: SHA-256 in hex over the compact JSON of the entry, fields in this order and empty ones
 * left out (pkg/credentialprovider keyring.go, TrackedAuthConfig).
 */
export function credentialHash({ username, password, email }: CredentialBytes): string {
  const fields = Object.entries({ username, password, email })
    .filter(([, value]) => value.length > 0)
    .map(([name, value]) => `"${name}":${quoteJson(value)}`);
  return createHash('sha256')
    .update(`{${fields.join(',')}}`)
    .digest('hex');
}
