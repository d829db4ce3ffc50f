import { type FileHandle, open, stat } from 'node:fs/promises';

/** Changes whenever a file is replaced or written to; of a file that cannot be looked at, why. */
export type Fingerprint = string;

export async function fingerprintOf(path: string): Promise<Fingerprint> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs, mode } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs, mode].join(' ');
  } catch (error) {
    return errorCodeOf(error);
  }
}

/** A regular file's bytes; `tooLarge` where there are more than `most`. Throws what node:fs throws. */
export async function readSmallFile(path: string, most: number): Promise<Buffer | 'tooLarge' | 'notAFile'> {
  // Whoever reads a pipe or a device waits for somebody to write.
  if (!(await stat(path)).isFile()) return 'notAFile';
  const file = await open(path, 'r');
  try {
    return await readAtMost(file, most);
  } finally {
    await file.close();
  }
}

async function readAtMost(file: FileHandle, most: number): Promise<Buffer | 'tooLarge'> {
  const buffer = Buffer.alloc(most + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length);
    length += bytesRead;
    if (length > most) return 'tooLarge';
    if (bytesRead === 0) return Buffer.from(buffer.subarray(0, length));
  }
}

/** ENOENT and its kin. */
export function errorCodeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown';
}
