import { extname } from 'node:path';
import type { KeyringSecret } from '../../credentials/keyring.ts';
import { createFairThread } from '../../fair-thread.ts';
import type { Found, LookupQuestion } from './messages.ts';

/** Of one look-up, in ms, on a node that is busy; 1 MiB takes half a second at most on one that is not. */
const MAX_MS = 15_000;
const MAX_MIB = 48;

export type LargeSecretReader = {
  /**
   * What the secrets of one namespace offer for a repository; one look-up at a time, the namespaces in turn.
   */
  find(namespace: string, secrets: readonly KeyringSecret[], repository: string): Promise<Found>;
};

/**
 * Reads docker configs that a tenant made large on a thread of their own, which is there only while it is
 * needed.
 */
export function createLargeSecretReader(maxMs = MAX_MS): LargeSecretReader {
  // Runs from the sources as well as compiled.
  const entry = new URL(`./secrets-worker${extname(import.meta.url)}`, import.meta.url);
  const thread = createFairThread<LookupQuestion, Found>({ entry, name: 'secrets', maxMiB: MAX_MIB, maxMs });
  return {
    async find(namespace, secrets, repository) {
      const plain = secrets.map(({ namespace: of, name, uid, type, data }) => {
        return { namespace: of, name, uid, type, data };
      });
      return (await thread.ask(namespace, { secrets: plain, repository })) ?? tooCostly;
    },
  };
}

const tooCostly: Found = { malformed: 'the docker configs of this pod take too long to read' };
