import { type Document, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { ManifestError } from '../../errors.ts';
import {
  podFromObject,
  type ServiceAccount,
  secretFromObject,
  serviceAccountFromObject,
} from '../manifest.ts';
import type { Pod, Secret } from '../pod-source.ts';

/**
 * A secret that is there but whose content cannot be read; asking for it must say so, not that it is
 * missing.
 */
export type UnreadableSecret = {
  readonly namespace: string;
  readonly name: string;
  readonly unreadable: string;
};

export type Manifests = {
  readonly pods: readonly Pod[];
  readonly secrets: readonly (Secret | UnreadableSecret)[];
  readonly serviceAccounts: readonly ServiceAccount[];
};

/**
 * `manifests` is undefined where the text is not YAML. `problem` is one line without any of the file's
 * values.
 */
export type ReadManifests = {
  readonly manifests: Manifests | undefined;
  readonly problem: string | undefined;
};

const MAX_ITEMS = 10_000;
/** Each costs the parser more than its few bytes. */
const MAX_DOCUMENTS = 1_000;
const MAX_ALIASES = 100;

const typeMeta = z.object({ kind: z.string() });
const listObject = z.object({ items: z.array(z.unknown()).max(MAX_ITEMS) });
const namedObject = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string().default('default') }),
});

/**
 * Reads one file of manifests: YAML or JSON (which is YAML), several documents, `kind: List` unfolded, kinds
 * other than Pod, Secret and ServiceAccount left out. A malformed object costs only itself.
 *
 * @param readAtMs of the secrets, see Secret
 */
export function readManifestFile(text: string, readAtMs: number): ReadManifests {
  if ((text.match(/^---/gm)?.length ?? 0) > MAX_DOCUMENTS) {
    return { manifests: undefined, problem: `more than ${MAX_DOCUMENTS} documents` };
  }
  const documents = parseAllDocuments(text, { uniqueKeys: true, logLevel: 'silent' });
  const pods: Pod[] = [];
  const secrets: (Secret | UnreadableSecret)[] = [];
  const serviceAccounts: ServiceAccount[] = [];
  let problem: string | undefined;

  function addObject(object: unknown, kindInList?: string): void {
    const kind = typeMeta.safeParse(object).data?.kind ?? kindInList;
    try {
      if (kind === 'Pod') pods.push(podFromObject(object));
      else if (kind === 'Secret') secrets.push(secretFromObject(object, readAtMs));
      else if (kind === 'ServiceAccount') serviceAccounts.push(serviceAccountFromObject(object));
      else if (kind?.endsWith('List')) {
        // A PodList's items name no kind of their own; those of kubectl's plain List do.
        for (const item of listObject.parse(object).items) addObject(item, kind.slice(0, -'List'.length));
      }
    } catch (error) {
      if (!(error instanceof ManifestError) && !(error instanceof z.ZodError)) throw error;
      problem ??= `${kind}: ${error instanceof ManifestError ? error.message : 'is malformed'}`;
      const meta = namedObject.safeParse(object).data?.metadata;
      if (kind === 'Secret' && meta) secrets.push({ ...meta, unreadable: problem });
    }
  }

  for (const document of documents) {
    const { object, problem: unreadable } = objectOf(document);
    if (unreadable !== undefined) return { manifests: undefined, problem: unreadable };
    if (object !== null) addObject(object);
  }
  return { manifests: { pods, secrets, serviceAccounts }, problem };
}

/**
 * The object that a YAML document holds, or why it cannot be read; the parser's own text could quote the
 * file.
 */
export function objectOf(document: Document.Parsed): {
  readonly object?: unknown;
  readonly problem?: string;
} {
  const error = document.errors[0];
  if (error) return { problem: `line ${error.linePos?.[0].line ?? '?'}: ${error.code}` };
  try {
    return { object: document.toJS({ maxAliasCount: MAX_ALIASES }) };
  } catch {
    return { problem: 'too many aliases' };
  }
}
