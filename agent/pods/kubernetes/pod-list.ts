import { z } from 'zod';
import { ApiError } from '../../errors.ts';
import { type ApiClient, asApiError } from '../../kubernetes/api-client.ts';
import { createItemsReader } from '../../kubernetes/json-pieces.ts';
import type { Pod } from '../pod-source.ts';
import type { ObjectReader } from './object-reader.ts';
import type { ListVersion } from './reflector-state.ts';

export type PodList = { readonly pods: readonly Pod[]; readonly resourceVersion: string };

/** client-go's page size. */
const PAGE_LIMIT = '500';

const listEnvelope = z.object({
  metadata: z.object({ resourceVersion: z.string().min(1).max(128), continue: z.string().optional() }),
});

export type ListBounds = {
  /** For the whole list, all its pages. */
  readonly totalMs: number;
  /** Without a byte for so long the list is given up: who sent it may be gone without a word. */
  readonly silenceMs: number;
  readonly signal: AbortSignal;
};

/**
 * All pods of the node, page by page, each mapped and let go as it comes in.
 *
 * @throws ApiError `expired` also where a continue token was too old; then the list has to begin anew
 */
export async function listPods(
  client: ApiClient,
  reader: ObjectReader,
  question: { readonly nodeName: string; readonly version: ListVersion },
  bounds: ListBounds,
): Promise<PodList> {
  const deadline = AbortSignal.timeout(bounds.totalMs);
  const silence = new AbortController();
  const signal = AbortSignal.any([bounds.signal, deadline, silence.signal]);
  const timer = setTimeout(() => silence.abort(), bounds.silenceMs);
  const pods: Pod[] = [];
  try {
    for (let page = versionQuery(question.version); ; ) {
      const query = { fieldSelector: `spec.nodeName=${question.nodeName}`, ...page };
      timer.refresh();
      const response = await client.open({ path: '/api/v1/pods', query, signal });
      let complete: Buffer[] = [];
      const items = createItemsReader(reader.maxBytes, {
        onPiece: (json) => void complete.push(json),
        onTooLarge: reader.tooLarge,
      });
      for await (const chunk of response) {
        timer.refresh();
        if (!Buffer.isBuffer(chunk)) continue;
        items.push(chunk);
        for (const json of complete) {
          const pod = await reader.readPod(json, '');
          if (pod) pods.push(pod);
          // A list that is long to read is not silent.
          timer.refresh();
        }
        complete = [];
      }
      const { metadata } = readEnvelope(items.envelope());
      if (!metadata.continue) return { pods, resourceVersion: metadata.resourceVersion };
      // The token carries the version that the first page was read at; the API server refuses another beside
      // it.
      page = { limit: PAGE_LIMIT, continue: metadata.continue };
    }
  } catch (error) {
    if (deadline.aborted) {
      throw new ApiError('timeout', `the pods were not listed within ${bounds.totalMs} ms`);
    }
    if (silence.signal.aborted) {
      throw new ApiError(
        'timeout',
        `the API server sent nothing of the pods' list within ${bounds.silenceMs} ms`,
      );
    }
    throw asApiError(error, signal, bounds.totalMs);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * A list that names a version is answered from the API server's memory, in one go. A limit beside it would
 * send older servers to etcd, through the pods of all nodes; and unless the match is named it would mean
 * Exact (Kubernetes API concepts, "the resourceVersion parameter"): a list of long ago, or 410.
 */
function versionQuery(version: ListVersion): Readonly<Record<string, string>> {
  switch (version.kind) {
    case 'anyVersion':
      return { resourceVersion: '0', resourceVersionMatch: 'NotOlderThan' };
    case 'notOlderThan':
      return { resourceVersion: version.resourceVersion, resourceVersionMatch: 'NotOlderThan' };
    case 'mostRecent':
      return { limit: PAGE_LIMIT };
  }
}

function readEnvelope(json: Buffer | undefined): z.infer<typeof listEnvelope> {
  try {
    return listEnvelope.parse(JSON.parse(json?.toString('utf8') ?? ''));
  } catch {
    throw new ApiError('answerMalformed', 'the API server did not answer with a list of pods');
  }
}
