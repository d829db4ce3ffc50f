import { status as grpc, Metadata } from '@grpc/grpc-js';
import { z } from 'zod';
import { type CriChannel, grpcStatus } from './cri-channel.ts';
import { listContentMethod, readContentMethod } from './cri-proto.ts';
import type { BlobsOfPieces, PulledBlob } from './runtime.ts';

/** The namespace that containerd's CRI plugin works in. */
const NAMESPACE = 'k8s.io';
/** Asked for one by one up to here; containerd compares each with all of its content. */
const MAX_FILTERS = 100;

/** containerd writes the digest of the unpacked layer here, once it has unpacked the blob (core/unpack). */
const UNCOMPRESSED = 'containerd.io/uncompressed';
/** And here, by host name and without a port, the repositories that a blob was pulled for. */
const SOURCE = 'containerd.io/distribution.source.';

const listContentResponse = z.object({
  info: z.array(z.object({ digest: z.string(), labels: z.record(z.string(), z.string()) })),
});

const readContentResponse = z.object({ data: z.instanceof(Uint8Array) });

type Content = z.output<typeof listContentResponse>['info'][number];

/**
 * The blobs that hold these pieces, and which pulls have had them in their hands, by containerd's own notes.
 * A pull labels each blob with its source before any other pull may go on with that blob, and with its
 * diff_id before any other may go on with the snapshot: both under containerd's duplication suppressor
 * (core/unpack/unpacker.go; pkg/cri, 1.6). So whoever uses a blob that another pull fetched finds that one's
 * name on it, though its image is not listed yet, or never will be.
 *
 * @throws RuntimeError
 */
export async function readBlobsOfPieces(
  channel: Pick<CriChannel, 'collect'>,
  pieces: readonly string[],
  timeoutMs: number,
): Promise<BlobsOfPieces | undefined> {
  const filters = pieces.length <= MAX_FILTERS ? pieces.flatMap(filtersOf) : [];
  try {
    const answers = await channel.collect(
      listContentMethod,
      { filters },
      inNamespace(),
      listContentResponse,
      timeoutMs,
    );
    return blobsBy(
      new Set(pieces),
      answers.flatMap(({ info }) => info),
    );
  } catch (error) {
    if (grpcStatus(error)?.code === grpc.UNIMPLEMENTED) return undefined;
    throw error;
  }
}

/**
 * A blob of containerd's content store; undefined where it has none of this digest, or one with more bytes.
 *
 * @throws RuntimeError
 */
export async function readBlob(
  channel: Pick<CriChannel, 'collect'>,
  digest: string,
  maxBytes: number,
  timeoutMs: number,
): Promise<Buffer | undefined> {
  // A size past the end is cut to what there is (plugins/services/content/contentserver, Read).
  const request = { digest, size: maxBytes + 1 };
  try {
    const parts = await channel.collect(
      readContentMethod,
      request,
      inNamespace(),
      readContentResponse,
      timeoutMs,
    );
    const blob = Buffer.concat(parts.map(({ data }) => data));
    return blob.byteLength > maxBytes ? undefined : blob;
  } catch (error) {
    if (grpcStatus(error)?.code === grpc.NOT_FOUND) return undefined;
    throw error;
  }
}

function inNamespace(): Metadata {
  const metadata = new Metadata();
  metadata.set('containerd-namespace', NAMESPACE);
  return metadata;
}

/** A config is found by its own digest, a layer by that of what it unpacks to. */
function filtersOf(piece: string): string[] {
  return [`digest=="${piece}"`, `labels."${UNCOMPRESSED}"=="${piece}"`];
}

function blobsBy(wanted: ReadonlySet<string>, content: readonly Content[]): BlobsOfPieces {
  const blobs = new Map<string, PulledBlob[]>();
  for (const { digest, labels } of content) {
    const blob = { digest, pulledFor: sourcesOf(labels) };
    for (const piece of new Set([digest, labels[UNCOMPRESSED] ?? digest])) {
      if (wanted.has(piece)) blobs.set(piece, [...(blobs.get(piece) ?? []), blob]);
    }
  }
  return blobs;
}

/** `docker.io/library/busybox`, as many as there are. */
function sourcesOf(labels: Content['labels']): string[] {
  return Object.entries(labels).flatMap(([label, repositories]) => {
    if (!label.startsWith(SOURCE)) return [];
    const host = label.slice(SOURCE.length);
    return repositories.split(',').map((repository) => `${host}/${repository}`);
  });
}
