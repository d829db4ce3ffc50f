import { createHash } from 'node:crypto';
import {
  createImageLedger,
  type ImageLedger,
  type ShownStore,
} from '../../../agent/access/bytes/image-ledger.ts';
import type { MatchStore } from '../../../agent/access/bytes/layer-match.ts';
import { RuntimeError } from '../../../agent/errors.ts';
import { openMatchedNames } from '../../../agent/records/matched-names.ts';
import { openShownPieces } from '../../../agent/records/shown-pieces.ts';
import type { ImagePieces, PulledBlob, RuntimeImage } from '../../../agent/runtime/runtime.ts';
import { makeRowsInMemory } from '../../records/store-in-memory.ts';

/** A digest that stands for this word. */
export function piece(word: string): string {
  return `sha256:${createHash('sha256').update(word).digest('hex')}`;
}

/** What a runtime has: images by repository, with a config of their own and layers by name. */
export type Listed = {
  readonly names: readonly string[];
  readonly config: string;
  readonly layers: readonly string[];
  /** The blobs that its manifest names for the layers; those that the layers came as, if left out. */
  readonly blobs?: readonly string[];
};

/** The blob that a layer comes as, by the layer's word. */
export const blobOf = (layer: string): string => `blob of ${layer}`;

/**
 * The ledger over the real records, with a runtime whose lists are written down here: what no real one can be
 * made to list on demand. With real ones: test/node/bytes.test.ts.
 */
export function openLedger({
  believesNew = true,
  ...records
}: {
  believesNew?: boolean;
} & Partial<LedgerRecords> = {}) {
  const { shown, matched } = { ...recordsInMemory(), ...records };
  const state = {
    images: new Map<string, Listed>(),
    unreadable: new Set<string>(),
    lists: 0,
    reads: 0,
    /** How many manifests were read. */
    manifests: 0,
    /** The blobs that the manifest at a repository names where they are not the image's; undefined: none is there. */
    manifestsAt: new Map<string, readonly string[] | undefined>(),
    /** The blobs of a manifest that the runtime lists at a repository before that one. */
    earlierManifestsAt: new Map<string, readonly string[]>(),
    /** Images whose names have no digest. */
    imported: new Set<string>(),
    clock: 0,
    /** What the runtime notes about the blobs of pieces; undefined: it keeps no notes. */
    notes: undefined as Map<string, readonly PulledBlob[]> | undefined,
    /** What reading the notes ends with instead. */
    notesFail: undefined as RuntimeError | undefined,
  };
  function manifestWith(digest: string): Buffer | undefined {
    for (const { config, layers, names, blobs = layers.map(blobOf) } of state.images.values()) {
      for (const name of names) {
        const earlier = state.earlierManifestsAt.get(name);
        if (earlier && piece(`earlier at ${name}`) === digest) return manifestOf(config, earlier);
        if (piece(`manifest of ${config} at ${name}`) !== digest) continue;
        const named = state.manifestsAt.has(name) ? state.manifestsAt.get(name) : blobs;
        return named && manifestOf(config, named);
      }
    }
    return undefined;
  }

  const inDoubt: string[][] = [];
  const ledger: ImageLedger = createImageLedger({
    runtime: {
      async listImages(): Promise<readonly RuntimeImage[]> {
        state.lists += 1;
        return Array.from(state.images.values(), ({ names, config }) => ({
          id: piece(config),
          repoTags: names.map((name) => `${name}:1`),
          repoDigests: state.imported.has(config)
            ? []
            : names.flatMap((name) => [
                ...(state.earlierManifestsAt.has(name) ? [`${name}@${piece(`earlier at ${name}`)}`] : []),
                `${name}@${piece(`manifest of ${config} at ${name}`)}`,
              ]),
          pinned: false,
        }));
      },
      async imagePieces(id) {
        state.reads += 1;
        if (state.unreadable.has(id)) throw new RuntimeError('failed', 'no config');
        const pieces = piecesFrom([...state.images.values()].find(({ config }) => piece(config) === id));
        return pieces ? { pieces } : { pieces: undefined, reason: 'imageAbsent' };
      },
      async blobsOfPieces() {
        if (state.notesFail) throw state.notesFail;
        return state.notes;
      },
      async blob(digest) {
        state.manifests += 1;
        return manifestWith(digest);
      },
    },
    store: shown,
    matched,
    believesNew,
    now: () => state.clock,
    onDoubt: (imageRefs) => inDoubt.push([...imageRefs]),
  });
  return {
    ledger,
    inDoubt,
    state,
    /** An image comes to the node, or gets these names; nobody looks yet. */
    has(config: string, names: readonly string[], layers: readonly string[], blobs?: readonly string[]) {
      state.images.set(config, { names, config, layers, ...(blobs && { blobs }) });
    },
    /** A pull of this repository had these pieces in its hands, each as one blob. */
    pulled(repository: string, pieces: readonly string[], blob = blobOf) {
      state.notes ??= new Map();
      for (const word of pieces) {
        const digest = piece(blob(word));
        const before = state.notes.get(piece(word)) ?? [];
        const pulledFor = before.find((known) => known.digest === digest)?.pulledFor ?? [];
        const others = before.filter((known) => known.digest !== digest);
        state.notes.set(piece(word), [...others, { digest, pulledFor: [...pulledFor, repository] }]);
      }
    },
    /** The runtime notes what pulls do, and has dropped the blobs of these layers. */
    dropped(layers: readonly string[]) {
      state.notes ??= new Map();
      for (const layer of layers) state.notes.delete(piece(layer));
    },
    loses: (config: string) => state.images.delete(config),
    minutes(n: number) {
      state.clock += n * 60_000;
    },
  };
}

function piecesFrom(listed: Listed | undefined): ImagePieces | undefined {
  return listed && { config: piece(listed.config), layers: listed.layers.map(piece) };
}

function manifestOf(config: string, blobs: readonly string[]): Buffer {
  const described = (word: string) => ({ mediaType: 'a/blob', digest: piece(word), size: 1 });
  const manifest = { schemaVersion: 2, config: described(config), layers: blobs.map(described) };
  return Buffer.from(JSON.stringify(manifest));
}

type LedgerRecords = { readonly shown: ShownStore; readonly matched: MatchStore };

/** The records as the agent keeps them; hand them to a second ledger for an agent that was restarted. */
export function recordsInMemory(): LedgerRecords {
  const rows = makeRowsInMemory();
  const pieces = openShownPieces(rows);
  const names = openMatchedNames(rows);
  return {
    shown: {
      holding: pieces.holding,
      isKnown: pieces.isKnown,
      hosts: (of) => pieces.sightings(of).map(({ host }) => host),
      add: (registry, added, holding) => pieces.add(registry, added, { firstSeenAt: 0, holding }),
      keepOnly: (kept) => pieces.keepOnly(kept),
    },
    matched: {
      isMatched: (imageId, repository) => names.has({ imageId, repository }),
      match: names.add,
      keepOnly: names.keepOnly,
    },
  };
}
