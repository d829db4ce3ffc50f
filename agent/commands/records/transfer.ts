import type { KubeletFileFailure } from '../../records/kubelet/files.ts';
import type { Column } from '../output.ts';

/** What became of one of kubelet's files, or of one of our records on the way into one. */
export type TransferredFile = {
  /** Under image_manager/. */
  readonly folder: 'pulled' | 'pulling';
  /** Empty where it is the folder itself. */
  readonly file: string;
  /** Of a record. */
  readonly imageRef?: string;
  /** Of an intent. */
  readonly image?: string;
  readonly result: 'imported' | 'written' | 'unchanged' | 'skipped';
  readonly reason?: KubeletFileFailure;
  readonly message?: string;
  /** Secrets that went out without their hash: kubelet knows them by their coordinates. */
  readonly emptyHashes?: number;
};

export const transferColumns: readonly Column<TransferredFile>[] = [
  { header: 'FILE', value: ({ folder, file }) => `${folder}/${file}` },
  { header: 'IMAGE', value: ({ imageRef, image }) => imageRef ?? image ?? '' },
  { header: 'RESULT', value: ({ result }) => result },
  { header: 'REASON', value: reasonText },
];

function reasonText({ reason, message, emptyHashes }: TransferredFile): string {
  if (reason !== undefined) return `${reason}: ${message ?? ''}`;
  return emptyHashes ? `${emptyHashes} secret(s) without hash: the secret as it was is not at hand` : '';
}
