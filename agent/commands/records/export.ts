import { join } from 'node:path';
import type { Config } from '../../config/resolve.ts';
import { credentialHashes, makeKeyring } from '../../credentials/keyring.ts';
import { CommandError, DockerConfigError, PodSourceError } from '../../errors.ts';
import type { PodSource, Secret } from '../../pods/pod-source.ts';
import {
  findImageManager,
  makeKubeletFolders,
  syncKubeletFolders,
  writeKubeletFile,
} from '../../records/kubelet/files.ts';
import { openRecordStoreReadOnly } from '../../records/sqlite/open.ts';
import type { ImagePullCredentials, ImagePulledRecord, ImagePullSecret } from '../../records/types.ts';
import { openPodSource } from '../../wiring/open-pod-source.ts';
import { type OutputFormat, type Print, printOutput } from '../output.ts';
import { type TransferredFile, transferColumns } from './transfer.ts';

/** Kubelet's plain hash of a secret on record; empty where it cannot be had. */
type PlainHashOf = (secret: ImagePullSecret) => Promise<string>;

/**
 * `records export --kubelet-dir DIR`: writes every record and intent where kubelet looks for it, in place of
 * what is there under the same name; other files stay. Our hashes are keyed, so kubelet's go out only where
 * the secret, read from the source that podsDirectory or kubeconfig names, is still what it was. An empty
 * hash kubelet matches by the secret's coordinates alone, in entries of fewer than a hundred secrets; in
 * fuller ones it pulls again.
 *
 * Returns 1 when a file could not be written. @throws RecordStoreError, PodSourceError, CommandError.
 */
export async function exportRecords(
  config: Pick<Config, 'stateDir' | 'podsDirectory' | 'kubeconfig' | 'nodeName'>,
  kubeletDir: string,
  { output, print }: { readonly output: OutputFormat; readonly print: Print },
): Promise<number> {
  const { store, keyedHash } = openRecordStoreReadOnly(config.stateDir);
  // Without a source that is named there is no need of one: not every node that is left has an API server.
  const named = config.podsDirectory !== undefined || config.kubeconfig !== undefined;
  const source = named ? openPodSource(config, { onProblem: () => undefined }) : undefined;
  const pods = source?.pods;
  try {
    await pods?.start();
    const imageManager = findImageManager(kubeletDir) ?? join(kubeletDir, 'image_manager');
    makeFolders(imageManager);
    const plainHashOf = pods && keyedHash ? plainHashesFrom(pods, keyedHash) : async () => '';
    const rows: TransferredFile[] = [];
    for (const known of store.listPulledRecords()) {
      const { record, emptyHashes } = await withPlainHashes(known, plainHashOf);
      const written = writeKubeletFile(imageManager, { record });
      rows.push({ ...written, imageRef: record.imageRef, ...(emptyHashes > 0 && { emptyHashes }) });
    }
    for (const image of store.listPullIntents()) {
      rows.push({ ...writeKubeletFile(imageManager, { image }), image });
    }
    syncKubeletFolders(imageManager);
    printOutput(print, output, { data: rows, rows, columns: transferColumns });
    return rows.some(({ result }) => result === 'skipped') ? 1 : 0;
  } finally {
    await source?.close();
    store.close();
  }
}

function makeFolders(imageManager: string): void {
  try {
    makeKubeletFolders(imageManager);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CommandError('unwritable', `cannot make the folders of ${imageManager}: ${message}`);
  }
}

async function withPlainHashes(
  record: ImagePulledRecord,
  plainHashOf: PlainHashOf,
): Promise<{ readonly record: ImagePulledRecord; readonly emptyHashes: number }> {
  let emptyHashes = 0;
  const credentialMapping = new Map<string, ImagePullCredentials>();
  for (const [trimmedImage, entry] of record.credentialMapping) {
    const kubernetesSecrets: ImagePullSecret[] = [];
    for (const secret of entry.kubernetesSecrets ?? []) {
      const credentialHash = await plainHashOf(secret);
      if (credentialHash === '') emptyHashes += 1;
      kubernetesSecrets.push({ ...secret, credentialHash });
    }
    credentialMapping.set(trimmedImage, { ...entry, ...(entry.kubernetesSecrets && { kubernetesSecrets }) });
  }
  return { record: { ...record, credentialMapping }, emptyHashes };
}

/** Goes by the secret's coordinates, then by which of its credentials has the hash on record. */
function plainHashesFrom(
  pods: Pick<PodSource, 'getSecret'>,
  keyedHash: (credentialHash: string) => string,
): PlainHashOf {
  const plainByKeyed = new Map<string, ReadonlyMap<string, string>>();

  async function hashesOf({ namespace, name, uid }: ImagePullSecret): Promise<ReadonlyMap<string, string>> {
    const coordinates = JSON.stringify([namespace, name, uid]);
    const known = plainByKeyed.get(coordinates);
    if (known) return known;
    const secret = await readSecret(pods, namespace, name);
    const plain = secret?.uid === uid ? hashesIn(secret) : [];
    const hashes = new Map(plain.map((hash) => [keyedHash(hash), hash]));
    plainByKeyed.set(coordinates, hashes);
    return hashes;
  }

  return async (secret) => {
    if (secret.credentialHash === '') return '';
    return (await hashesOf(secret)).get(secret.credentialHash) ?? '';
  };
}

async function readSecret(
  pods: Pick<PodSource, 'getSecret'>,
  namespace: string,
  name: string,
): Promise<Secret | undefined> {
  try {
    return await pods.getSecret(namespace, name);
  } catch (error) {
    if (error instanceof PodSourceError) return undefined;
    throw error;
  }
}

function hashesIn(secret: Secret): readonly string[] {
  try {
    return credentialHashes(makeKeyring([secret]));
  } catch (error) {
    if (error instanceof DockerConfigError) return [];
    throw error;
  }
}
