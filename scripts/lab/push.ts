import { LabError } from './errors.ts';
import { type Blob, buildImage } from './image.ts';

/** What the lab's own requests call themselves, so that they can be told from the runtime's. */
export const labUserAgent = 'pullwarden-lab';

/** A registry as far as pushing needs it. */
export interface PushTarget {
  /** `127.0.0.1:PORT` */
  host: string;
  /** The Authorization header for pushing to a repository, if one is needed. */
  pushAuthorization(repository: string): string | undefined;
}

/** What a push made; both are `sha256:<hex>`. */
export interface PushedImage {
  manifestDigest: string;
  /** The image id (imageRef) that the runtime reports once it has pulled the image. */
  configDigest: string;
}

async function request(
  target: PushTarget,
  repository: string,
  method: string,
  url: string,
  expected: number[],
  body?: Blob,
): Promise<Response> {
  const headers = new Headers({ 'user-agent': labUserAgent });
  const authorization = target.pushAuthorization(repository);
  if (authorization !== undefined) headers.set('authorization', authorization);
  if (body !== undefined) {
    headers.set(
      'content-type',
      method === 'PUT' && url.includes('/manifests/') ? body.mediaType : 'application/octet-stream',
    );
  }
  const response = await fetch(url, {
    method,
    headers,
    body: body === undefined ? null : new Uint8Array(body.content),
  });
  const text = await response.text();
  if (!expected.includes(response.status)) {
    throw new LabError(`${method} ${url}: ${response.status} ${text.slice(0, 300)}`);
  }
  return response;
}

async function pushBlob(target: PushTarget, repository: string, blob: Blob): Promise<void> {
  const base = `http://${target.host}/v2/${repository}/blobs`;
  const head = await request(target, repository, 'HEAD', `${base}/${blob.digest}`, [200, 404]);
  if (head.status === 200) return;
  const upload = await request(target, repository, 'POST', `${base}/uploads/`, [202]);
  const location = new URL(upload.headers.get('location') ?? '', `http://${target.host}`);
  location.searchParams.set('digest', blob.digest);
  await request(target, repository, 'PUT', location.href, [201], blob);
}

/**
 * Pushes blobs, and a manifest of them under this tag.
 *
 * @throws {LabError} when the registry answers otherwise than the protocol says.
 */
export async function pushManifest(
  target: PushTarget,
  repository: string,
  tag: string,
  manifest: Blob,
  blobs: readonly Blob[],
): Promise<void> {
  for (const blob of blobs) await pushBlob(target, repository, blob);
  const url = `http://${target.host}/v2/${repository}/manifests/${tag}`;
  await request(target, repository, 'PUT', url, [201], manifest);
}

/**
 * Builds and pushes an image.
 * @param salt makes the content differ; equal salts give equal digests in every repository and registry.
 * `layerSalt` is the layer's alone. With another `stopSignal` than SIGTERM its containers do not end before
 * their grace does.
 * @throws {LabError} when the registry answers otherwise than the protocol says.
 */
export async function pushImage(
  target: PushTarget,
  repository: string,
  tag: string,
  {
    salt = 'plain',
    layerSalt = salt,
    stopSignal,
  }: { salt?: string; layerSalt?: string; stopSignal?: 'SIGUSR1' } = {},
): Promise<PushedImage> {
  const { layer, config, manifest } = await buildImage(salt, layerSalt, stopSignal);
  await pushManifest(target, repository, tag, manifest, [layer, config]);
  return { manifestDigest: manifest.digest, configDigest: config.digest };
}

/** Takes a manifest away from the registry again, by its digest; tags that meant it mean nothing then. */
export async function withdrawImage(target: PushTarget, repository: string, digest: string): Promise<void> {
  const url = `http://${target.host}/v2/${repository}/manifests/${digest}`;
  await request(target, repository, 'DELETE', url, [202]);
}
