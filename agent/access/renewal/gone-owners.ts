import { RecordStoreError } from '../../errors.ts';
import type { RecordStore } from '../../records/record-store.ts';
import type { Grantee } from '../../records/types.ts';
import type { Pace } from './pace.ts';

type Owner = Extract<Grantee, { readonly uid: string }>;

/**
 * The uid that something of this name has now; undefined: there is none. `unknown`: this agent cannot tell,
 * or may not.
 */
export type UidNow = (owner: Pick<Owner, 'namespace' | 'name'>) => Promise<string | undefined | 'unknown'>;

export type GoneOwnersOptions = {
  readonly store: Pick<RecordStore, 'listGrants' | 'forgetOwner' | 'refresh'>;
  readonly secretUid: UidNow;
  readonly serviceAccountUid: UidNow;
  readonly pace: Pace;
  readonly onForgotten: (owner: Owner, grants: number) => void;
  readonly onRecordStoreError: (error: RecordStoreError) => void;
};

/**
 * Looks once for every secret and service account on record, and forgets what was granted to those that are
 * gone: by themselves, with their namespace, or for another one of the same name.
 */
export async function forgetGoneOwners(options: GoneOwnersOptions): Promise<void> {
  const { store, pace } = options;
  store.refresh();
  for (const owner of ownersIn(store)) {
    if (!(await pace.turn())) return;
    const uidOf = owner.kind === 'kubernetesSecret' ? options.secretUid : options.serviceAccountUid;
    const uid = await uidOf(owner);
    if (uid === 'unknown' || uid === owner.uid) continue;
    try {
      options.onForgotten(owner, store.forgetOwner(owner));
    } catch (error) {
      if (!(error instanceof RecordStoreError)) throw error;
      options.onRecordStoreError(error);
    }
  }
}

function ownersIn(store: Pick<RecordStore, 'listGrants'>): readonly Owner[] {
  const owners = new Map<string, Owner>();
  for (const { grantee } of store.listGrants()) {
    if (!('uid' in grantee)) continue;
    const { kind, namespace, name, uid } = grantee;
    owners.set(JSON.stringify([kind, namespace, name, uid]), { kind, namespace, name, uid });
  }
  return [...owners.values()];
}
