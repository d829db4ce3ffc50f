import { parentPort } from 'node:worker_threads';
import { ManifestError } from '../../../errors.ts';
import { letOthersGoFirst, type Numbered } from '../../../fair-thread.ts';
import { secretFromObject } from '../../manifest.ts';
import type { Pod } from '../../pod-source.ts';
import { createPodReader } from '../pod-reader.ts';
import { readWatchEvent } from '../watch-event.ts';
import type { ObjectQuestion, ReadObject } from './messages.ts';

/**
 * A thread that reads objects of the API server which would hold up the agent's own. What a tenant may
 * repeat without end does not leave it.
 */
if (parentPort === null) throw new Error('this is a worker thread of the agent');
const main = parentPort;
letOthersGoFirst();

/**
 * Of one pod: containers, mounts of image volumes, imagePullSecrets. Kubelet runs no pod that comes near it,
 * and so many take the main thread some milliseconds to receive.
 */
const MAX_PARTS = 8_000;

main.on('message', ({ number, content }: Numbered<ObjectQuestion>) => {
  main.postMessage({ number, content: read(content) } satisfies Numbered<ReadObject>);
});

function read(question: ObjectQuestion): ReadObject {
  const json = Buffer.from(question.json.buffer, question.json.byteOffset, question.json.byteLength);
  let problem = 'an object was not understood';
  const reader = createPodReader((message) => {
    problem = message;
  });
  const notUnderstood = (): ReadObject => ({ kind: 'problem', message: problem });
  switch (question.kind) {
    case 'event': {
      const event = readWatchEvent(reader.parse(json), reader);
      if (event === undefined || event.type === 'error') return notUnderstood();
      return hasTooManyParts(event.type === 'bookmark' ? undefined : event.pod)
        ? tooMany
        : { kind: 'event', event };
    }
    case 'pod': {
      const pod = reader.readPod(json);
      if (pod === undefined) return notUnderstood();
      return hasTooManyParts(pod) ? tooMany : { kind: 'pod', pod };
    }
    case 'secret':
      return readSecret(json, question.readAtMs);
  }
}

function readSecret(json: Buffer, readAtMs: number): ReadObject {
  try {
    return { kind: 'secret', secret: secretFromObject(JSON.parse(json.toString('utf8')), readAtMs) };
  } catch (error) {
    // The parser's own message quotes the text, which is a secret's.
    if (error instanceof SyntaxError) return { kind: 'problem', message: 'it is not JSON' };
    if (error instanceof ManifestError) return { kind: 'problem', message: error.message };
    throw error;
  }
}

const tooMany: ReadObject = {
  kind: 'problem',
  message: `a pod has more than ${MAX_PARTS} containers, image volumes and imagePullSecrets`,
};

function hasTooManyParts(pod: Pod | undefined): boolean {
  if (pod === undefined) return false;
  let parts = pod.imagePullSecrets.length;
  for (const { imageVolumes } of pod.containers) parts += 1 + imageVolumes.length;
  return parts > MAX_PARTS;
}
