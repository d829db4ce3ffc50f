import { createHash } from 'node:crypto';
import {
  createImageLedger,
  type ImageLedger,
  type ShownStore,
} from '../../../agent/access/bytes/image-ledger.ts';
import { RuntimeError } from '../../../agent/errors.ts';
import { openShownPieces } from '../../../agent/records/shown-pieces.ts';
import type { ImagePieces, RuntimeImage } from '../../../agent/runtime/runtime.ts';
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
};

/**
 * The ledger over the real records, with a runtime whose lists are written down here: what no real one can be
 * made to list on demand. With real ones: test/node/bytes.test.ts.
 */
export function openLedger({
  believesNew = true,
  shown = shownPieces(),
}: {
  believesNew?: boolean;
  shown?: ShownStore;
} = {}) {
  const state = {
    images: new Map<string, Listed>(),
    unreadable: new Set<string>(),
    lists: 0,
    reads: 0,
    clock: 0,
    /** Piece -> the repositories whose pulls had it, as the runtime notes it; undefined: it keeps no notes. */
    notes: undefined as Map<string, readonly string[]> | undefined,
    /** What reading the notes ends with instead. */
    notesFail: undefined as RuntimeError | undefined,
  };
  const inDoubt: string[][] = [];
  const ledger: ImageLedger = createImageLedger({
    runtime: {
      async listImages(): Promise<readonly RuntimeImage[]> {
        state.lists += 1;
        return Array.from(state.images.values(), ({ names, config }) => ({
          id: piece(config),
          repoTags: names.map((name) => `${name}:1`),
          repoDigests: [],
          pinned: false,
        }));
      },
      async imagePieces(id) {
        state.reads += 1;
        if (state.unreadable.has(id)) throw new RuntimeError('failed', 'no config');
        const pieces = piecesFrom([...state.images.values()].find(({ config }) => piece(config) === id));
        return pieces ? { pieces } : { pieces: undefined, reason: 'imageAbsent' };
      },
      async pullsOfPieces() {
        if (state.notesFail) throw state.notesFail;
        return state.notes;
      },
    },
    store: shown,
    believesNew,
    now: () => state.clock,
    onDoubt: (imageRefs) => inDoubt.push([...imageRefs]),
  });
  return {
    ledger,
    inDoubt,
    state,
    /** An image comes to the node, or gets these names; nobody looks yet. */
    has(config: string, names: readonly string[], layers: readonly string[]) {
      state.images.set(config, { names, config, layers });
    },
    /** A pull of this repository had these pieces in its hands. */
    pulled(repository: string, pieces: readonly string[]) {
      state.notes ??= new Map();
      for (const word of pieces) {
        const before = state.notes.get(piece(word)) ?? [];
        state.notes.set(piece(word), [...before, repository]);
      }
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

/** The records as the agent keeps them; hand them to a second ledger for an agent that was restarted. */
export function shownPieces(): ShownStore {
  const pieces = openShownPieces(makeRowsInMemory());
  return {
    holding: pieces.holding,
    isKnown: pieces.isKnown,
    hosts: (of) => pieces.sightings(of).map(({ host }) => host),
    add: (registry, added, holding) => pieces.add(registry, added, { firstSeenAt: 0, holding }),
    keepOnly: (kept) => pieces.keepOnly(kept),
  };
}
