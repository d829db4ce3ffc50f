import { RecordStoreError, RuntimeError } from '../../errors.ts';
import { trimImageName } from '../../image/reference.ts';
import type { RecordStore } from '../../records/record-store.ts';
import type { Grant } from '../../records/types.ts';
import type { Runtime, RuntimeImage } from '../../runtime/runtime.ts';
import { type Name, namesOfContent } from '../names.ts';
import type { PodCredential } from '../pod-credential.ts';
import type { PodCredentialsReader } from '../pod-credentials.ts';
import type { Ask } from '../proof/question.ts';
import { credentialsAtHand, type PodsOf } from './at-hand.ts';
import type { Renewed } from './due.ts';
import { revokeCredential } from './revoke.ts';

export type RenewParts = {
  readonly store: Pick<RecordStore, 'pulledRecord' | 'revoke' | 'forgetOwner'>;
  readonly runtime: Pick<Runtime, 'imageStatus'>;
  readonly readCredentials: PodCredentialsReader;
  readonly podsOf: PodsOf;
  /** Writes down what is granted. */
  readonly ask: Ask;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
};

/** Asks again about one grant on record, and takes it away when the registry refuses it. Never throws. */
export type Renew = (grant: Grant) => Promise<Renewed>;

export function createRenew(parts: RenewParts): Renew {
  const { store, runtime, readCredentials, podsOf, ask } = parts;

  function attempt(write: () => void): void {
    try {
      write();
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      parts.onRecordStoreError(error);
    }
  }

  async function askForEach(
    name: Name,
    { imageRef, grantee }: Grant,
    credentials: readonly (PodCredential | undefined)[],
  ): Promise<'granted' | 'refused' | 'unverifiable'> {
    let isOpen = false;
    for (const credential of credentials) {
      const namespace = 'namespace' in grantee ? grantee.namespace : '';
      const question = { name, imageRef, credential, namespace, podSandboxId: undefined, urgent: false };
      const { answer } = await ask(question);
      if (answer === 'granted') return answer;
      isOpen ||= answer === 'unverifiable';
    }
    return isOpen ? 'unverifiable' : 'refused';
  }

  async function renew(grant: Grant): Promise<Renewed> {
    const { imageRef, trimmedImage, grantee } = grant;
    const listed = await runtime.imageStatus(imageRef);
    if (listed === undefined) return 'gone';
    const name = nameOf(trimmedImage, listed);
    if (name === undefined) return 'notAtHand';
    const { repository } = name;
    const atHand = await credentialsAtHand({ grantee, imageRef, repository }, { readCredentials, podsOf });
    if (atHand === 'gone' && 'uid' in grantee) attempt(() => store.forgetOwner(grantee));
    if (typeof atHand === 'string') return atHand;
    if ('verdict' in atHand) return 'unverifiable';
    const said = await askForEach(name, grant, atHand.credentials);
    if (said !== 'refused') return said;
    attempt(() => store.revoke(imageRef, trimmedImage, grantee));
    for (const credential of atHand.credentials) {
      if (credential) attempt(() => revokeCredential(store, { imageRef, trimmedImage }, credential));
    }
    return 'refused';
  }

  return async (grant) => {
    try {
      return await renew(grant);
    } catch (error) {
      if (error instanceof RuntimeError) return 'unverifiable';
      throw error;
    }
  };
}

/** A record has the name without tag and digest; a registry is asked for what the runtime lists under it. */
function nameOf(trimmedImage: string, { repoTags, repoDigests }: RuntimeImage): Name | undefined {
  const listed = [...repoTags, ...repoDigests].find((name) => trimImageName(name) === trimmedImage);
  if (listed === undefined) return undefined;
  const names = namesOfContent(listed, { repoTags, repoDigests });
  return names.kind === 'spec' ? names.name : undefined;
}
