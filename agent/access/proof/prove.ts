import { describeSource } from '../../credentials/grant.ts';
import type { Name } from '../names.ts';
import type { PodCredential } from '../pod-credential.ts';
import type { PodCredentials, PodCredentialsReader } from '../pod-credentials.ts';
import type { AccessRequest } from '../request.ts';
import { type Allowed, allowed, denied, isOfThePod, unverifiable, type Verdict } from '../verdict.ts';
import type { Answer, Ask, NotGranted } from './question.ts';

/** How often a secret may change while it is being tried before the last answer counts. */
const MAX_ROUNDS = 3;
/** A tenant's secrets may hold thousands; each costs the registry some requests. */
const MAX_CREDENTIALS = 20;

/** What was found, and with which credential: the one that the registry's bytes may be asked for with. */
export type Proof = { readonly verdict: Verdict; readonly credential?: PodCredential | undefined };

/**
 * Proves a pod's right to one name of the content with all that it may pull with, or with just one
 * credential. A refusal, and what is the pod's own doing, counts only when its secrets are still what they
 * were: they are read again, from where they come from, first.
 */
export type Prove = (request: AccessRequest, name: Name, only?: PodCredential) => Promise<Proof>;

export function createProve(readCredentials: PodCredentialsReader, ask: Ask): Prove {
  const read = ({ pod }: AccessRequest, { repository }: Name, fresh: boolean) =>
    readCredentials(pod, repository, { fresh });

  return async (request, name, only) => {
    let found = await read(request, name, false);
    if ('verdict' in found && isOfThePod(found)) found = await read(request, name, true);
    for (let round = 1; ; round += 1) {
      if ('verdict' in found) return { verdict: found };
      const credentials = only ? [only] : found.credentials;
      const { answer, credential } = await askForEach(ask, request, name, credentials);
      if (answer.answer === 'granted')
        return { verdict: grantedVerdict(answer, name, credential), credential };
      if (answer.answer === 'unverifiable') {
        const verdict = unverifiable(answer.reason, answer.message);
        if (!isOfThePod(verdict)) return { verdict };
      }
      const again = await read(request, name, true);
      if ('verdict' in again) return { verdict: again };
      if (only || again.version === found.version || round === MAX_ROUNDS) {
        return { verdict: notGranted(answer, name, again, credentials.length) };
      }
      found = again;
    }
  };
}

type Asked = { readonly answer: Answer; readonly credential: PodCredential | undefined };

/** In kubelet's order, until one is granted. None at all is tried anonymously. */
async function askForEach(
  ask: Ask,
  request: AccessRequest,
  name: Name,
  credentials: readonly PodCredential[],
): Promise<Asked> {
  const attempts = credentials.length > 0 ? credentials.slice(0, MAX_CREDENTIALS) : [undefined];
  const failures: NotGranted[] = [];
  for (const credential of attempts) {
    const answer = await ask({
      name,
      imageRef: request.imageRef,
      credential,
      namespace: request.pod.namespace,
      podSandboxId: request.podSandboxId,
      urgent: request.urgent,
    });
    if (answer.answer === 'granted') return { answer, credential };
    failures.push(answer);
  }
  // A credential that could not be tried might have been granted: only when all were refused is it a refusal.
  const open = failures.find(({ answer }) => answer === 'unverifiable');
  if (open === undefined && attempts.length < credentials.length) {
    return { answer: tooManyCredentials, credential: undefined };
  }
  return { answer: open ?? failures[0] ?? tooManyCredentials, credential: undefined };
}

function grantedVerdict(
  { to, message }: Extract<Answer, { answer: 'granted' }>,
  name: Name,
  credential: PodCredential | undefined,
): Allowed {
  if (to === 'runtime') return allowed('grantedByRuntime', message);
  const reason = credential?.source.kind === 'node' ? 'nodeCredentials' : 'repullSucceeded';
  return allowed(
    reason,
    `the registry granted ${name.repository} ${credential ? describeSource(credential.source) : 'to everybody'}`,
  );
}

function notGranted(answer: NotGranted, name: Name, read: PodCredentials, tried: number): Verdict {
  if (answer.answer === 'unverifiable') return unverifiable(answer.reason, answer.message);
  // What a source that could not be asked would have offered might have been granted.
  if (read.problem) return read.problem;
  const how =
    tried === 0
      ? 'anonymously (nothing that this pod has matches)'
      : `with ${tried === 1 ? 'the credential' : `${tried} credentials`} of the pod`;
  const absent =
    read.missing.length > 0 ? `; imagePullSecrets that do not exist: ${read.missing.join(', ')}` : '';
  const message = `the registry refused ${name.repository} ${how}${absent}: ${answer.message}`;
  return denied('registryRefused', message, { tried, configured: read.imagePullSecrets });
}

const tooManyCredentials: NotGranted = {
  answer: 'unverifiable',
  reason: 'tooManyCredentials',
  message: `the registry refused the first ${MAX_CREDENTIALS} credentials, and the pod has more`,
};
