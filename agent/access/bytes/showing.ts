import { hostOf } from '../../image/reference.ts';
import type { RegistryAnswer } from '../../registry/answer.ts';
import type { RegistryClient } from '../../registry/client.ts';
import { loginOf } from '../../registry/login.ts';
import { type Descriptor, parseManifest } from '../../registry/manifest.ts';
import type { ImagePieces } from '../../runtime/runtime.ts';
import type { Name } from '../names.ts';
import type { PodCredential } from '../pod-credential.ts';
import {
  type ImageManifest,
  type Incomplete,
  imageManifestAt,
  lacks,
  type ManifestReader,
} from './image-manifest.ts';
import { createLayerHash, type LayerHash, UnpackFailure } from './layer-digest.ts';

/** A registry is asked to show pieces of an image that it grants. */
export type ShowingQuestion = {
  /** The repository, and the manifest digests under which the runtime lists the image there. */
  readonly name: Pick<Name, 'repository' | 'digests' | 'tag'>;
  readonly pieces: ImagePieces;
  /** Those that it has not shown, and that are not open to everybody. */
  readonly missing: ReadonlySet<string>;
  /** Undefined asks anonymously. */
  readonly credential: PodCredential | undefined;
  /** Bytes that may be fetched; a piece that is larger than what is left of them is not asked for. */
  readonly budget: number;
};

/**
 * `lacks`: the registry answered, and does not have a piece, or has another. `refused`: it does not give one
 * to this credential. `tooLarge`: more bytes than may be fetched. `unavailable`: it did not answer. `pieces`
 * are those that it did show, whatever came after; `bytes` what was fetched.
 */
export type Shown = { readonly pieces: readonly string[]; readonly bytes: number } & (Complete | Incomplete);

type Complete = { readonly outcome: 'shown' };

/** A layer of an image that runs on a node; what is more must be trusted or split. */
const MAX_PIECE_BYTES = 16 * 2 ** 30;
const CONFIG_MS = 30_000;
const LAYER_MS = 30 * 60_000;

/**
 * What a layer may unpack to: real ones to some 10 times their size, a bomb to 1,000 times, at the node's
 * expense.
 */
const MAX_UNPACKING = 100;
const MAY_UNPACK_TO = 2 ** 30;

/**
 * Has a registry show what it claims to hold: the manifest by the digest that the runtime lists, the config
 * by the manifest's digest, each layer by the manifest's digest at its place, unpacked to the diff_id.
 * Streamed, hashed, thrown away. Fewest bytes first: who lacks the config or the smallest layer fails at
 * once.
 */
export async function askToShow(registry: RegistryClient, question: ShowingQuestion): Promise<Shown> {
  const visit = createVisit(registry, question);
  const pieces: string[] = [];
  const ended = await showAll(visit, question, (piece) => pieces.push(piece));
  return { ...ended, pieces, bytes: visit.bytes() };
}

async function showAll(
  visit: Visit,
  question: ShowingQuestion,
  onShown: (piece: string) => void,
): Promise<Complete | Incomplete> {
  const manifest = await findManifest(visit, question);
  if ('outcome' in manifest) return manifest;
  for (const wanted of wantedPieces(question, manifest)) {
    if (wanted.size > Math.min(question.budget - visit.bytes(), MAX_PIECE_BYTES)) return tooLarge(wanted);
    const failure = wanted.kind === 'config' ? await visit.config(wanted) : await visit.layer(wanted);
    if (failure) return failure;
    onShown(wanted.piece);
  }
  return { outcome: 'shown' };
}

type Wanted = Descriptor & { readonly kind: 'config' | 'layer'; readonly piece: string };

/** What the manifest says about the missing pieces, fewest bytes first. */
function wantedPieces(
  { pieces, missing }: ShowingQuestion,
  { config, layers }: ImageManifest,
): readonly Wanted[] {
  const wanted = new Map<string, Wanted>();
  for (const [at, piece] of pieces.layers.entries()) {
    const layer = layers[at];
    if (layer && missing.has(piece)) wanted.set(piece, { ...layer, kind: 'layer', piece });
  }
  const bySize = [...wanted.values()].sort((a, b) => a.size - b.size);
  const { config: piece } = pieces;
  return missing.has(piece) ? [{ ...config, kind: 'config', piece }, ...bySize] : bySize;
}

async function findManifest(
  visit: Visit,
  { name: { digests, tag }, pieces }: ShowingQuestion,
): Promise<ImageManifest | Incomplete> {
  let failure = lacks('the runtime knows no manifest of this image');
  const references = digests.length > 0 ? digests : tag === undefined ? [] : [tag];
  for (const reference of references) {
    const found = await imageManifestAt(visit.manifest, reference, pieces);
    if (!('outcome' in found) || found.outcome === 'unavailable') return found;
    failure = found;
  }
  return failure;
}

/** One registry, asked about one image with one credential. */
type Visit = {
  readonly manifest: ManifestReader;
  /** Undefined where it was shown. */
  config(wanted: Wanted): Promise<Incomplete | undefined>;
  layer(wanted: Wanted): Promise<Incomplete | undefined>;
  /** Fetched until now, of bodies. */
  bytes(): number;
};

function createVisit(registry: RegistryClient, { name, credential }: ShowingQuestion): Visit {
  const host = hostOf(name.repository);
  const login = credential && loginOf(credential.credential, credential.key);
  const asked = {
    registry: host,
    repository: name.repository.slice(host.length + 1),
    ...(login && { login }),
  };
  let bytes = 0;

  async function layerInto(unpacked: LayerHash, { digest, size, piece }: Wanted) {
    const answer = await registry.blob(
      { ...asked, digest, maxBytes: size, timeoutMs: LAYER_MS },
      async (part) => {
        bytes += part.byteLength;
        await unpacked.write(part);
      },
    );
    if (answer.answer !== 'granted') return failureOf(answer, 'the layer');
    return (await unpacked.end()) === piece ? undefined : lacks('it has another layer');
  }

  return {
    bytes: () => bytes,
    async manifest(reference) {
      const answer = await registry.manifest({ ...asked, reference });
      bytes += answer.spent.bytes;
      if (answer.answer !== 'granted') return failureOf(answer, 'the manifest');
      return parseManifest(answer.manifest.bytes) ?? lacks('its manifest cannot be read');
    },
    async config({ digest, size }) {
      const answer = await registry.blob(
        { ...asked, digest, maxBytes: size, timeoutMs: CONFIG_MS },
        () => undefined,
      );
      bytes += answer.spent.bytes;
      return answer.answer === 'granted' ? undefined : failureOf(answer, 'the config');
    },
    async layer(wanted) {
      const unpacked = createLayerHash(Math.max(MAY_UNPACK_TO, wanted.size * MAX_UNPACKING));
      try {
        return await layerInto(unpacked, wanted);
      } catch (error) {
        if (!(error instanceof UnpackFailure)) throw error;
        return error.reason === 'tooLarge'
          ? tooLarge(wanted)
          : lacks('it has a layer that cannot be unpacked');
      } finally {
        unpacked.destroy();
      }
    },
  };
}

function failureOf(answer: Exclude<RegistryAnswer<object>, { answer: 'granted' }>, what: string): Incomplete {
  switch (answer.answer) {
    case 'unavailable': {
      // Other bytes than the digest says are the registry's answer, not an outage.
      const isOther = answer.seen === 'digestMismatch' || answer.seen === 'tooLarge';
      return isOther
        ? lacks(`it sent something else for ${what}`)
        : { outcome: 'unavailable', message: answer.message };
    }
    case 'notFound':
      return lacks(`it does not have ${what}`);
    case 'forbiddenByPolicy':
      return { outcome: 'unavailable', message: `its policy keeps ${what} from everybody` };
    case 'unauthorized':
    case 'forbidden':
      return { outcome: 'refused', message: `it does not give out ${what} (HTTP ${answer.status})` };
  }
}

function tooLarge({ kind, size }: Wanted): Incomplete {
  return { outcome: 'tooLarge', message: `a ${kind} of ${size} bytes is more than is fetched to be shown` };
}
