import { createCriClient } from '../../runtime/cri-client.ts';
import { findRuntimeSocket } from '../../runtime/endpoint.ts';

/**
 * The image id that the runtime has under this name now; undefined where it has none.
 *
 * @throws EndpointError, RuntimeError
 */
export async function contentOnNode(endpoint: string | undefined, name: string): Promise<string | undefined> {
  const client = createCriClient({ socketPath: findRuntimeSocket(endpoint) });
  try {
    return (await client.imageStatus(name))?.id;
  } finally {
    client.close();
  }
}
