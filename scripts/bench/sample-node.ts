import { createHash } from 'node:crypto';
import { openRecordStoreForImport } from '../../agent/records/sqlite/open.ts';
import type { ImagePulledRecord, ImagePullSecret } from '../../agent/records/types.ts';

/** Names of the n-th image and its m-th secret, as they are on a node. All are new strings at every call. */
export function imageOf(n: number): string {
  return `${trimmedImageOf(n)}:v1.${n % 97}.0`;
}

export function imageRefOf(n: number): string {
  return `sha256:${hex(`image ${n}`)}`;
}

export function secretOf(n: number, m: number): ImagePullSecret {
  const id = hex(`secret ${n} ${m}`);
  return {
    namespace: `tenant-${m % 50}-${n % 7}`,
    name: `registry-${m}`,
    uid: `${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20, 32)}`,
    credentialHash: hex(`hash ${n} ${m}`),
  };
}

function trimmedImageOf(n: number): string {
  return `registry-${n % 5}.example.com:5000/team-${n % 50}/service-${n}`;
}

/**
 * A state directory with the records of so many images, each good with so many secrets; the inventory is
 * taken.
 */
export function makeStateDirectory(stateDir: string, images: number, secrets: number): void {
  const { store } = openRecordStoreForImport(stateDir);
  store.takeInventory([]);
  const perBatch = Math.max(1, Math.floor(100_000 / secrets));
  for (let first = 0; first < images; first += perBatch) {
    const records: ImagePulledRecord[] = [];
    for (let n = first; n < Math.min(images, first + perBatch); n += 1) {
      const kubernetesSecrets = Array.from({ length: secrets }, (_, m) => secretOf(n, m));
      records.push({
        imageRef: imageRefOf(n),
        lastUpdatedTime: Date.now(),
        credentialMapping: new Map([[trimmedImageOf(n), { kubernetesSecrets }]]),
      });
    }
    store.importRecords({ records, intents: [], unreadableFiles: [] });
  }
  store.close();
}

function hex(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
