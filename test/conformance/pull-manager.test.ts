import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkAccess } from '../../agent/access/check.ts';
import { makePolicy, type VerificationPolicyName } from '../../agent/access/policy.ts';
import { openDatabaseFile } from '../../agent/records/database.ts';
import { migrate, RECORD_MIGRATIONS } from '../../agent/records/migrations.ts';
import { SqliteRecordStore } from '../../agent/records/sqlite-store.ts';
import type { RecordStore } from '../../agent/records/store.ts';
import type {
  ImagePullCredentials,
  ImagePullSecret,
  ImagePullServiceAccount,
  PresentImage,
} from '../../agent/records/types.ts';

/**
 * Sequences recorded from kubelet v1.36.2's image pull manager (PULL_MANAGER_VECTORS names another file of the
 * same kind). Kubelet takes no inventory, so none is taken here.
 */
type Operation =
  | { op: 'intent' | 'failed'; image: string }
  | { op: 'pulled'; image: string; imageRef: string; credentials: ImagePullCredentials }
  | {
      op: 'check';
      image: string;
      imageRef?: string;
      podSecrets?: ImagePullSecret[];
      podServiceAccount?: ImagePullServiceAccount;
      mustPull: boolean;
    }
  | { op: 'prune'; images: string[] | null }
  | {
      op: 'restart';
      present: { id: string; repoTags: string[] | null; repoDigests: string[] | null }[] | null;
    };

type Sequence = {
  name: string;
  policy: VerificationPolicyName;
  allowlist?: string[];
  ops: Operation[];
  finalRecords: { imageRef: string; credentialMapping: Record<string, ImagePullCredentials> }[] | null;
  finalIntents: string[] | null;
};

const vectors = process.env.PULL_MANAGER_VECTORS ?? join(import.meta.dirname, 'pull-manager.json');
// The recording is the contract; a sequence that is not of this shape fails its test.
const sequences = JSON.parse(readFileSync(vectors, 'utf8')) as Sequence[];

let folder: string;
let store: RecordStore;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pullwarden-conformance-'));
  store = open();
});

afterEach(() => {
  store.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(): RecordStore {
  const db = openDatabaseFile(join(folder, 'records.db'), 'FULL');
  migrate(db, RECORD_MIGRATIONS);
  return new SqliteRecordStore(db);
}

describe('records and decisions are what kubelet v1.36.2 keeps and decides', () => {
  it.each(sequences)('$name ($policy)', (sequence) => {
    const policy = makePolicy(sequence.policy, sequence.allowlist);

    for (const [step, operation] of sequence.ops.entries()) {
      switch (operation.op) {
        case 'intent':
          store.recordPullIntent(operation.image);
          break;
        case 'pulled':
          store.recordImagePulled(operation.image, operation.imageRef, operation.credentials);
          break;
        case 'failed':
          store.recordImagePullFailed(operation.image);
          break;
        case 'prune':
          store.pruneUnknownRecords(operation.images ?? [], Date.now() + 1);
          break;
        case 'restart':
          store.close();
          store = open();
          store.reconcilePullIntents((operation.present ?? []).map(presentImage));
          break;
        case 'check': {
          const { image, imageRef = '', podSecrets = [], podServiceAccount } = operation;
          const podCredentials = {
            secrets: podSecrets,
            ...(podServiceAccount && { serviceAccount: podServiceAccount }),
          };
          let check = checkAccess(store, policy, { image, imageRef });
          if (check.result === 'needsPodCredentials') {
            check = checkAccess(store, policy, { image, imageRef }, podCredentials);
          }
          expect({ step, mustPull: check.result === 'mustAuthenticate' || check.result === 'error' }).toEqual(
            {
              step,
              mustPull: operation.mustPull,
            },
          );
          if (check.result === 'credentialRecordFound' && check.learn) {
            store.mergeCredentials(image, imageRef, check.learn);
          }
        }
      }
    }

    const { finalRecords, finalIntents } = sequence;
    expect(recordsOf(store)).toEqual(finalRecords ?? []);
    expect(store.listPullIntents()).toEqual(finalIntents ?? []);
    // What memory says is what the disk says.
    store.close();
    store = open();
    expect(recordsOf(store)).toEqual(finalRecords ?? []);
    expect(store.listPullIntents()).toEqual(finalIntents ?? []);
  });
});

function presentImage(image: {
  id: string;
  repoTags: string[] | null;
  repoDigests: string[] | null;
}): PresentImage {
  return { id: image.id, repoTags: image.repoTags ?? [], repoDigests: image.repoDigests ?? [] };
}

function recordsOf(from: RecordStore): object[] {
  return from.listPulledRecords().map(({ imageRef, credentialMapping }) => ({
    credentialMapping: Object.fromEntries(credentialMapping),
    imageRef,
  }));
}
