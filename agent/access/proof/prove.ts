import type { Name } from '../names.ts';
import type { PodCredential, PodCredentialsReader } from '../pod-credentials.ts';
import type { AccessRequest } from '../request.ts';
import { allowed, denied, isOfThePod, unverifiable, type Verdict } from '../verdict.ts';
import type { Repuller } from './repull.ts';

/** How often a secret may change while it is being tried before the last answer counts. */
const MAX_ROUNDS = 3;

export type ProveOptions = { readonly readCredentials: PodCredentialsReader; readonly repull: Repuller };

/**
 * Asks the registry for one name of the content with all that the pod has, or with just one credential. A refusal,
 * and what is the pod's own doing, counts only when the secrets are still what they were: they are read again, from
 * where they come from, first.
 */
export type Prove = (request: AccessRequest, name: Name, only?: PodCredential) => Promise<Verdict>;

export function createProve({ readCredentials, repull }: ProveOptions): Prove {
  const readAgain = (request: AccessRequest, name: Name) =>
    readCredentials(request.pod, name.repository, { fresh: true });

  return async (request, name, only) => {
    let read = await readCredentials(request.pod, name.repository);
    if ('verdict' in read && isOfThePod(read)) read = await readAgain(request, name);
    for (let round = 1; ; round += 1) {
      if ('verdict' in read) return read;
      const credentials = only ? [only] : read.credentials;
      const answer = await repull({ name, imageRef: request.imageRef, credentials, urgent: request.urgent });
      if (answer.answer === 'granted') {
        return allowed('repullSucceeded', `the registry granted ${name.repository} to this pod`);
      }
      const verdict = answer.answer === 'refused' ? undefined : unverifiable(answer.reason, answer.message);
      if (verdict && !isOfThePod(verdict)) return verdict;
      const again = await readAgain(request, name);
      if ('verdict' in again) return again;
      if (only || again.version === read.version || round === MAX_ROUNDS) {
        if (verdict) return verdict;
        return denied('registryRefused', refusal(name, credentials.length, again.missing, answer.message));
      }
      read = again;
    }
  };
}

function refusal(name: Name, tried: number, missing: readonly string[], answer: string): string {
  const how =
    tried === 0 ? 'anonymously (no credentials of the pod match)' : `with ${tried} credential(s) of the pod`;
  const absent = missing.length > 0 ? `; imagePullSecrets that do not exist: ${missing.join(', ')}` : '';
  return `the registry refused ${name.repository} ${how}${absent}: ${answer}`;
}
