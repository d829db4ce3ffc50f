import { createHash } from 'node:crypto';
import { z } from 'zod';
import { ImageNameError, KubeletFormatError } from '../../errors.ts';
import { trimImageName } from '../../image/reference.ts';
import { byCoordinates } from '../merge.ts';
import type { ImagePullCredentials, ImagePulledRecord } from '../types.ts';

/**
 * The group kubelet's record files belong to; both versions have the same fields. The last is the one
 * written.
 */
const API_VERSIONS = ['kubelet.config.k8s.io/v1alpha1', 'kubelet.config.k8s.io/v1beta1'] as const;
const WRITTEN_VERSION = API_VERSIONS[1];

const MAX_TEXT = 4_096;
const MAX_HASH = 256;
/** The end of the year 9999, the last that RFC 3339 can write; in ms. */
const MAX_TIME = 253_402_300_799_000;
/** Merging takes the square of it; kubelet itself stops learning at a hundred. */
const MAX_ENTRY = 5_000;

const text = z.string().max(MAX_TEXT);
const coordinates = { uid: text, namespace: text, name: text };
// Kubelet decodes strictly: a field that it does not know spoils the file for it, too.
const credentials = z.strictObject({
  kubernetesSecrets: z
    .array(z.strictObject({ ...coordinates, credentialHash: z.string().max(MAX_HASH).default('') }))
    .max(MAX_ENTRY)
    .nullish(),
  kubernetesServiceAccounts: z.array(z.strictObject(coordinates)).max(MAX_ENTRY).nullish(),
  nodePodsAccessible: z.boolean().default(false),
});
const typeMeta = z.looseObject({ kind: z.string(), apiVersion: z.enum(API_VERSIONS) });
const pulledRecord = z.strictObject({
  kind: z.literal('ImagePulledRecord'),
  apiVersion: z.enum(API_VERSIONS),
  // metav1.Time: RFC 3339 in whole seconds; null for the zero time.
  lastUpdatedTime: z.iso.datetime({ offset: true }).nullish(),
  imageRef: text.min(1),
  credentialMapping: z.record(text, credentials).nullish(),
});
const pullIntent = z.strictObject({
  kind: z.literal('ImagePullIntent'),
  apiVersion: z.enum(API_VERSIONS),
  image: text.min(1),
});

/** The name of a record's file: by the imageRef, or by the image of an intent (kubelet's cacheFilename). */
export function kubeletFileName(imageOrRef: string): string {
  return `sha256-${createHash('sha256').update(imageOrRef).digest('hex')}`;
}

/**
 * Reads an ImagePulledRecord (k8s.io/kubelet/config, v1alpha1 or v1beta1). Its hashes are kubelet's plain
 * ones, which must not be stored. An entry that names nobody is left out: it allows as much as none.
 *
 * @throws KubeletFormatError
 */
export function parsePulledRecord(json: string): ImagePulledRecord {
  const { imageRef, lastUpdatedTime, credentialMapping } = parseAs(pulledRecord, 'ImagePulledRecord', json);
  const entries = Object.entries(credentialMapping ?? {}).map(([trimmedImage, entry]) => {
    if (!isTrimmedImage(trimmedImage)) {
      throw new KubeletFormatError(
        'malformed',
        'credentialMapping: a key is no image without tag and digest',
      );
    }
    return [trimmedImage, entryOf(entry)] as const;
  });
  return {
    imageRef,
    lastUpdatedTime: lastUpdatedTime ? Math.max(0, Date.parse(lastUpdatedTime)) : 0,
    credentialMapping: new Map(entries.filter(([, entry]) => Object.keys(entry).length > 0)),
  };
}

/** Reads an ImagePullIntent and returns its image. @throws KubeletFormatError. */
export function parsePullIntent(json: string): string {
  return parseAs(pullIntent, 'ImagePullIntent', json).image;
}

/**
 * Byte for byte as kubelet writes it: the fields in Go's order, keys sorted, a line end behind it. Hashes go
 * out as they are.
 */
export function formatPulledRecord({
  imageRef,
  lastUpdatedTime,
  credentialMapping,
}: ImagePulledRecord): string {
  // What only the runtime granted is nothing that kubelet could say; its rule would open it to every pod for
  // ever.
  const names = [...credentialMapping]
    .filter(
      ([, entry]) => entry.nodePodsAccessible || entry.kubernetesSecrets || entry.kubernetesServiceAccounts,
    )
    .sort(([one], [other]) => (one < other ? -1 : 1));
  const mapping = names.map(([trimmedImage, entry]) => [trimmedImage, goEntry(entry)]);
  return goJson({
    kind: 'ImagePulledRecord',
    apiVersion: WRITTEN_VERSION,
    lastUpdatedTime: timeText(lastUpdatedTime),
    imageRef,
    ...(mapping.length > 0 && { credentialMapping: Object.fromEntries(mapping) }),
  });
}

export function formatPullIntent(image: string): string {
  return goJson({ kind: 'ImagePullIntent', apiVersion: WRITTEN_VERSION, image });
}

function parseAs<Shape extends z.ZodType>(shape: Shape, kind: string, json: string): z.infer<Shape> {
  let content: unknown;
  try {
    content = JSON.parse(json);
  } catch {
    throw new KubeletFormatError('notJson', 'it is not JSON');
  }
  if (typeMeta.safeParse(content).data?.kind !== kind) {
    throw new KubeletFormatError('wrongKind', `it is no ${kind} of ${API_VERSIONS.join(' or ')}`);
  }
  const parsed = shape.safeParse(content);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  // Only field names that are ours: a key of the mapping is whatever the file says.
  const field = String(issue?.path[0] ?? 'a field');
  throw new KubeletFormatError('malformed', `${field}: ${issue?.code ?? 'malformed'}`);
}

function entryOf(entry: z.infer<typeof credentials>): ImagePullCredentials {
  // Kubelet looks at nodePodsAccessible first, so what may stand beside it counts for nothing.
  if (entry.nodePodsAccessible) return { nodePodsAccessible: true };
  const secrets = entry.kubernetesSecrets ?? [];
  const accounts = entry.kubernetesServiceAccounts ?? [];
  return {
    ...(secrets.length > 0 && { kubernetesSecrets: [...secrets].sort(byCoordinates) }),
    ...(accounts.length > 0 && { kubernetesServiceAccounts: [...accounts].sort(byCoordinates) }),
  };
}

function goEntry({ kubernetesSecrets, kubernetesServiceAccounts, nodePodsAccessible }: ImagePullCredentials) {
  return {
    ...(kubernetesSecrets && {
      kubernetesSecrets: kubernetesSecrets.map(({ uid, namespace, name, credentialHash }) => ({
        uid,
        namespace,
        name,
        credentialHash,
      })),
    }),
    ...(kubernetesServiceAccounts && {
      kubernetesServiceAccounts: kubernetesServiceAccounts.map(({ uid, namespace, name }) => ({
        uid,
        namespace,
        name,
      })),
    }),
    ...(nodePodsAccessible && { nodePodsAccessible }),
  };
}

/** In whole seconds, as metav1.Time. */
function timeText(milliseconds: number): string {
  const time = new Date(Math.min(Math.max(milliseconds, 0), MAX_TIME));
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Go's encoder escapes what HTML could trip over. */
function goJson(value: object): string {
  const json = JSON.stringify(value);
  const escaped = json.replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${escaped}\n`;
}

function isTrimmedImage(name: string): boolean {
  try {
    return trimImageName(name) === name;
  } catch (error) {
    if (error instanceof ImageNameError) return false;
    throw error;
  }
}
