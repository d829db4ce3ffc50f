import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { ManifestError } from '../../errors.ts';
import { podFromObject } from '../manifest.ts';
import type { Pod, PodSource } from '../pod-source.ts';
import { objectOf, type ReadManifests } from './manifest-file.ts';
import { openManifestFolder, staticPodName } from './source.ts';

export type StaticPodSourceOptions = {
  /** Kubelet's staticPodPath. */
  readonly directory: string;
  /** The node as kubelet names it. */
  readonly nodeName: string;
  /** One line for each file that could not be read or holds something else; again when that changes. */
  readonly onProblem: (message: string) => void;
  /** See DirectoryPodSourceOptions. */
  readonly rescanIntervalMs?: number;
};

const podKind = z.object({ kind: z.literal('Pod') });

/** Beside an API server, of which the same pod is asked as well: the runtime waits for both together. */
const WAIT_FOR_POD_MS = 400;

/**
 * The uid that kubelet computes for a static pod whose manifest has none: 32 hex digits (FNV-128a, MD5 in old
 * kubelets) over its own structs, so that it differs from an API pod's uid but cannot be computed here.
 */
const COMPUTED_UID = /^[0-9a-f]{32}$/;

/**
 * Kubelet's static pods, from the folder that kubelet reads (pkg/kubelet/config/file.go and common.go): every
 * file that is not hidden, whatever its extension, one pod a file, named `NAME-NODE`. They have no service
 * account and no secrets of their own here; secrets that they name are the API server's.
 */
export function openStaticPodSource(options: StaticPodSourceOptions): PodSource {
  const { nodeName, ...folder } = options;
  return openManifestFolder({
    ...folder,
    isManifest: (file) => !file.startsWith('.'),
    read: (text) => readStaticPod(text, nodeName),
    waitForPodMs: WAIT_FOR_POD_MS,
    isSameUid: (manifest, asked) => (manifest === '' ? COMPUTED_UID.test(asked) : manifest === asked),
  });
}

/** The first YAML document of the file counts, as for kubelet. */
function readStaticPod(text: string, nodeName: string): ReadManifests {
  const { object, problem } = firstObject(text);
  if (problem !== undefined) return { manifests: undefined, problem };
  if (!podKind.safeParse(object).success) {
    return { manifests: undefined, problem: 'not a Pod' };
  }
  try {
    return {
      manifests: { pods: [asStatic(podFromObject(object), nodeName)], secrets: [], serviceAccounts: [] },
      problem: undefined,
    };
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error;
    return { manifests: undefined, problem: error.message };
  }
}

function firstObject(text: string): ReturnType<typeof objectOf> {
  const [first] = parseAllDocuments(text, { uniqueKeys: true, logLevel: 'silent' });
  return first ? objectOf(first) : { problem: 'empty' };
}

function asStatic(pod: Pod, nodeName: string): Pod {
  return {
    ...pod,
    name: staticPodName(pod.name, nodeName),
    serviceAccountName: '',
    configSource: 'file',
  };
}
