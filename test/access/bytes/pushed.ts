import { createHash } from 'node:crypto';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import type { ImagePieces } from '../../../agent/runtime/runtime.ts';
import type { PushTarget } from '../../../scripts/lab/push.ts';
import { tarArchive } from '../../../scripts/lab/tar.ts';

export type Packing = 'gzip' | 'zstd' | 'plain';

const OCI = 'application/vnd.oci.image';
const TYPES: Readonly<Record<Packing, string>> = {
  gzip: `${OCI}.layer.v1.tar+gzip`,
  zstd: `${OCI}.layer.v1.tar+zstd`,
  plain: `${OCI}.layer.v1.tar`,
};

/** A layer of so many bytes or a few more, by a word that makes its content differ. */
export type LayerWanted = { readonly word: string; readonly packing?: Packing; readonly bytes?: number };

export type Pushed = {
  readonly repository: string;
  /** Of what the name leads to: the manifest, or the index around it. */
  readonly digest: string;
  readonly pieces: ImagePieces;
  /** Blob digests by piece. */
  readonly blobs: ReadonlyMap<string, string>;
};

type Manifest = { readonly mediaType: string; readonly [field: string]: unknown };

/** Pushes an image of these layers to a real registry, in an index with another platform where asked. */
export async function pushLayers(
  target: PushTarget,
  path: string,
  layers: readonly LayerWanted[],
  { inIndex = false }: { inIndex?: boolean } = {},
): Promise<Pushed> {
  const built = layers.map(({ word, packing = 'gzip', bytes = 1_000 }) => {
    const noise = createHash('shake256', { outputLength: bytes }).update(word).digest();
    const tar = tarArchive([{ path: word, content: noise, mode: 0o644 }]);
    return { diffId: digestOf(tar), blob: packed(tar, packing), mediaType: TYPES[packing] };
  });
  const diffIds = built.map(({ diffId }) => diffId);
  const config = Buffer.from(JSON.stringify({ os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } }));
  for (const { blob } of built) await pushBlob(target, path, blob);
  await pushBlob(target, path, config);
  const manifest = {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config: described(config, `${OCI}.config.v1+json`),
    layers: built.map(({ blob, mediaType }) => described(blob, mediaType)),
  };
  const pushed = await pushManifest(target, path, manifest);
  const pieces = { config: digestOf(config), layers: diffIds };
  const blobs = new Map([...built.map(({ diffId, blob }) => [diffId, digestOf(blob)] as const)]);
  blobs.set(pieces.config, pieces.config);
  const repository = `${target.host}/${path}`;
  if (!inIndex) return { repository, digest: pushed.digest, pieces, blobs };
  const other = await pushManifest(target, path, { ...manifest, layers: [] });
  const index = await pushManifest(target, path, {
    schemaVersion: 2,
    mediaType: `${OCI}.index.v1+json`,
    manifests: [
      { ...other, platform: { os: 'linux', architecture: 's390x' } },
      { ...pushed, platform: { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : process.arch } },
    ],
  });
  return { repository, digest: index.digest, pieces, blobs };
}

function packed(tar: Buffer, packing: Packing): Buffer {
  if (packing === 'plain') return tar;
  return packing === 'gzip' ? gzipSync(tar) : zstdCompressSync(tar);
}

function described(content: Buffer, mediaType: string) {
  return { mediaType, size: content.length, digest: digestOf(content) };
}

async function pushManifest(target: PushTarget, path: string, manifest: Manifest) {
  const content = Buffer.from(JSON.stringify(manifest));
  const descriptor = described(content, manifest.mediaType);
  const url = `http://${target.host}/v2/${path}/manifests/${descriptor.digest}`;
  await send(target, path, 'PUT', url, content, manifest.mediaType);
  return descriptor;
}

async function pushBlob(target: PushTarget, path: string, content: Buffer): Promise<void> {
  const begun = await send(target, path, 'POST', `http://${target.host}/v2/${path}/blobs/uploads/`);
  const location = new URL(begun.headers.get('location') ?? '', `http://${target.host}`);
  location.searchParams.set('digest', digestOf(content));
  await send(target, path, 'PUT', location.href, content);
}

async function send(
  target: PushTarget,
  path: string,
  method: string,
  url: string,
  content?: Buffer,
  mediaType = 'application/octet-stream',
): Promise<Response> {
  const headers = new Headers({ 'content-type': mediaType, 'user-agent': 'pullwarden-lab' });
  const authorization = target.pushAuthorization(path);
  if (authorization !== undefined) headers.set('authorization', authorization);
  const body = content === undefined ? null : new Uint8Array(content);
  const response = await fetch(url, { method, headers, body });
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${await response.text()}`);
  return response;
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
