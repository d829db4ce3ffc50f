import { createHash, createPublicKey, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './command.ts';

/** A self-signed certificate for 127.0.0.1 and its key, as PEM files. */
export interface KeyPair {
  keyFile: string;
  certificateFile: string;
  /** Text of the key file. */
  key: string;
  certificate: string;
}

/**
 * Makes a new 2048 bit RSA key with a self-signed certificate.
 * @throws {CommandFailed} when openssl refuses.
 */
export async function makeKeyPair(folder: string, name: string): Promise<KeyPair> {
  const keyFile = join(folder, `${name}.key`);
  const certificateFile = join(folder, `${name}.crt`);
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const files = ['-keyout', keyFile, '-out', certificateFile];
  await runCommand('openssl', [
    ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', ...subject, ...files],
  ]);
  const [key, certificate] = [await readFile(keyFile, 'utf8'), await readFile(certificateFile, 'utf8')];
  return { keyFile, certificateFile, key, certificate };
}

const base32Alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

function base32(bytes: Buffer): string {
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  return (bits.match(/.{5}/g) ?? []).map((five) => base32Alphabet[Number.parseInt(five, 2)]).join('');
}

/** The key id that docker-registry 2 knows a certificate's key by (libtrust's fingerprint). */
function libtrustKeyId(certificate: string): string {
  const der = createPublicKey(certificate).export({ type: 'spki', format: 'der' });
  const digest = createHash('sha256').update(der).digest().subarray(0, 30);
  return (base32(digest).match(/.{4}/g) ?? []).join(':');
}

/** A JSON Web Token signed with RS256. */
export function signToken(pair: KeyPair, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part({ typ: 'JWT', alg: 'RS256', kid: libtrustKeyId(pair.certificate) })}.${part(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), pair.key).toString('base64url')}`;
}
