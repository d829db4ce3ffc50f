import { createHash } from 'node:crypto';
import { quoteJson } from './go-text.ts';

/** An auth entry's fields, as text or as the bytes that Go holds in its strings (they need not be UTF-8). */
export type CredentialFields = {
  readonly username: string | Buffer;
  readonly password: string | Buffer;
  readonly email: string | Buffer;
};

/**
 * Kubelet's credentialHash: SHA-256 in hex over the compact JSON of the entry, its fields in this order and
 * empty ones left out (pkg/credentialprovider keyring.go, hashAuthConfig). Whoever has it can search for weak
 * passwords: keep it out of logs and the database.
 */
export function credentialHash({ username, password, email }: CredentialFields): string {
  const fields = [
    ['username', username],
    ['password', password],
    ['email', email],
  ] as const;
  const json = fields
    .filter(([, value]) => value.length > 0)
    .map(([name, value]) => `"${name}":${quoteJson(typeof value === 'string' ? Buffer.from(value) : value)}`);
  return createHash('sha256')
    .update(`{${json.join(',')}}`)
    .digest('hex');
}
