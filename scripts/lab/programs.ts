import { join } from 'node:path';
import { LabError, PackageUnavailable } from './errors.ts';
import { unpackedPackage } from './packages.ts';

/** The release series of containerd that a node can be started with. */
export type ContainerdSeries = '1.6' | '1.7' | '2';

export const containerdSeries: readonly ContainerdSeries[] = ['1.6', '1.7', '2'];

const offers: Record<ContainerdSeries, { suites: string[]; wanted: RegExp }> = {
  '1.6': { suites: ['bookworm'], wanted: /^1\.6\./ },
  '1.7': { suites: ['trixie'], wanted: /^1\.7\./ },
  '2': { suites: ['forky', 'sid'], wanted: /^2\./ },
};

/** Paths of the programs a node runs. */
export interface NodePrograms {
  /** Folder with containerd and its shim. */
  containerdFolder: string;
  runc: string;
  registry: string;
}

/**
 * The programs for a node, fetched when the cache lacks them.
 * @throws {PackageUnavailable} when this machine cannot get one of them.
 */
export async function nodePrograms(series: ContainerdSeries): Promise<NodePrograms> {
  const { suites, wanted } = offers[series];
  const containerd = await unpackedPackage('containerd', suites, wanted);
  // Newer suites' runc needs a newer C library than bookworm's; bookworm's serves all three.
  const runc = await unpackedPackage('runc', ['bookworm'], /./);
  const registry = await unpackedPackage('docker-registry', ['bookworm'], /^2\./);
  return {
    containerdFolder: join(containerd.root, 'usr/bin'),
    runc: join(runc.root, 'usr/sbin/runc'),
    registry: join(registry.root, 'usr/bin/docker-registry'),
  };
}

/** Whether this machine can get a series of containerd, and if not, why. */
export interface ContainerdOffer {
  containerd: ContainerdSeries;
  available: boolean;
  /** The package's version, when available. */
  version?: string;
  reason?: string;
}

/** Which containerd versions this machine can get; fetches those not in the cache yet. */
export async function containerdVersions(): Promise<ContainerdOffer[]> {
  const answers: ContainerdOffer[] = [];
  for (const containerd of containerdSeries) {
    const { suites, wanted } = offers[containerd];
    try {
      const { version } = await unpackedPackage('containerd', suites, wanted);
      await nodePrograms(containerd);
      answers.push({ containerd, available: true, version });
    } catch (error) {
      if (!(error instanceof PackageUnavailable)) throw error;
      answers.push({ containerd, available: false, reason: error.message });
    }
  }
  return answers;
}

/**
 * Reads a series from the command line.
 * @throws {LabError} when it is none of {@link containerdSeries}.
 */
export function parseSeries(text: string): ContainerdSeries {
  const found = containerdSeries.find((series) => series === text);
  if (found === undefined) {
    throw new LabError(`no such containerd: ${text} (there is ${containerdSeries.join(', ')})`);
  }
  return found;
}
