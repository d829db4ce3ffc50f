import type { RecordStore } from '../../records/record-store.ts';
import type { Grantee } from '../../records/types.ts';
import type { PodCredential } from '../pod-credential.ts';

export type RevokingStore = Pick<RecordStore, 'pulledRecord' | 'revoke'>;

/** Whose grants of which image under which name. */
export type Place = { readonly imageRef: string; readonly trimmedImage: string };

/**
 * A registry refuses what it once granted to this credential: its source leaves the record, and with it every
 * secret that the record knows to hold the very same credential.
 *
 * @throws RecordStoreError
 */
export function revokeCredential(store: RevokingStore, place: Place, { source, key }: PodCredential): void {
  const { imageRef, trimmedImage } = place;
  const secrets = store.pulledRecord(imageRef)?.credentialMapping.get(trimmedImage)?.kubernetesSecrets ?? [];
  const same = secrets.filter(({ credentialHash }) => credentialHash !== '' && credentialHash === key);
  for (const { namespace, name, uid } of same) {
    store.revoke(imageRef, trimmedImage, { kind: 'kubernetesSecret', namespace, name, uid });
  }
  const grantee = granteeOf(source);
  if (grantee) store.revoke(imageRef, trimmedImage, grantee);
}

/** What the node has is every pod's, and is withdrawn only where nobody is granted it without it either. */
function granteeOf(source: PodCredential['source']): Grantee | undefined {
  if (source.kind === 'node') return undefined;
  const { namespace, name, uid } = source;
  const kind = source.kind === 'secret' ? 'kubernetesSecret' : 'kubernetesServiceAccount';
  return { kind, namespace, name, uid };
}
