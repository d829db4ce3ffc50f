import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { compiledApp } from './compile.ts';
import { tarArchive } from './tar.ts';

/** A blob as a registry stores it. */
export interface Blob {
  mediaType: string;
  content: Buffer;
  /** `sha256:<hex>` of the content. */
  digest: string;
}

/** An image with one layer, ready to be pushed to any repository under the same digests. */
export interface BuiltImage {
  layer: Blob;
  /** Its digest is the image id (imageRef) that the runtime reports. */
  config: Blob;
  manifest: Blob;
}

export function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

function blob(mediaType: string, content: Buffer): Blob {
  return { mediaType, content, digest: digestOf(content) };
}

function descriptor({ mediaType, content, digest }: Blob): object {
  return { mediaType, size: content.length, digest };
}

/**
 * Builds an image that runs `/app` (and holds `/pause`, the same program).
 * @param salt makes the content differ: equal salts give equal digests.
 * @param layerSalt the same for the layer alone; images may share one.
 * @param stopSignal what the runtime stops the program with; it ends by SIGTERM, which is the default, only.
 */
export async function buildImage(
  salt: string,
  layerSalt = salt,
  stopSignal = 'SIGTERM',
): Promise<BuiltImage> {
  const app = await compiledApp();
  const tar = tarArchive([
    { path: 'app', content: app, mode: 0o755 },
    { path: 'pause', content: app, mode: 0o755 },
    { path: 'salt', content: Buffer.from(layerSalt), mode: 0o644 },
  ]);
  const layer = blob('application/vnd.docker.image.rootfs.diff.tar.gzip', gzipSync(tar));
  const config = blob(
    'application/vnd.docker.container.image.v1+json',
    Buffer.from(
      JSON.stringify({
        architecture: process.arch === 'x64' ? 'amd64' : process.arch,
        os: 'linux',
        config: {
          Entrypoint: ['/app'],
          Env: ['PATH=/'],
          Labels: { salt },
          ...(stopSignal === 'SIGTERM' ? {} : { StopSignal: stopSignal }),
        },
        rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
        history: [{ created: '1970-01-01T00:00:00Z', created_by: 'pullwarden lab' }],
        created: '1970-01-01T00:00:00Z',
      }),
    ),
  );
  const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
  const manifest = blob(
    mediaType,
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: descriptor(config),
        layers: [descriptor(layer)],
      }),
    ),
  );
  return { layer, config, manifest };
}
