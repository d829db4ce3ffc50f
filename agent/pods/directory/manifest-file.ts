import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { ManifestError } from '../../errors.ts';
import {
  podFromObject,
  type ServiceAccount,
  secretFromObject,
  serviceAccountFromObject,
} from '../manifest.ts';
import type { Pod, Secret } from '../pod-source.ts';

/** A secret that is there but whose content cannot be read; asking for it must say so, not that it is missing. */
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

const MAX_DOCUMENTS = 10_000;
const MAX_ALIASES = 100;

const typeMeta = z.object({ kind: z.string() });
const listObject = z.object({ items: z.array(z.unknown()).max(MAX_DOCUMENTS) });
const namedObject = z.object({
  metadata: z.object({ name: z.string(), namespace: z.string().default('default') }),
});

/**
 * Reads one file of manifests: YAML or JSON (which is YAML), several documents, `kind: List` unfolded, kinds other
 * than Pod, Secret and ServiceAccount left out. `manifests` is undefined where the text is no YAML at all; a
 * malformed object costs only itself. `problem` is one line without any of the file's values.
 */
export function readManifestFile(text: string): {
  manifests: Manifests | undefined;
  problem: string | undefined;
} {
  const documents = parseAllDocuments(text, { uniqueKeys: true, logLevel: 'silent' });
  const pods: Pod[] = [];
  const secrets: (Secret | UnreadableSecret)[] = [];
  const serviceAccounts: ServiceAccount[] = [];
  let problem: string | undefined;

  function addObject(object: unknown, kindInList?: string): void {
    const kind = typeMeta.safeParse(object).data?.kind ?? kindInList;
    try {
      if (kind === 'Pod') pods.push(podFromObject(object));
      else if (kind === 'Secret') secrets.push(secretFromObject(object));
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
    const error = document.errors[0];
    if (error)
      return { manifests: undefined, problem: `line ${error.linePos?.[0].line ?? '?'}: ${error.code}` };
    let object: unknown;
    try {
      object = document.toJS({ maxAliasCount: MAX_ALIASES });
    } catch {
      return { manifests: undefined, problem: 'too many aliases' };
    }
    if (object !== null) addObject(object);
  }
  return { manifests: { pods, secrets, serviceAccounts }, problem };
}
