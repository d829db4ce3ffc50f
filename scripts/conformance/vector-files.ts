import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { allowlistVectors } from './allowlist.ts';
import { execProtocolVectors } from './credential-providers/exec-protocol.ts';
import { imageManagerVectors } from './credential-providers/image-manager.ts';
import { keyringOrderVectors } from './credential-providers/keyring-order.ts';
import { matchImagesVectors } from './credential-providers/match-images.ts';
import { nodeConfigVectors } from './credential-providers/node-config.ts';
import { providerConfigVectors } from './credential-providers/provider-config.ts';
import { providerProvideVectors } from './credential-providers/provider-provide.ts';
import { providerRegisterVectors } from './credential-providers/provider-register.ts';
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
  'provider-config.json': providerConfigVectors,
  'provider-register.json': providerRegisterVectors,
  'match-images.json': matchImagesVectors,
  'provider-provide.json': providerProvideVectors,
  'exec-protocol.json': execProtocolVectors,
  'node-config.json': nodeConfigVectors,
  'keyring-order.json': keyringOrderVectors,
  'image-manager.json': imageManagerVectors,
};

/** Those of credential providers may have a folder of their own. */
const FOLDERS = ['', 'credential-providers'];

/** The vector files of a folder, as many as it holds. @throws VectorFileError. */
export function readVectorFiles(directory: string): readonly VectorFile[] {
  const names = FOLDERS.flatMap((folder) => Object.keys(readers).map((file) => join(folder, file)));
  const files = names.filter((name) => existsSync(join(directory, name)));
  if (files.length === 0) {
    throw new VectorFileError(`${directory} holds none of ${Object.keys(readers).join(', ')}`);
  }
  return files.map((file) => ({
    file,
    vectors: readVectors(join(directory, file), readers[basename(file)]),
  }));
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
