import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { type Blob, type BuiltImage, buildImage } from '../../scripts/lab/image.ts';
import { type PushTarget, pushManifest } from '../../scripts/lab/push.ts';
import { tarArchive } from '../../scripts/lab/tar.ts';
import { type Front, forwardTo, startFront } from './front.ts';

/** An image whose program is in its lowest layer, with a second layer above that its registry may take its time for. */
export type SlowImage = BuiltImage & { readonly upper: Blob };

export async function buildSlowImage(salt: string): Promise<SlowImage> {
  const image = await buildImage(salt);
  const tar = tarArchive([{ path: 'upper', content: Buffer.from(salt), mode: 0o644 }]);
  const upper = blobOf(image.layer.mediaType, gzipSync(tar));
  const config: { rootfs: { diff_ids: string[] } } = JSON.parse(image.config.content.toString());
  const diffIds = [...config.rootfs.diff_ids, digestOf(tar)];
  const ownConfig = blobOf(
    image.config.mediaType,
    Buffer.from(
      JSON.stringify({ ...config, rootfs: { type: 'layers', diff_ids: diffIds }, history: undefined }),
    ),
  );
  const { mediaType } = image.manifest;
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: described(ownConfig),
    layers: [image.layer, upper].map(described),
  };
  return {
    layer: image.layer,
    upper,
    config: ownConfig,
    manifest: blobOf(mediaType, Buffer.from(JSON.stringify(manifest))),
  };
}

export function pushSlowImage(
  target: PushTarget,
  repository: string,
  { manifest, layer, upper, config }: SlowImage,
): Promise<void> {
  return pushManifest(target, repository, '1', manifest, [layer, upper, config]);
}

/** Stands before a real registry and holds what is asked for one blob until it is told to let it through. */
export type SlowFront = Front & {
  hold(digest: string): void;
  /** Requests that are held. */
  waiting(): number;
  release(): void;
};

export async function startSlowFront(target: string): Promise<SlowFront> {
  const front = await startFront(target);
  const onward = forwardTo(target);
  let held: string | undefined;
  let waiting: (() => void)[] = [];
  front.answer((incoming, response) => {
    if (held !== undefined && incoming.url?.includes(held)) waiting.push(() => onward(incoming, response));
    else onward(incoming, response);
  });
  return {
    ...front,
    hold(digest) {
      held = digest;
    },
    waiting: () => waiting.length,
    release() {
      held = undefined;
      const all = waiting;
      waiting = [];
      for (const answer of all) answer();
    },
  };
}

function blobOf(mediaType: string, content: Buffer): Blob {
  return { mediaType, content, digest: digestOf(content) };
}

function described({ mediaType, content, digest }: Blob): object {
  return { mediaType, size: content.length, digest };
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
