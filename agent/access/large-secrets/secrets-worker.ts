import { parentPort } from 'node:worker_threads';
import { lookup, makeKeyring } from '../../credentials/keyring.ts';
import { DockerConfigError } from '../../errors.ts';
import { asBuffers, letOthersGoFirst, type Numbered } from '../../fair-thread.ts';
import type { Found, LookupQuestion } from './messages.ts';

/** A thread that reads docker configs which would hold up the agent's own. */
if (parentPort === null) throw new Error('this is a worker thread of the agent');
const main = parentPort;
letOthersGoFirst();

main.on('message', ({ number, content: { secrets, repository } }: Numbered<LookupQuestion>) => {
  main.postMessage({ number, content: find(secrets, repository) } satisfies Numbered<Found>);
});

function find(secrets: LookupQuestion['secrets'], repository: string): Found {
  try {
    return {
      offered: lookup(
        makeKeyring(secrets.map((secret) => ({ ...secret, data: asBuffers(secret.data) }))),
        repository,
      ),
    };
  } catch (error) {
    if (error instanceof DockerConfigError) return { malformed: error.message };
    throw error;
  }
}
