import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Attack, claimedImage, MANIFEST } from './claimed-image.ts';
import { type BuiltImage, buildImage } from './image.ts';

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
      const { manifest, blobs } = claimedImage(attack, victim);
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

function portOf(server: Server): number {
  const address = server.address() satisfies AddressInfo | string | null;
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

/** The victim's image as it is pushed with this salt. */
export const victimImage = (salt: string): Promise<BuiltImage> => buildImage(salt);
