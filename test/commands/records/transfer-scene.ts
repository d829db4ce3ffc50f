import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect } from 'vitest';
import { exportRecords } from '../../../agent/commands/records/export.ts';
import { importRecords } from '../../../agent/commands/records/import.ts';
import { credentialHash } from '../../../agent/credentials/credential-hash.ts';
import {
  formatPulledRecord,
  formatPullIntent,
  kubeletFileName,
} from '../../../agent/records/kubelet/format.ts';
import type { RecordStore } from '../../../agent/records/record-store.ts';
import { openRecordStore } from '../../../agent/records/sqlite/open.ts';
import type { ImagePullCredentials, ImagePulledRecord } from '../../../agent/records/types.ts';

export const captured = join(import.meta.dirname, '../../captures/kubelet-records');
export const IMAGE_REF = `sha256:${'a1'.repeat(32)}`;
export const OTHER_REF = `sha256:${'b2'.repeat(32)}`;
export const APP = 'reg.example/app';
export const TIME = Date.UTC(2026, 0, 2, 3, 4, 5);
export const plainHash = credentialHash({ username: 'alice', password: 'S3CRET', email: '' });

type ImportedFile = { file: string; result: string; reason?: string; emptyHashes?: number };

const scene: { folder: string; output: string; files: ImportedFile[] } = {
  folder: '',
  output: '',
  files: [],
};

/** A folder for each test of a file, and what its last command printed. */
export function useScene(): typeof scene {
  beforeEach(() => {
    scene.folder = mkdtempSync(join(tmpdir(), 'pullwarden-transfer-'));
  });
  afterEach(() => rmSync(scene.folder, { recursive: true, force: true }));
  return scene;
}

function print(text: string): void {
  scene.output = text;
  scene.files = JSON.parse(text);
}

export function importFrom(kubeletDir: string, state = 'state'): number {
  return importRecords({ stateDir: join(scene.folder, state) }, kubeletDir, { output: 'json', print });
}

export function exportTo(kubeletDir: string, podsDirectory?: string): Promise<number> {
  const config = {
    stateDir: join(scene.folder, 'state'),
    podsDirectory,
    kubeconfig: undefined,
    nodeName: 'node-a',
  };
  return exportRecords(config, kubeletDir, { output: 'json', print });
}

/** A kubelet's root directory with these files under image_manager/. */
export function kubelet(contents: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(scene.folder, 'kubelet-'));
  for (const part of ['pulled', 'pulling']) mkdirSync(join(root, 'image_manager', part), { recursive: true });
  for (const [name, text] of Object.entries(contents)) writeFileSync(join(root, 'image_manager', name), text);
  return root;
}

export function recordFile(fields: Partial<ImagePulledRecord> & { entry?: ImagePullCredentials }) {
  const imageRef = fields.imageRef ?? IMAGE_REF;
  const credentialMapping = new Map(fields.entry ? [[APP, fields.entry]] : []);
  const text = formatPulledRecord({ imageRef, lastUpdatedTime: TIME, credentialMapping, ...fields });
  return { [`pulled/${kubeletFileName(imageRef)}`]: text };
}

export function intentFile(image: string) {
  return { [`pulling/${kubeletFileName(image)}`]: formatPullIntent(image) };
}

export function secretOf(name: string, hash = plainHash) {
  return { namespace: 'team-a', name, uid: `uid-${name}`, credentialHash: hash };
}

/** The store as an agent that starts, or runs, sees it. */
export function withAgent<Result>(
  look: (store: RecordStore, keyedHash: (hash: string) => string) => Result,
  state = 'state',
): Result {
  const { store, keyedHash } = openRecordStore({ stateDir: join(scene.folder, state) });
  expect(store.degraded).toBeUndefined();
  try {
    return look(store, keyedHash);
  } finally {
    store.close();
  }
}

export function entryOf(store: RecordStore): ImagePullCredentials | undefined {
  return store.pulledRecord(IMAGE_REF)?.credentialMapping.get(APP);
}

export function manifest(name: string, password: string): string {
  const auth = Buffer.from(`alice:${password}`).toString('base64');
  const config = Buffer.from(JSON.stringify({ auths: { 'reg.example': { auth } } })).toString('base64');
  return JSON.stringify({
    kind: 'Secret',
    apiVersion: 'v1',
    metadata: { namespace: 'team-a', name, uid: `uid-${name}` },
    type: 'kubernetes.io/dockerconfigjson',
    data: { '.dockerconfigjson': config },
  });
}

export function tree(root: string): Record<string, string> {
  const paths = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((path) =>
    statSync(join(root, path)).isFile(),
  );
  return Object.fromEntries(paths.sort().map((path) => [path, readFileSync(join(root, path), 'utf8')]));
}
