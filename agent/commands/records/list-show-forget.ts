import type { Config } from '../../config/resolve.ts';
import { CommandError } from '../../errors.ts';
import type { RecordStore } from '../../records/record-store.ts';
import { openRecordStoreForEditing, openRecordStoreReadOnly } from '../../records/sqlite/open.ts';
import type { ImagePullCredentials, ImagePulledRecord } from '../../records/types.ts';
import { formatAge } from '../age.ts';
import { type Column, type OutputFormat, type Print, printOutput, timeText } from '../output.ts';

type StateDir = Pick<Config, 'stateDir'>;
type Output = {
  readonly output: OutputFormat;
  readonly print: Print;
  /** Milliseconds since the epoch. */
  readonly now?: number;
};

/** One image under one name, and who may use it. */
type Row = {
  readonly imageRef: string;
  readonly trimmedImage: string;
  readonly who: string;
  /** Milliseconds since the epoch. */
  readonly updated: number;
};

function columnsAt(now: number): readonly Column<Row>[] {
  return [
    { header: 'IMAGE ID', value: (row) => shortId(row.imageRef) },
    { header: 'IMAGE', value: (row) => row.trimmedImage, cut: 'start' },
    { header: 'GRANTED TO', value: (row) => row.who, cut: 'end' },
    { header: 'AGE', value: (row) => formatAge(now - row.updated) },
    { header: 'UPDATED', value: (row) => timeText(row.updated), wide: true },
  ];
}

/** Secrets named in one cell of a table; JSON and YAML have all. */
const SHOWN_SECRETS = 3;
const SHORT_ID = 12;
/** Fewer digits than this are too likely to mean another image soon. */
const LEAST_ID_DIGITS = 4;
const HASH_PREFIX = 8;

/** `records list`: everything on record. @throws RecordStoreError. */
export function listRecords(config: StateDir, { output, print, now = Date.now() }: Output): number {
  const records = reading(config, (store) => store.listPulledRecords());
  printOutput(print, output, {
    data: records.map((record) => plainRecord(record, false)),
    rows: records.flatMap(rowsOf),
    columns: columnsAt(now),
    empty: '(no records)',
  });
  return 0;
}

/**
 * `records show ID|NAME`: one image, by its id or the beginning of it, or by a name, which means the content
 * that the runtime has under it now. `contentOf` asks the runtime.
 *
 * @throws RecordStoreError, CommandError, and what `contentOf` throws
 */
export async function showRecord(
  config: StateDir,
  image: string,
  contentOf: (name: string) => Promise<string | undefined>,
  { output, print, now = Date.now() }: Output,
): Promise<number> {
  const record = isIdLike(image)
    ? reading(config, (store) => recordOf(store, image))
    : await recordOfName(config, image, contentOf);
  printOutput(print, output, {
    data: plainRecord(record, true),
    rows: rowsOf(record),
    columns: columnsAt(now),
  });
  return 0;
}

async function recordOfName(
  config: StateDir,
  name: string,
  contentOf: (name: string) => Promise<string | undefined>,
): Promise<ImagePulledRecord> {
  const imageRef = await contentOf(name);
  if (imageRef === undefined) throw new CommandError('notFound', `${name} is not on this node`);
  const record = reading(config, (store) => store.pulledRecord(imageRef));
  if (record === undefined) {
    throw new CommandError('notFound', `there is no record of ${name} (${shortId(imageRef)})`);
  }
  return record;
}

/**
 * `records forget IMAGEREF [--image TRIMMED]`: whoever uses it next is verified again. A running agent picks
 * it up with its next verdict. @throws RecordStoreError, CommandError.
 */
export function forgetRecord(
  config: StateDir,
  imageRef: string,
  options: { readonly image: string | undefined; readonly print: Print },
): number {
  const { store } = openRecordStoreForEditing(config.stateDir);
  try {
    // What is only in the inventory has no record, so a whole id is taken as it is.
    const whole = isWholeId(imageRef) ? imageRef : recordOf(store, imageRef).imageRef;
    if (!store.forget(whole, options.image)) {
      const name = options.image === undefined ? '' : ` under the name ${options.image}`;
      throw new CommandError('notFound', `nothing is known of ${imageRef}${name}`);
    }
    options.print(`forgot ${whole}${options.image === undefined ? '' : ` as ${options.image}`}\n`);
    return 0;
  } finally {
    store.close();
  }
}

function reading<Result>(config: StateDir, read: (store: RecordStore) => Result): Result {
  const { store } = openRecordStoreReadOnly(config.stateDir);
  try {
    return read(store);
  } finally {
    store.close();
  }
}

/** By its whole id, or by the beginning of it as the table shows it. */
function recordOf(store: RecordStore, imageRef: string): ImagePulledRecord {
  const known = store.pulledRecord(imageRef);
  if (known !== undefined) return known;
  const digits = digitsOf(imageRef);
  if (digits.length < LEAST_ID_DIGITS) {
    const hint = `an id is asked for by ${LEAST_ID_DIGITS} digits at least`;
    throw new CommandError('notFound', `there is no record of ${imageRef}: ${hint}`);
  }
  const found = store.listPulledRecords().filter((record) => digitsOf(record.imageRef).startsWith(digits));
  const [first, second] = found;
  if (first === undefined) throw new CommandError('notFound', `there is no record of ${imageRef}`);
  if (second !== undefined)
    throw new CommandError('ambiguous', `${found.length} records begin with ${imageRef}`);
  return first;
}

function rowsOf(record: ImagePulledRecord): Row[] {
  const { imageRef, lastUpdatedTime: updated } = record;
  const names = [...record.credentialMapping];
  if (names.length === 0) return [{ imageRef, trimmedImage: '', who: whoMay({}), updated }];
  return names.map(([trimmedImage, credentials]) => ({
    imageRef,
    trimmedImage,
    who: whoMay(credentials),
    updated,
  }));
}

function whoMay(credentials: ImagePullCredentials): string {
  if (credentials.nodePodsAccessible) return 'every pod on the node';
  const secrets = (credentials.kubernetesSecrets ?? []).map(({ namespace, name }) => `${namespace}/${name}`);
  const accounts = (credentials.kubernetesServiceAccounts ?? []).map(
    ({ namespace, name }) => `serviceaccount ${namespace}/${name}`,
  );
  const byRuntime = credentials.grantedByRuntime ? ['every pod, by the runtime'] : [];
  const all = [...byRuntime, ...secrets, ...accounts];
  if (all.length === 0) return 'nobody yet';
  const more = all.length > SHOWN_SECRETS ? ` and ${all.length - SHOWN_SECRETS} more` : '';
  return `${all.slice(0, SHOWN_SECRETS).join(', ')}${more}`;
}

/** In the shape of kubelet's record files, but with at most the beginning of a keyed hash. */
function plainRecord(record: ImagePulledRecord, hashes: boolean): object {
  const mapping = [...record.credentialMapping].map(([trimmedImage, credentials]) => {
    const kubernetesSecrets = credentials.kubernetesSecrets?.map(({ credentialHash, ...secret }) =>
      hashes ? { ...secret, keyedHashPrefix: credentialHash.slice(0, HASH_PREFIX) } : secret,
    );
    return [trimmedImage, { ...credentials, ...(kubernetesSecrets && { kubernetesSecrets }) }];
  });
  return {
    imageRef: record.imageRef,
    lastUpdatedTime: timeText(record.lastUpdatedTime),
    credentialMapping: Object.fromEntries(mapping),
  };
}

/** Only digits of an id: names of images in CRI have a tag, a slash or other letters. */
function isIdLike(image: string): boolean {
  return image.startsWith('sha256:') || /^[0-9a-f]*$/.test(image);
}

function isWholeId(imageRef: string): boolean {
  return /^[0-9a-f]{64}$/.test(digitsOf(imageRef));
}

function digitsOf(imageRef: string): string {
  return imageRef.replace(/^sha256:/, '');
}

function shortId(imageRef: string): string {
  return digitsOf(imageRef).slice(0, SHORT_ID);
}
