import { isSameImageId } from '../../image/image-id.ts';
import type { RegistryAnswer } from '../../registry/answer.ts';
import type { RegistryClient } from '../../registry/client.ts';
import { loginOf } from '../../registry/login.ts';
import { type Descriptor, type Manifest, parseManifest } from '../../registry/manifest.ts';
import type { ImagePieces } from '../../runtime/runtime.ts';
import type { Name } from '../names.ts';
import type { PodCredential } from '../pod-credential.ts';
import { registryOf } from '../proof/question.ts';
import { createLayerHash } from './layer-digest.ts';

/** A registry is asked to show pieces of an image that it grants. */
export type ShowingQuestion = {
  readonly name: Name;
  readonly imageRef: string;
  readonly pieces: ImagePieces;
  /** Those that it has not shown, and that are not open to everybody. */
  readonly missing: ReadonlySet<string>;
  readonly credential: PodCredential | undefined;
  /** Bytes that may still be fetched for this namespace; a piece that is larger is not asked for. */
  readonly budget: number;
};

/**
 * `lacks`: the registry answered, and does not have the piece, or has another. `tooLarge`: more bytes than are fetched
 * for a namespace. `unavailable`: it did not answer.
 */
export type Shown = { readonly pieces: readonly string[]; readonly bytes: number } & (
  | { readonly outcome: 'shown' }
  | { readonly outcome: 'lacks' | 'tooLarge' | 'unavailable'; readonly message: string }
);

type Failure = Extract<Shown, { readonly message: string }>;

/** A layer of an image that runs on a node; what is more must be trusted or split. */
const MAX_PIECE_BYTES = 16 * 2 ** 30;
const MAX_UNPACKED_BYTES = 64 * 2 ** 30;
const CONFIG_MS = 30_000;
const LAYER_MS = 30 * 60_000;
const MAX_PLATFORMS = 32;

/**
 * Has a registry show what it claims to hold: the manifest by the digest that the runtime lists, the config by the
 * manifest's digest, each layer by the manifest's digest at its place, unpacked to the diff_id. Streamed, hashed, thrown
 * away. Fewest bytes first: who lacks the config or the smallest layer fails at once.
 */
export async function askToShow(registry: RegistryClient, question: ShowingQuestion): Promise<Shown> {
  const found = await findManifest(registry, question);
  if ('outcome' in found) return found;
  const { config, layers } = found;
  const wanted = wantedPieces(question, config, layers);
  if (wanted === undefined) return lacks('its manifest does not describe this content');
  const shown: string[] = [];
  let bytes = 0;
  for (const piece of wanted) {
    const left = question.budget - bytes;
    if (piece.size > Math.min(left, MAX_PIECE_BYTES)) return { ...tooLarge(piece), pieces: shown, bytes };
    const got = await show(registry, question, piece);
    bytes += got.bytes;
    if (got.failure) return { ...got.failure, pieces: shown, bytes };
    shown.push(piece.piece);
  }
  return { outcome: 'shown', pieces: shown, bytes };
}

type Wanted = Descriptor & { readonly kind: 'config' | 'layer'; readonly piece: string };

/** Undefined where the manifest has another number of layers than the image. */
function wantedPieces(
  { pieces, missing }: ShowingQuestion,
  config: Descriptor,
  layers: readonly Descriptor[],
): readonly Wanted[] | undefined {
  if (layers.length !== pieces.layers.length) return undefined;
  const wanted = new Map<string, Wanted>();
  if (missing.has(pieces.config))
    wanted.set(pieces.config, { ...config, kind: 'config', piece: pieces.config });
  for (const [at, diffId] of pieces.layers.entries()) {
    const layer = layers[at];
    if (layer && missing.has(diffId)) wanted.set(diffId, { ...layer, kind: 'layer', piece: diffId });
  }
  return [...wanted.values()].sort((a, b) => rank(a) - rank(b) || a.size - b.size);
}

function rank({ kind }: Wanted): number {
  return kind === 'config' ? 0 : 1;
}

type ImageManifest = Extract<Manifest, { kind: 'image' }>;

async function findManifest(
  registry: RegistryClient,
  question: ShowingQuestion,
): Promise<ImageManifest | Failure> {
  const { digests, tag } = question.name;
  let failure: Failure = lacks('the runtime knows no digest of this image');
  const references = digests.length > 0 ? digests : tag === undefined ? [] : [tag];
  for (const reference of references) {
    const found = await manifestAt(registry, question, reference);
    if (!('outcome' in found)) return found;
    if (found.outcome === 'unavailable') return found;
    failure = found;
  }
  return failure;
}

/** The image manifest of just this content, behind an index perhaps. */
async function manifestAt(
  registry: RegistryClient,
  question: ShowingQuestion,
  reference: string,
): Promise<ImageManifest | Failure> {
  const answer = await registry.manifest({ ...askedAs(question), reference });
  if (answer.answer !== 'granted') return failureOf(answer, 'the manifest');
  const manifest = parseManifest(answer.manifest.bytes);
  if (manifest?.kind === 'image') return ofContent(manifest, question) ?? lacks(NOT_THIS);
  for (const { digest } of manifest?.manifests.slice(0, MAX_PLATFORMS) ?? []) {
    const inner = await registry.manifest({ ...askedAs(question), reference: digest });
    // An index names images of other platforms that a registry need not hold.
    if (inner.answer === 'unavailable') return failureOf(inner, 'the manifest');
    if (inner.answer !== 'granted') continue;
    const image = parseManifest(inner.manifest.bytes);
    const found = image?.kind === 'image' ? ofContent(image, question) : undefined;
    if (found) return found;
  }
  return lacks(NOT_THIS);
}

const NOT_THIS = 'its manifest is not of this content';

function ofContent(manifest: ImageManifest, { imageRef }: ShowingQuestion): ImageManifest | undefined {
  return isSameImageId(manifest.config.digest, imageRef) ? manifest : undefined;
}

type Got = { readonly bytes: number; readonly failure?: Failure };

async function show(registry: RegistryClient, question: ShowingQuestion, wanted: Wanted): Promise<Got> {
  const { kind, digest, size, piece } = wanted;
  const unpacked = kind === 'layer' ? createLayerHash(MAX_UNPACKED_BYTES) : undefined;
  try {
    const answer = await registry.blob(
      { ...askedAs(question), digest, maxBytes: size, timeoutMs: kind === 'layer' ? LAYER_MS : CONFIG_MS },
      (bytes) => unpacked?.write(bytes),
    );
    const bytes = answer.spent.bytes;
    if (answer.answer !== 'granted') return { bytes, failure: failureOf(answer, `the ${kind}`) };
    if (unpacked && (await unpacked.end()) !== piece)
      return { bytes, failure: lacks('it has another layer') };
    return { bytes };
  } finally {
    unpacked?.destroy();
  }
}

function askedAs({ name, credential }: ShowingQuestion) {
  const host = registryOf(name);
  const login = credential && loginOf(credential.credential, credential.key);
  return {
    registry: host,
    repository: name.repository.slice(host.length + 1),
    ...(login && { login }),
  };
}

function failureOf(answer: Exclude<RegistryAnswer<object>, { answer: 'granted' }>, what: string): Failure {
  if (answer.answer === 'unavailable') {
    // Other bytes than the digest says are the registry's answer, not an outage.
    if (answer.seen === 'digestMismatch' || answer.seen === 'tooLarge')
      return lacks(`it sent something else for ${what}`);
    return { outcome: 'unavailable', message: answer.message, pieces: [], bytes: 0 };
  }
  return lacks(`it does not give out ${what} (HTTP ${answer.status})`);
}

function lacks(message: string): Failure {
  return { outcome: 'lacks', message, pieces: [], bytes: 0 };
}

function tooLarge({ kind, size }: Wanted): Failure {
  return {
    outcome: 'tooLarge',
    message: `a ${kind} of ${size} bytes is more than is fetched to be shown`,
    pieces: [],
    bytes: 0,
  };
}
