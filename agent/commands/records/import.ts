import type { Config } from '../../config/resolve.ts';
import { CommandError } from '../../errors.ts';
import { findImageManager, type KubeletFile, readKubeletFiles } from '../../records/kubelet/files.ts';
import type { ImportBatch } from '../../records/kubelet/import.ts';
import { openRecordStoreForImport } from '../../records/sqlite/open.ts';
import type { ImagePulledRecord } from '../../records/types.ts';
import { type OutputFormat, type Print, printOutput } from '../output.ts';
import { type TransferredFile, transferColumns } from './transfer.ts';

/**
 * So much is held in memory and written in one transaction: few of them, since a running agent reads all
 * anew after each.
 */
const BATCH_FILES = 10_000;
const BATCH_BYTES = 64 * 1024 * 1024;

type Import = ReturnType<typeof openRecordStoreForImport>;

/**
 * `records import --kubelet-dir DIR`: merges kubelet's image pull records into ours, and keeps what is there.
 * Returns 1 when a file had to be left out. @throws RecordStoreError, CommandError.
 */
export function importRecords(
  config: Pick<Config, 'stateDir'>,
  kubeletDir: string,
  { output, print }: { readonly output: OutputFormat; readonly print: Print },
): number {
  const imageManager = findImageManager(kubeletDir);
  if (imageManager === undefined) {
    throw new CommandError(
      'notFound',
      `${kubeletDir} has no image_manager: kubelet has kept no records there`,
    );
  }
  const into = openRecordStoreForImport(config.stateDir);
  try {
    const rows: TransferredFile[] = [];
    for (const batch of batchesOf(readKubeletFiles(imageManager))) {
      for (const file of importBatch(into, batch)) rows.push(file);
    }
    printOutput(print, output, { data: rows, rows, columns: transferColumns });
    return rows.some(({ result }) => result === 'skipped') ? 1 : 0;
  } finally {
    into.store.close();
  }
}

function* batchesOf(files: Iterable<KubeletFile>): Generator<KubeletFile[]> {
  let batch: KubeletFile[] = [];
  let bytes = 0;
  for (const file of files) {
    batch.push(file);
    bytes += file.kind === 'skipped' ? 0 : file.bytes;
    if (batch.length < BATCH_FILES && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function importBatch({ store, keyedHash }: Import, files: readonly KubeletFile[]): TransferredFile[] {
  const records = files.filter((file) => file.kind === 'record');
  const intents = files.filter((file) => file.kind === 'intent');
  const batch: ImportBatch = {
    records: records.map(({ record }) => withKeyedHashes(record, keyedHash)),
    intents: intents.map(({ image }) => image),
    unreadableFiles: files
      .filter(({ kind, folder, file }) => kind === 'skipped' && folder === 'pulled' && isRecordName(file))
      .map(({ file }) => file),
  };
  const outcome = store.importRecords(batch);
  const isNew = new Map<KubeletFile, boolean | undefined>([
    ...records.map((file, n) => [file, outcome.records[n]] as const),
    ...intents.map((file, n) => [file, outcome.intents[n]] as const),
  ]);
  return files.map((file) => transferred(file, isNew.get(file) ?? false));
}

function isRecordName(file: string): boolean {
  return /^sha256-[0-9a-f]{64}$/.test(file);
}

function transferred(file: KubeletFile, isNew: boolean): TransferredFile {
  const place = { folder: file.folder, file: file.file };
  if (file.kind === 'skipped') {
    return { ...place, result: 'skipped', reason: file.reason, message: file.message };
  }
  const result = isNew ? 'imported' : 'unchanged';
  return file.kind === 'record'
    ? { ...place, imageRef: file.record.imageRef, result }
    : { ...place, image: file.image, result };
}

/** Kubelet's plain hashes stay in memory; only their keyed forms go into the database. */
function withKeyedHashes(
  record: ImagePulledRecord,
  keyedHash: (credentialHash: string) => string,
): ImagePulledRecord {
  const entries = [...record.credentialMapping].map(([trimmedImage, entry]) => {
    const kubernetesSecrets = entry.kubernetesSecrets?.map((secret) => ({
      ...secret,
      credentialHash: keyedHash(secret.credentialHash),
    }));
    return [trimmedImage, { ...entry, ...(kubernetesSecrets && { kubernetesSecrets }) }] as const;
  });
  return { ...record, credentialMapping: new Map(entries) };
}
