import { basename, join } from 'node:path';
import { DockerConfigError } from '../../errors.ts';
import { type DockerConfigEntry, parseDockerConfigFile } from '../docker-config.ts';
import { errorCodeOf, type Fingerprint, fingerprintOf, readSmallFile } from '../providers/small-file.ts';

export type DockerConfigOptions = {
  /** Kubelet's --root-dir. */
  readonly kubeletRootDir: string;
  /**
   * Kubelet's other places, or any: its working directory and home are not known here. A file called
   * `.dockercfg` is in the old form, and any other in that of config.json.
   */
  readonly files: readonly string[];
};

/** The docker config that is in force. Must never be logged. */
export type NodeDockerConfig = {
  /** Undefined where there is none. */
  readonly found: { readonly file: string; readonly entries: readonly DockerConfigEntry[] } | undefined;
  /** Files that are there and were passed over, and why. */
  readonly problems: readonly { readonly file: string; readonly message: string }[];
};

type Place = { readonly file: string; readonly shape: 'config.json' | '.dockercfg' };

/**
 * Where kubelet looks, in its order (pkg/credentialprovider/config.go, ReadDockerConfigFile): all of the new
 * form, then all of the old, each first in the root directory.
 */
export function placesOf({ kubeletRootDir, files }: DockerConfigOptions): readonly Place[] {
  const isOld = (file: string): boolean => basename(file) === '.dockercfg';
  return [
    ...[join(kubeletRootDir, 'config.json'), ...files.filter((file) => !isOld(file))].map(
      (file) => ({ file, shape: 'config.json' }) as const,
    ),
    ...[join(kubeletRootDir, '.dockercfg'), ...files.filter(isOld)].map(
      (file) => ({ file, shape: '.dockercfg' }) as const,
    ),
  ];
}

/** As parseDockerConfigFile bounds it. */
const MAX_BYTES = 1_048_576;

type Read =
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'unusable'; readonly message: string }
  | { readonly outcome: 'read'; readonly entries: readonly DockerConfigEntry[] };

/**
 * The node's docker config files. The first that parses is the one, even if it holds nothing. Kubelet reads
 * them every five minutes; here they are looked at each time, and read again when they have changed.
 */
export function createNodeDockerConfig(options: DockerConfigOptions): { read(): Promise<NodeDockerConfig> } {
  const places = placesOf(options);
  const known = new Map<string, { readonly print: Fingerprint; readonly read: Read }>();

  async function look({ file, shape }: Place): Promise<Read> {
    const print = await fingerprintOf(file);
    const before = known.get(file);
    if (before?.print === print) return before.read;
    const read = await readConfig(file, shape);
    known.set(file, { print, read });
    return read;
  }

  return {
    async read() {
      const problems: { file: string; message: string }[] = [];
      for (const place of places) {
        const read = await look(place);
        const { file } = place;
        if (read.outcome === 'read') return { found: { file, entries: read.entries }, problems };
        if (read.outcome === 'unusable') problems.push({ file, message: read.message });
      }
      return { found: undefined, problems };
    },
  };
}

async function readConfig(file: string, shape: Place['shape']): Promise<Read> {
  try {
    const bytes = await readSmallFile(file, MAX_BYTES);
    if (bytes === 'notAFile') return { outcome: 'unusable', message: 'it is no file' };
    if (bytes === 'tooLarge') return { outcome: 'unusable', message: 'it is larger than 1 MiB' };
    return { outcome: 'read', entries: parseDockerConfigFile(bytes, shape) };
  } catch (error) {
    if (error instanceof DockerConfigError) return { outcome: 'unusable', message: error.message };
    const code = errorCodeOf(error);
    return code === 'ENOENT' || code === 'ENOTDIR'
      ? { outcome: 'absent' }
      : { outcome: 'unusable', message: `it cannot be read: ${code}` };
  }
}
