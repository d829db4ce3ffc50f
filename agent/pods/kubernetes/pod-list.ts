import { z } from 'zod';
import { ApiError } from '../../errors.ts';
import { type ApiClient, asApiError } from '../../kubernetes/api-client.ts';
import { createItemsReader } from '../../kubernetes/json-pieces.ts';
import type { Pod } from '../pod-source.ts';
import type { PodReader } from './pod-reader.ts';

export type PodList = { readonly pods: readonly Pod[]; readonly resourceVersion: string };

/** client-go's page size. A server that answers from its watch cache sends everything at once; pieces bound that. */
const PAGE_LIMIT = '500';

const listEnvelope = z.object({
  metadata: z.object({ resourceVersion: z.string().min(1).max(128), continue: z.string().optional() }),
});

/**
 * All pods of the node, page by page, each mapped and let go as it comes in.
 *
 * @param notOlderThan `'0'`: whatever the server has in memory; a version: at least as new as that; `''`: read from etcd
 * @throws ApiError; `expired` also where a continue token was too old, then the list begins anew by the caller
 */
export async function listPods(
  client: ApiClient,
  reader: PodReader,
  question: { readonly nodeName: string; readonly notOlderThan: string },
  bounds: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<PodList> {
  const deadline = AbortSignal.timeout(bounds.timeoutMs);
  const signal = AbortSignal.any([bounds.signal, deadline]);
  const pods: Pod[] = [];
  let next: string | undefined;
  try {
    for (;;) {
      const query = {
        fieldSelector: `spec.nodeName=${question.nodeName}`,
        limit: PAGE_LIMIT,
        // A continue token carries the version that the first page was read at.
        ...(next ? { continue: next } : question.notOlderThan && { resourceVersion: question.notOlderThan }),
      };
      const response = await client.open({ path: '/api/v1/pods', query, signal });
      const items = createItemsReader(reader.maxBytes, {
        onPiece: (json) => {
          const pod = reader.readPod(json);
          if (pod) pods.push(pod);
        },
        onTooLarge: reader.tooLarge,
      });
      for await (const chunk of response) if (Buffer.isBuffer(chunk)) items.push(chunk);
      const { metadata } = readEnvelope(items.envelope());
      if (!metadata.continue) return { pods, resourceVersion: metadata.resourceVersion };
      next = metadata.continue;
    }
  } catch (error) {
    if (deadline.aborted)
      throw new ApiError('timeout', `the pods were not listed within ${bounds.timeoutMs} ms`);
    throw asApiError(error, signal, bounds.timeoutMs);
  }
}

function readEnvelope(json: string | undefined): z.infer<typeof listEnvelope> {
  try {
    return listEnvelope.parse(JSON.parse(json ?? ''));
  } catch {
    throw new ApiError('answerMalformed', 'the API server answered with something that is no list of pods');
  }
}
