import { createHmac, randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

const KEY_BYTES = 32;

/**
 * Turns kubelet's credentialHash, a plain SHA-256 that a dictionary reverses, into an HMAC-SHA-256 in hex
 * that only this node can compute. An empty hash (not known) stays empty.
 */
export function keyedHashWith(key: Buffer): (credentialHash: string) => string {
  return (credentialHash) =>
    credentialHash === '' ? '' : createHmac('sha256', key).update(credentialHash).digest('hex');
}

/** Distinguished keys in databases of schema version 1, without giving one away. */
export function keyCheckValue(key: Buffer): string {
  return createHmac('sha256', key)
    .update('pullwarden: which key made the hashes in this database')
    .digest('hex');
}

/**
 * The key in the file: undefined when there is none, `damaged` when it is not a key. Throws what the file
 * system says.
 */
export function readKey(path: string): Buffer | 'damaged' | undefined {
  try {
    const key = readFileSync(path);
    return key.length === KEY_BYTES ? key : 'damaged';
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * Makes a key file (32 random bytes, mode 0600). It appears whole or not at all, and never in the place of
 * one that another process has just made. Throws what the file system says.
 */
export function createKey(path: string): void {
  const unnamed = join(dirname(path), `.hmac.key.${process.pid}.${randomBytes(6).toString('hex')}`);
  try {
    const file = openSync(unnamed, 'wx', 0o600);
    try {
      writeSync(file, randomBytes(KEY_BYTES));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    linkSync(unnamed, path);
    syncDirectory(dirname(path));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(unnamed, { force: true });
  }
}

/** Others could read the key until now, and cannot from now on. Throws what the file system says. */
export function hideKeyFromOthers(path: string): boolean {
  if ((statSync(path).mode & 0o077) === 0) return false;
  chmodSync(path, 0o600);
  return true;
}

/** In memory only, for a store that is. */
export function randomKey(): Buffer {
  return randomBytes(KEY_BYTES);
}

function syncDirectory(path: string): void {
  const directory = openSync(path, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}
