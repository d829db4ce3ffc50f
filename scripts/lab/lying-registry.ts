import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { z } from 'zod';
import { type Blob, type BuiltImage, buildImage } from './image.ts';
import { tarArchive } from './tar.ts';

/**
 * A registry of a tenant's own, which claims what it does not have: raw HTTP, because no real registry
 * would.
 */
export type LyingRegistry = {
  readonly host: string;
  /** Every request that came, with the Authorization header that came with it. */
  requests(): readonly { readonly line: string; readonly authorization: string | undefined }[];
  /** Claims an image under `tenant/ATTACK:1`; gives the manifest's digest. */
  claim(
    attack: Attack,
    victim: BuiltImage,
  ): Promise<{ readonly repository: string; readonly digest: string }>;
  close(): Promise<void>;
};

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
const MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';

/** As a registry says it: any other 404 would pass for a proxy's, and be no answer. */
const UNKNOWN = JSON.stringify({ errors: [{ code: 'BLOB_UNKNOWN', message: 'unknown' }] });

type Served = { readonly type: string; readonly size: number; readonly content: Buffer | undefined };

export async function startLyingRegistry(): Promise<LyingRegistry> {
  const served = new Map<string, Served>();
  const requests: { line: string; authorization: string | undefined }[] = [];
  const server = createServer(({ method = '', url = '', headers }, response) => {
    requests.push({ line: `${method} ${url}`, authorization: headers.authorization });
    const [path = ''] = url.split('?');
    if (path === '/v2/') return void response.writeHead(200).end();
    const what = served.get(path);
    if (what === undefined || (method === 'GET' && what.content === undefined))
      return void response.writeHead(404, { 'content-type': 'application/json' }).end(UNKNOWN);
    const digest = path.split('/').at(-1)?.startsWith('sha256:') ? path.split('/').at(-1) : undefined;
    response.writeHead(200, {
      'content-type': what.type,
      'content-length': what.size,
      'docker-content-digest': digest ?? served.get(`${path} digest`)?.type ?? '',
    });
    response.end(method === 'GET' ? what.content : undefined);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${portOf(server)}`;

  function serveManifest(
    repository: string,
    digest: string,
    size: number,
    content: Buffer | undefined,
  ): void {
    const manifest = { type: MANIFEST, size, content };
    served.set(`/v2/${repository}/manifests/${digest}`, manifest);
    served.set(`/v2/${repository}/manifests/1`, manifest);
    served.set(`/v2/${repository}/manifests/1 digest`, { type: digest, size: 0, content: undefined });
  }

  return {
    host,
    requests: () => requests,
    async claim(attack, victim) {
      const repository = `tenant/${attack.toLowerCase()}`;
      if (attack === 'manifestDigest') {
        const { digest, content } = victim.manifest;
        serveManifest(repository, digest, content.length, undefined);
        return { repository, digest };
      }
      const { manifest, blobs } = imageOf(attack, victim);
      for (const blob of blobs) {
        const { content, digest } = blob;
        served.set(`/v2/${repository}/blobs/${digest}`, {
          type: 'application/octet-stream',
          size: content.length,
          content,
        });
      }
      serveManifest(repository, manifest.digest, manifest.content.length, manifest.content);
      return { repository, digest: manifest.digest };
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The manifest of an attack, and the blobs that are served with it. */
function imageOf(attack: Attack, { config, layer }: BuiltImage): { manifest: Blob; blobs: readonly Blob[] } {
  const victims: unknown = JSON.parse(config.content.toString());
  const [diffId] = diffIdsOf(victims);
  const madeUp = { mediaType: LAYER, size: 1_234, digest: digestOf(Buffer.from(`made up for ${attack}`)) };
  const tar = tarArchive([{ path: 'tool', content: Buffer.from(attack), mode: 0o644 }]);
  const tool = blob(LAYER, gzipSync(tar));
  const own = (diffIds: readonly string[]) =>
    blob(
      CONFIG,
      Buffer.from(
        JSON.stringify({
          ...Object(victims),
          config: { Entrypoint: ['/app'], Labels: { attack } },
          rootfs: { type: 'layers', diff_ids: diffIds },
          history: undefined,
        }),
      ),
    );
  switch (attack) {
    case 'diffIds': {
      const mine = own([diffId]);
      return { manifest: manifestOf(mine, [madeUp]), blobs: [mine] };
    }
    case 'diffIdsBelowTool': {
      const mine = own([diffId, digestOf(tar)]);
      return { manifest: manifestOf(mine, [madeUp, tool]), blobs: [mine, tool] };
    }
    case 'layerDigest': {
      const mine = own([digestOf(tar), diffId]);
      return { manifest: manifestOf(mine, [tool, layer]), blobs: [mine, tool] };
    }
    default: {
      const layers = diffIdsOf(victims).map((of) => ({ ...madeUp, digest: digestOf(Buffer.from(of)) }));
      return { manifest: manifestOf(config, layers), blobs: [] };
    }
  }
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

function digestOf(content: Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

function blob(mediaType: string, content: Buffer): Blob {
  return { mediaType, content, digest: digestOf(content) };
}

function portOf(server: Server): number {
  const address = server.address() satisfies AddressInfo | string | null;
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

/** The victim's image as it is pushed with this salt. */
export const victimImage = (salt: string): Promise<BuiltImage> => buildImage(salt);
