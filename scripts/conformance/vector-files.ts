import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { allowlistVectors } from './allowlist.ts';
import { imageNameVectors } from './image-name.ts';
import { keyringVectors } from './keyring.ts';
import { pullManagerVectors } from './pull-manager.ts';
import { type Vector, VectorFileError } from './vector.ts';

export type VectorFile = { readonly file: string; readonly vectors: readonly Vector[] };

const readers: Readonly<Record<string, (content: unknown) => readonly Vector[]>> = {
  'pull-manager.json': pullManagerVectors,
  'keyring.json': keyringVectors,
  'image-name.json': imageNameVectors,
  'allowlist.json': allowlistVectors,
};

/** The vector files of a folder, as many of the four as it holds. Throws VectorFileError. */
export function readVectorFiles(directory: string): readonly VectorFile[] {
  const files = Object.keys(readers).filter((file) => existsSync(join(directory, file)));
  if (files.length === 0) {
    throw new VectorFileError(`${directory} holds none of ${Object.keys(readers).join(', ')}`);
  }
  return files.map((file) => ({ file, vectors: readVectors(join(directory, file), readers[file]) }));
}

function readVectors(
  path: string,
  read: ((content: unknown) => readonly Vector[]) | undefined,
): readonly Vector[] {
  try {
    const content: unknown = JSON.parse(readFileSync(path, 'utf8'));
    return read ? read(content) : [];
  } catch (error) {
    throw new VectorFileError(`${path} is no array of vectors: ${reasonOf(error)}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  const issue = error instanceof z.ZodError ? error.issues[0] : undefined;
  if (issue) return `${issue.path.join('.') || 'the file'}: ${issue.message}`;
  return error instanceof Error ? error.message : String(error);
}
