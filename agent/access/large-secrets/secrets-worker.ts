import { parentPort } from 'node:worker_threads';
import { lookup, makeKeyring } from '../../credentials/keyring.ts';
import { DockerConfigError } from '../../errors.ts';
import type { Numbered } from '../../fair-thread.ts';
import type { Found, LookupQuestion } from './messages.ts';

/** A thread that reads docker configs which would hold up the agent's own. */
if (parentPort === null) throw new Error('this is a worker thread of the agent');
const main = parentPort;

main.on('message', ({ number, content: { secrets, repository } }: Numbered<LookupQuestion>) => {
  main.postMessage({ number, content: find(secrets, repository) } satisfies Numbered<Found>);
});

function find(secrets: LookupQuestion['secrets'], repository: string): Found {
  try {
    return { offered: lookup(makeKeyring(secrets.map(withBuffers)), repository) };
  } catch (error) {
    if (error instanceof DockerConfigError) return { malformed: error.message };
    throw error;
  }
}

/** A Buffer arrives as the plain bytes that it is. */
function withBuffers(secret: LookupQuestion['secrets'][number]): LookupQuestion['secrets'][number] {
  const data = [...secret.data].map(([key, { buffer, byteOffset, byteLength }]) => {
    return [key, Buffer.from(buffer, byteOffset, byteLength)] as const;
  });
  return { ...secret, data: new Map(data) };
}
