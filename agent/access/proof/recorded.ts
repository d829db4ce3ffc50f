import { grantOf } from '../../credentials/grant.ts';
import { RecordStoreError } from '../../errors.ts';
import type { RecordStore } from '../../records/record-store.ts';
import type { RuntimeGrants } from '../runtime-grants.ts';
import type { Ask } from './question.ts';

/**
 * Writes down who was granted what, under the source of the credential, as kubelet does after a pull
 * (image_manager.go, EnsureImageExists). A record that cannot be written costs another question next time; it
 * must not cost the verdict.
 */
export function recorded(
  ask: Ask,
  store: Pick<RecordStore, 'recordGranted'>,
  runtimeGrants: Pick<RuntimeGrants, 'add'>,
  onRecordStoreError: (error: RecordStoreError) => void,
): Ask {
  return async (question) => {
    const answer = await ask(question);
    if (answer.answer !== 'granted') return answer;
    const { name, imageRef, credential, namespace } = question;
    if (answer.to === 'runtime') {
      runtimeGrants.add({ namespace, imageRef, repository: name.repository });
      return answer;
    }
    try {
      store.recordGranted(
        name.image,
        imageRef,
        grantOf(credential && { ...credential, credentialHash: credential.key }),
      );
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      onRecordStoreError(error);
    }
    return answer;
  };
}
