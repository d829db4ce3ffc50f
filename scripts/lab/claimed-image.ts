import { gzipSync } from 'node:zlib';
import { z } from 'zod';
import { type Blob, type BuiltImage, digestOf } from './image.ts';
import { type PushTarget, pushManifest } from './push.ts';
import { tarArchive } from './tar.ts';

/** What is claimed, and how little of it is served. */
export const ATTACKS = {
  manifestDigest: "answers HEAD for the victim's manifest digest, and serves nothing",
  configDigest: "serves a manifest that names the victim's config digest, and a made-up layer",
  diffIds: "serves a config with the victim's diff_ids, and no layer",
  diffIdsBelowTool: "serves a config with the victim's diff_ids and a tool layer on top, and only that",
  layerDigest: "serves a lowest layer of its own, and names the victim's layer digest above it",
} as const;

export type Attack = keyof typeof ATTACKS;
export const attacks: readonly Attack[] = [
  'manifestDigest',
  'configDigest',
  'diffIds',
  'diffIdsBelowTool',
  'layerDigest',
];

const CONFIG = 'application/vnd.docker.container.image.v1+json';
const LAYER = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
export const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';

/** The manifest of an attack, and the blobs that are served with it. */
export function claimedImage(
  attack: Attack,
  { config, layer }: BuiltImage,
): { manifest: Blob; blobs: readonly Blob[] } {
  const victims: unknown = JSON.parse(config.content.toString());
  const [diffId] = diffIdsOf(victims);
  const madeUp = { mediaType: LAYER, size: 1_234, digest: digestOf(Buffer.from(`made up for ${attack}`)) };
  const { blob: tool, diffId: toolDiffId } = layerOf('tool', attack);
  const own = (diffIds: readonly string[]) => ownConfig(config, attack, diffIds);
  switch (attack) {
    case 'diffIds': {
      const mine = own([diffId]);
      return { manifest: manifestOf(mine, [madeUp]), blobs: [mine] };
    }
    case 'diffIdsBelowTool': {
      const mine = own([diffId, toolDiffId]);
      return { manifest: manifestOf(mine, [madeUp, tool]), blobs: [mine, tool] };
    }
    case 'layerDigest': {
      const mine = own([toolDiffId, diffId]);
      return { manifest: manifestOf(mine, [tool, layer]), blobs: [mine, tool] };
    }
    default: {
      const layers = diffIdsOf(victims).map((of) => ({ ...madeUp, digest: digestOf(Buffer.from(of)) }));
      return { manifest: manifestOf(config, layers), blobs: [] };
    }
  }
}

/** A config of the attacker's own that tells these layers. */
function ownConfig(victims: Blob, attack: string, diffIds: readonly string[]): Blob {
  const told: unknown = JSON.parse(victims.content.toString());
  const config = {
    ...Object(told),
    config: { Entrypoint: ['/app'], Labels: { attack } },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: undefined,
  };
  return blob(CONFIG, Buffer.from(JSON.stringify(config)));
}

function layerOf(path: string, content: string): { readonly blob: Blob; readonly diffId: string } {
  const tar = tarArchive([{ path, content: Buffer.from(content), mode: 0o644 }]);
  return { blob: blob(LAYER, gzipSync(tar)), diffId: digestOf(tar) };
}

type Descriptor = { readonly mediaType: string; readonly size: number; readonly digest: string };

function manifestOf(config: Blob, layers: readonly (Descriptor | Blob)[]): Blob {
  const described = [config, ...layers].map((one) => ({
    mediaType: one.mediaType,
    size: 'content' in one ? one.content.length : one.size,
    digest: one.digest,
  }));
  const [first, ...rest] = described;
  return blob(
    MANIFEST,
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config: first, layers: rest })),
  );
}

function diffIdsOf(config: unknown): [string, ...string[]] {
  return withDiffIds.parse(config).rootfs.diff_ids;
}

const withDiffIds = z.object({
  rootfs: z.object({ diff_ids: z.tuple([z.string()], z.string()) }),
});

function blob(mediaType: string, content: Buffer): Blob {
  return { mediaType, content, digest: digestOf(content) };
}

/** What a tenant pushes beside the victim's image, to a registry that has all that it takes. */
export const SHARED_ATTACKS = {
  configBesideJunk: "pushes the victim's config with a layer of its own in the place of the victim's",
  diffIdsBesideJunk: "pushes a config with the victim's diff_ids and a layer of its own in its place",
  diffIdsBesideJunkBelowTool: 'the same with a tool layer on top',
} as const;

export type SharedAttack = keyof typeof SHARED_ATTACKS;
export const sharedAttacks: readonly SharedAttack[] = [
  'configBesideJunk',
  'diffIdsBesideJunk',
  'diffIdsBesideJunkBelowTool',
];

/** Pushes an image whose manifest does not name the layers that its config tells; gives the manifest's digest. */
export async function pushClaim(
  target: PushTarget,
  repository: string,
  tag: string,
  attack: SharedAttack,
  { config }: BuiltImage,
): Promise<string> {
  const [diffId] = diffIdsOf(JSON.parse(config.content.toString()));
  const junk = layerOf(`in the place of ${diffId}`, attack);
  const tool = layerOf('tool', attack);
  const layers = attack === 'diffIdsBesideJunkBelowTool' ? [junk, tool] : [junk];
  const diffIds = attack === 'diffIdsBesideJunkBelowTool' ? [diffId, tool.diffId] : [diffId];
  const named = attack === 'configBesideJunk' ? config : ownConfig(config, attack, diffIds);
  const blobs = layers.map(({ blob: layer }) => layer);
  const manifest = manifestOf(named, blobs);
  await pushManifest(target, repository, tag, manifest, [named, ...blobs]);
  return manifest.digest;
}
