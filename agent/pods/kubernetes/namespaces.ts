import { ApiError } from '../../errors.ts';
import type { ApiClient } from '../../kubernetes/api-client.ts';
import type { NamespaceSource } from '../namespace-source.ts';

/** Namespaces by name. Whoever may not read them (a node may not, without a rule of yours) hears `unknown`. */
export function createNamespaceSource(client: Pick<ApiClient, 'ask'>): NamespaceSource {
  return {
    async isThere(name) {
      try {
        await client.ask({ path: `/api/v1/namespaces/${encodeURIComponent(name)}` });
        return true;
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        // And not a path or proxy that is not found.
        const isGone = error.reason === 'notFound' && error.message.includes('namespaces "');
        return isGone ? false : 'unknown';
      }
    },
  };
}
