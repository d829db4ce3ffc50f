import type { RegistryClient } from '../registry/client.ts';
import type { Endpoints } from '../registry/endpoint/endpoints.ts';

/**
 * A client for registries themselves, loaded when the first question is asked: an HTTP client takes some 6
 * MiB, and a node whose records answer everything never needs it.
 */
export function openRegistry(endpoints: Endpoints): RegistryClient {
  let loading: Promise<RegistryClient> | undefined;
  const client = (): Promise<RegistryClient> => {
    loading ??= import('../registry/client.ts').then(({ createRegistryClient }) =>
      createRegistryClient({ endpoints }),
    );
    return loading;
  };
  return {
    manifest: async (question) => (await client()).manifest(question),
    blob: async (question, sink) => (await client()).blob(question, sink),
    close: async () => (await loading)?.close(),
  };
}
