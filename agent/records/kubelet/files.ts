import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  opendirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { KubeletFormatError } from '../../errors.ts';
import type { ImagePulledRecord } from '../types.ts';
import {
  formatPulledRecord,
  formatPullIntent,
  kubeletFileName,
  parsePulledRecord,
  parsePullIntent,
} from './format.ts';

/** Why a file was left where it is. */
export type KubeletFileFailure =
  | KubeletFormatError['reason']
  | 'nameMismatch'
  | 'notAFile'
  | 'tooLarge'
  | 'tooMany'
  | 'unreadable'
  | 'unwritable';

/** `folder` is the one under image_manager/, `file` a name in it. */
type Place = { readonly folder: 'pulled' | 'pulling'; readonly file: string };

export type KubeletFile = Place &
  (
    | { readonly kind: 'record'; readonly record: ImagePulledRecord; readonly bytes: number }
    | { readonly kind: 'intent'; readonly image: string; readonly bytes: number }
    | { readonly kind: 'skipped'; readonly reason: KubeletFileFailure; readonly message: string }
  );

export type WrittenFile = Place &
  (
    | { readonly result: 'written' | 'unchanged' }
    | { readonly result: 'skipped'; readonly reason: KubeletFileFailure; readonly message: string }
  );

/** A record with a thousand secrets takes a tenth of this. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** Ten times the images of the largest node. */
const MAX_FILES = 100_000;
const TEMPORARY = '.tmp';

/**
 * The image_manager folder of a kubelet: DIR may be kubelet's root directory (--root-dir, /var/lib/kubelet)
 * or that folder itself. Undefined where neither is there.
 */
export function findImageManager(directory: string): string | undefined {
  const below = join(directory, 'image_manager');
  if (isDirectory(below)) return below;
  const itself = ['pulled', 'pulling'].some((folder) => isDirectory(join(directory, folder)));
  return itself ? directory : undefined;
}

/**
 * Reads every record and intent, one file at a time and in the order of their names. What is broken is named
 * and passed over, as are symbolic links and whatever else is no file; kubelet's own temporary files are no
 * records.
 */
export function* readKubeletFiles(imageManager: string): Generator<KubeletFile> {
  for (const folder of ['pulled', 'pulling'] as const) {
    let names: string[];
    try {
      names = namesIn(join(imageManager, folder));
    } catch (error) {
      yield { folder, file: '', kind: 'skipped', reason: 'unreadable', message: codeOf(error) };
      continue;
    }
    if (names.length > MAX_FILES) {
      const message = `more than ${MAX_FILES} files: only these are read`;
      yield { folder, file: '', kind: 'skipped', reason: 'tooMany', message };
    }
    for (const file of names.slice(0, MAX_FILES).sort())
      yield readKubeletFile(imageManager, { folder, file });
  }
}

/**
 * Writes a record, or an intent, where kubelet looks for it: the folder 0700, the file 0600, complete under a
 * temporary name before it is renamed, and flushed to the disk. A name that kubelet ignores, should we die
 * in between.
 */
export function writeKubeletFile(
  imageManager: string,
  content: { readonly record: ImagePulledRecord } | { readonly image: string },
): WrittenFile {
  const isRecord = 'record' in content;
  const folder = isRecord ? 'pulled' : 'pulling';
  const file = kubeletFileName(isRecord ? content.record.imageRef : content.image);
  const text = isRecord ? formatPulledRecord(content.record) : formatPullIntent(content.image);
  const path = join(imageManager, folder, file);
  try {
    if (holds(path, text)) return { folder, file, result: 'unchanged' };
    replaceFile(path, text);
    return { folder, file, result: 'written' };
  } catch (error) {
    return { folder, file, result: 'skipped', reason: 'unwritable', message: codeOf(error) };
  }
}

/** Makes the two folders as kubelet does. Throws what the file system says. */
export function makeKubeletFolders(imageManager: string): void {
  for (const folder of ['pulled', 'pulling']) {
    mkdirSync(join(imageManager, folder), { recursive: true, mode: 0o700 });
  }
}

/** After the last file: its name, too, survives a power cut. Throws what the file system says. */
export function syncKubeletFolders(imageManager: string): void {
  for (const folder of ['pulled', 'pulling']) {
    const directory = openSync(join(imageManager, folder), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
  }
}

function readKubeletFile(imageManager: string, place: Place): KubeletFile {
  const path = join(imageManager, place.folder, place.file);
  try {
    const text = readBounded(path);
    if (typeof text !== 'string') return { ...place, kind: 'skipped', ...text };
    const bytes = Buffer.byteLength(text);
    const content: KubeletFile =
      place.folder === 'pulled'
        ? { ...place, kind: 'record', record: parsePulledRecord(text), bytes }
        : { ...place, kind: 'intent', image: parsePullIntent(text), bytes };
    const named = content.kind === 'record' ? content.record.imageRef : content.image;
    if (kubeletFileName(named) === place.file) return content;
    const message = `it is not named after its ${content.kind === 'record' ? 'imageRef' : 'image'}`;
    return { ...place, kind: 'skipped', reason: 'nameMismatch', message };
  } catch (error) {
    if (error instanceof KubeletFormatError) {
      return { ...place, kind: 'skipped', reason: error.reason, message: error.message };
    }
    return { ...place, kind: 'skipped', reason: 'unreadable', message: codeOf(error) };
  }
}

function readBounded(path: string): string | { reason: KubeletFileFailure; message: string } {
  if (!lstatSync(path).isFile()) return { reason: 'notAFile', message: 'it is no regular file' };
  // It may have been replaced since: neither follow a link nor wait for a pipe.
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    if (!fstatSync(file).isFile()) return { reason: 'notAFile', message: 'it is no regular file' };
    const buffer = Buffer.alloc(Math.min(fstatSync(file).size, MAX_FILE_BYTES) + 1);
    let length = 0;
    for (;;) {
      const read = readSync(file, buffer, length, buffer.length - length, null);
      length += read;
      if (length > MAX_FILE_BYTES) {
        return { reason: 'tooLarge', message: `it is larger than ${MAX_FILE_BYTES} bytes` };
      }
      if (read === 0 || length === buffer.length) break;
    }
    return buffer.toString('utf8', 0, length);
  } finally {
    closeSync(file);
  }
}

function replaceFile(path: string, text: string): void {
  const temporary = `${path}.pullwarden${TEMPORARY}`;
  rmSync(temporary, { force: true });
  const file = openSync(temporary, 'wx', 0o600);
  try {
    // The umask may have taken bits away.
    fchmodSync(file, 0o600);
    writeFileSync(file, text);
    fsyncSync(file);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(file);
  }
}

function holds(path: string, text: string): boolean {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (!info?.isFile() || (info.mode & 0o777) !== 0o600 || info.size !== Buffer.byteLength(text)) return false;
  return readFileSync(path, 'utf8') === text;
}

/** One more than are read, so that it shows when there are too many. Throws what the file system says. */
function namesIn(path: string): string[] {
  if (!existsSync(path)) return [];
  const names: string[] = [];
  const directory = opendirSync(path);
  try {
    for (let entry = directory.readSync(); entry && names.length <= MAX_FILES; entry = directory.readSync()) {
      if (!entry.name.endsWith(TEMPORARY)) names.push(entry.name);
    }
  } finally {
    directory.closeSync();
  }
  return names;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/** The system's word for it (EACCES); its message would repeat the path. */
function codeOf(error: unknown): string {
  if (error instanceof Error && 'code' in error) return String(error.code);
  return error instanceof Error ? error.message : String(error);
}
