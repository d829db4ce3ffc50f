import { type FSWatcher, watch } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PodSourceError } from '../../errors.ts';
import type { Pod, PodSource, Secret } from '../pod-source.ts';
import { terminatingOf } from '../termination.ts';
import { type Manifests, type ReadManifests, readManifestFile } from './manifest-file.ts';

const MAX_FILE_BYTES = 8 * 1024 * 1024;
const DEBOUNCE_MS = 20;
/** Well below what the runtime waits for a veto, which is 2 s. */
const WAIT_FOR_POD_MS = 1_000;

export type DirectoryPodSourceOptions = {
  /**
   * The folder; *.yaml, *.yml, *.json and files without an extension directly in it, hidden ones left out.
   */
  readonly directory: string;
  /** With it a pod is also found under the name that kubelet gives it as a static pod: `NAME-NODE`. */
  readonly nodeName?: string;
  /**
   * Called with one line per file that could not be read or holds something malformed; again when that
   * changes.
   */
  readonly onProblem: (message: string) => void;
  /** How often to look again although nothing was notified (network file systems do not notify), in ms. */
  readonly rescanIntervalMs?: number;
};

export type ManifestFolderOptions = DirectoryPodSourceOptions & {
  /** Whether a file of this name is read. */
  readonly isManifest: (file: string) => boolean;
  readonly read: (text: string, readAtMs: number) => ReadManifests;
  /** How long getPod waits for a pod that is not there yet, ms. */
  readonly waitForPodMs: number;
  /** Whether a manifest's uid, empty where it has none, is that of the pod that is asked for. */
  readonly isSameUid: (manifest: string, asked: string) => boolean;
};

type LoadedFile = { readonly fingerprint: string; readonly manifests: Manifests };

/** Pods, Secrets and ServiceAccounts from a folder of manifests. A pod without a uid is found under any. */
export function openDirectoryPodSource(options: DirectoryPodSourceOptions): PodSource {
  return openManifestFolder({
    ...options,
    isManifest: (file) => /^[^.]+$|^[^.].*\.(ya?ml|json)$/.test(file),
    read: readManifestFile,
    waitForPodMs: WAIT_FOR_POD_MS,
    isSameUid: (manifest, asked) => manifest === '' || manifest === asked,
  });
}

/**
 * A folder of manifests, whatever is in it. A file that becomes unreadable or malformed keeps serving what it
 * last held, and is reported; a file that is removed is forgotten.
 */
export function openManifestFolder(options: ManifestFolderOptions): PodSource {
  const { directory, nodeName, onProblem, isManifest, read, isSameUid, rescanIntervalMs = 5_000 } = options;
  const files = new Map<string, LoadedFile>();
  const problems = new Map<string, string>();
  const listeners = new Set<() => void>();
  const podListeners = new Set<(pod: Pod) => void>();
  let knownPods = new Set<string>();
  let watcher: FSWatcher | undefined;
  let timer: NodeJS.Timeout | undefined;
  let debounce: NodeJS.Timeout | undefined;
  let scanning: Promise<void> | undefined;
  /** When the last scan that saw the whole folder began, ms of the monotonic clock. */
  let scannedAtMs = 0;
  let started = false;

  function report(path: string, problem: string | undefined): void {
    if (problems.get(path) === problem) return;
    if (problem === undefined) problems.delete(path);
    else {
      problems.set(path, problem);
      onProblem(problem);
    }
  }

  async function loadFile(name: string): Promise<boolean> {
    const path = join(directory, name);
    try {
      const info = await stat(path);
      if (!info.isFile()) return false;
      const fingerprint = `${info.ino}:${info.size}:${info.mtimeMs}:${info.ctimeMs}`;
      const loaded = files.get(name);
      if (loaded?.fingerprint === fingerprint) return false;
      if (info.size > MAX_FILE_BYTES) throw new Error(`larger than ${MAX_FILE_BYTES} bytes`);
      const readAtMs = performance.now();
      const { manifests, problem } = read(await readFile(path, 'utf8'), readAtMs);
      report(name, problem && `directoryUnreadable: ${name}: ${problem}`);
      files.set(name, { fingerprint, manifests: manifests ?? loaded?.manifests ?? emptyManifests });
      return true;
    } catch (error) {
      if (isMissing(error)) return files.delete(name);
      report(name, `directoryUnreadable: ${name}: ${errorText(error)}`);
      return false;
    }
  }

  async function scanOnce(): Promise<void> {
    const beganAtMs = performance.now();
    let names: string[];
    try {
      names = (await readdir(directory)).filter(isManifest).sort();
      report('', undefined);
    } catch (error) {
      report('', `directoryUnreadable: ${errorText(error)}`);
      return;
    }
    let changed = false;
    for (const name of names) changed = (await loadFile(name)) || changed;
    for (const name of files.keys()) {
      if (names.includes(name)) continue;
      files.delete(name);
      report(name, undefined);
      changed = true;
    }
    scannedAtMs = beganAtMs;
    if (changed) tellOfChanges();
  }

  function tellOfChanges(): void {
    for (const listener of listeners) listener();
    const pods = allPods();
    const before = knownPods;
    knownPods = new Set(pods.map(identityOf));
    if (!started) return;
    for (const pod of pods.filter((candidate) => !before.has(identityOf(candidate)))) {
      for (const listener of podListeners) listener(withServiceAccountSecrets(pod));
    }
  }

  function allPods(): Pod[] {
    return [...files.values()].flatMap(({ manifests }) => manifests.pods);
  }

  /** Scans run one after the other; whoever asks gets one that began after they asked. */
  function scan(): Promise<void> {
    const previous = scanning ?? Promise.resolve();
    const next = previous.then(scanOnce).finally(() => {
      if (scanning === next) scanning = undefined;
    });
    scanning = next;
    return next;
  }

  function watchDirectory(): void {
    try {
      watcher = watch(directory, () => {
        clearTimeout(debounce);
        debounce = setTimeout(() => void scan(), DEBOUNCE_MS);
      });
      watcher.on('error', () => watcher?.close());
    } catch (error) {
      onProblem(
        `directoryUnreadable: not notified of changes, looking every ${rescanIntervalMs} ms: ${errorText(error)}`,
      );
    }
  }

  function find(namespace: string, name: string): Pod | undefined {
    for (const { manifests } of files.values()) {
      const pod = manifests.pods.find(
        (candidate) => candidate.namespace === namespace && candidate.name === name,
      );
      if (pod) return withServiceAccountSecrets(pod);
    }
    return undefined;
  }

  /** A pod of the folder under kubelet's name for it. */
  function findStatic(namespace: string, name: string): Pod | undefined {
    if (nodeName === undefined) return undefined;
    const suffix = staticPodName('', nodeName);
    const pod = name.endsWith(suffix) ? find(namespace, name.slice(0, -suffix.length)) : undefined;
    return pod && { ...pod, name, configSource: 'file' };
  }

  /**
   * What the ServiceAccount admission plugin does on a cluster: only a pod that names no secrets gets the
   * account's.
   */
  function withServiceAccountSecrets(pod: Pod): Pod {
    if (pod.imagePullSecrets.length > 0) return pod;
    for (const { manifests } of files.values()) {
      const account = manifests.serviceAccounts.find(
        (candidate) => candidate.namespace === pod.namespace && candidate.name === pod.serviceAccountName,
      );
      if (account) return { ...pod, imagePullSecrets: account.imagePullSecrets };
    }
    return pod;
  }

  return {
    async start() {
      const info = await stat(directory).catch((error: unknown) => {
        throw new PodSourceError('directoryUnreadable', `${directory}: ${errorText(error)}`, {
          cause: error,
        });
      });
      if (!info.isDirectory())
        throw new PodSourceError('directoryUnreadable', `${directory}: not a directory`);
      watchDirectory();
      await scan();
      timer = setInterval(() => void scan(), rescanIntervalMs);
      timer.unref();
      started = true;
    },
    async stop() {
      clearInterval(timer);
      clearTimeout(debounce);
      watcher?.close();
      listeners.clear();
      podListeners.clear();
      await scanning;
    },
    problem() {
      if (!started) return 'the directory has not been read yet';
      return problems.size > 0 ? [...problems.values()].join('; ') : undefined;
    },
    async getPod({ namespace, name, uid }) {
      const deadline = performance.now() + options.waitForPodMs;
      for (;;) {
        const pod = find(namespace, name) ?? findStatic(namespace, name);
        if (pod && isSameUid(pod.uid, uid)) return { ...pod, uid };
        if (performance.now() >= deadline || name === '') return undefined;
        await sleep(100);
        await scan();
      }
    },
    async findPod(namespace, name) {
      return find(namespace, name) ?? findStatic(namespace, name);
    },
    async getSecret(namespace, name, read) {
      if (read?.fresh) await scan();
      for (const { manifests } of files.values()) {
        const secret = manifests.secrets.find(
          (candidate) => candidate.namespace === namespace && candidate.name === name,
        );
        if (secret) return { ...readable(secret), readAtMs: scannedAtMs };
      }
      return undefined;
    },
    terminating: () => (started ? terminatingOf(allPods()) : undefined),
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onPod(listener) {
      podListeners.add(listener);
      return () => podListeners.delete(listener);
    },
  };
}

/** As kubelet's generatePodName (pkg/kubelet/config/common.go). */
export function staticPodName(name: string, nodeName: string): string {
  return `${name}-${nodeName.toLowerCase()}`;
}

function identityOf({ namespace, name, uid }: Pod): string {
  return JSON.stringify([namespace, name, uid]);
}

const emptyManifests: Manifests = { pods: [], secrets: [], serviceAccounts: [] };

function readable(secret: Manifests['secrets'][number]): Secret {
  if ('unreadable' in secret) {
    throw new PodSourceError(
      'secretUnreadable',
      `secret ${secret.namespace}/${secret.name}: ${secret.unreadable}`,
    );
  }
  return secret;
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
