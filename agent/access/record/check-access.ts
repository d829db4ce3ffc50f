import { ImageNameError } from '../../errors.ts';
import { repositoryOf, trimImageName } from '../../image/reference.ts';
import type { RecordStore } from '../../records/record-store.ts';
import { type Decision, decide, type PodPullCredentials } from './decide.ts';
import type { VerificationPolicy } from './policy.ts';

export type AccessQuestion = {
  /** The text of the container's `image` field. */
  readonly image: string;
  /** Empty when the image is not present. */
  readonly imageRef: string;
};

type StoreToAsk = Pick<RecordStore, 'pulledRecord' | 'pullIntentExists' | 'isPreloaded' | 'hasInventory'>;

/**
 * Puts one question to the records: may a pod use this image without proving it? Synchronous, no I/O. Ask
 * without `podCredentials` first, and again with them where the answer is `needsPodCredentials`; a `learn` in
 * the answer is the caller's to write (RecordStore.mergeCredentials).
 */
export function checkAccess(
  store: StoreToAsk,
  policy: VerificationPolicy,
  { image, imageRef }: AccessQuestion,
  podCredentials?: PodPullCredentials,
): Decision {
  const names = namesOf(image);
  const record = store.pulledRecord(imageRef);
  // Kubelet's rule is for a node without an inventory: with neither record nor intent it was there before.
  const tracked = store.hasInventory
    ? names.repository === undefined || !store.isPreloaded(imageRef, names.repository)
    : record !== undefined || store.pullIntentExists(image);
  const trimmedImage = names.trimmed;
  return decide({ image, trimmedImage, imageRef, policy, record, tracked, podCredentials });
}

/** Undefined where the text is not an image name; the two parsers differ on purpose, as kubelet's do. */
type Names = { readonly trimmed: string | undefined; readonly repository: string | undefined };

/** Parsing costs more than all the rest of a check, and a node sees the same few texts again and again. */
const parsed = new Map<string, Names>();
const MAX_PARSED = 16_384;

function namesOf(image: string): Names {
  const known = parsed.get(image);
  if (known) return known;
  const names = { trimmed: trimmedNameOf(image), repository: repositoryOf(image) };
  // Who may write a pod may write any text; only what is a name is worth remembering.
  if (names.trimmed === undefined) return names;
  if (parsed.size >= MAX_PARSED) parsed.clear();
  parsed.set(image, names);
  return names;
}

function trimmedNameOf(image: string): string | undefined {
  try {
    return trimImageName(image);
  } catch (error) {
    if (error instanceof ImageNameError) return undefined;
    throw error;
  }
}
