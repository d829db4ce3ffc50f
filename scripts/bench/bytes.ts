import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createImageLedger, type ImageLedger } from '../../agent/access/bytes/image-ledger.ts';
import { type OpenedRecordStore, openRecordStore } from '../../agent/records/sqlite/open.ts';
import type { RuntimeImage } from '../../agent/runtime/runtime.ts';
import { quantile, type Spread, spreadOf } from './statistics.ts';

/** Every figure is the middle of the rounds, with the lowest and the highest. */
export type BytesFigures = {
  /** From the first list of a node's images to the last piece on record, without the runtime's own time. */
  readonly firstLookMs: Spread;
  /** The same for an agent that was restarted: all is on record. */
  readonly restartedLookMs: Spread;
  /** A list in which nothing changed. */
  readonly nextLookMs: Spread;
  /** Is this image wholly shown by this registry? */
  readonly whollyShownNs: Spread;
  /** What ledger and record keep in memory, after a garbage collection. */
  readonly memoryMiB: Spread;
  readonly sqliteMiB: Spread;
};

const IMAGES = 2_000;
const LAYERS = 12;
const ROUNDS = 3;
const QUESTIONS = 200_000;
/** Made once: what the runtime has at hand is not to be measured. */
const manifests = new Map(
  Array.from({ length: IMAGES }, (_, n) => [digestOf(`manifest ${n}`), manifestOf(n)]),
);

/**
 * A node with 2,000 images of 12 layers, none of which is shared, under 20 registries: the most that it can
 * be.
 */
export async function benchBytes(onRound: (round: number) => void): Promise<BytesFigures> {
  const rounds: Record<keyof BytesFigures, number>[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    rounds.push(await measure());
    onRound(round);
  }
  const of = (figure: keyof BytesFigures): Spread => spreadOf(rounds.map((one) => one[figure]));
  return {
    firstLookMs: of('firstLookMs'),
    restartedLookMs: of('restartedLookMs'),
    nextLookMs: of('nextLookMs'),
    whollyShownNs: of('whollyShownNs'),
    memoryMiB: of('memoryMiB'),
    sqliteMiB: of('sqliteMiB'),
  };
}

async function measure(): Promise<Record<keyof BytesFigures, number>> {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-bench-'));
  try {
    const stateDir = join(folder, 'state');
    const first = openRecordStore({ stateDir });
    const clock = { now: 0 };
    const ledger = ledgerOver(first, clock);
    const firstLookMs = await millisecondsOf(ledger.look);
    clock.now += 600_000;
    await ledger.look();
    first.store.close();
    const sqliteMiB = sizeOf(stateDir);
    const before = heapMiB();
    const opened = openRecordStore({ stateDir });
    const restarted = ledgerOver(opened, clock);
    const restartedLookMs = await millisecondsOf(restarted.look);
    const whollyShownNs = askMany(restarted);
    const memoryMiB = heapMiB() - before;
    const nextLookMs = await millisecondsOf(restarted.look);
    opened.store.close();
    return { firstLookMs, restartedLookMs, nextLookMs, whollyShownNs, memoryMiB, sqliteMiB };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function ledgerOver(
  { shownPieces, matchedNames }: OpenedRecordStore,
  clock: { readonly now: number },
): ImageLedger {
  return createImageLedger({
    runtime: {
      listImages: async () => Array.from({ length: IMAGES }, (_, n) => imageOf(n)),
      imagePieces: async (id) => {
        return { pieces: { config: id, layers: layersOf(id) } };
      },
      blobsOfPieces: async (pieces) =>
        new Map(pieces.map((piece) => [piece, [{ digest: blobOf(piece), pulledFor: [] }]])),
      blob: async (digest) => manifests.get(digest),
    },
    store: {
      holding: shownPieces.holding,
      isKnown: shownPieces.isKnown,
      hosts: (piece) => shownPieces.sightings(piece).map(({ host }) => host),
      add: (registry, pieces, holding) => shownPieces.add(registry, pieces, { firstSeenAt: 0, holding }),
      keepOnly: (pieces) => shownPieces.keepOnly(pieces),
    },
    matched: {
      isMatched: (imageId, repository) => matchedNames.has({ imageId, repository }),
      match: matchedNames.add,
      keepOnly: matchedNames.keepOnly,
    },
    believesNew: true,
    now: () => clock.now,
    onDoubt: () => undefined,
  });
}

/**
 * Asked once before it counts, as in an agent that has run for a while; the strings are not those of the
 * ledger.
 */
function askMany(ledger: ImageLedger): number {
  const questions = Array.from({ length: IMAGES }, (_, n) => ({
    id: imageOf(n).id,
    repository: repositoryOf(n),
  }));
  for (const { id, repository } of questions) {
    if (!ledger.isWhollyShown(id, repository)) throw new Error('not shown');
  }
  const batches: number[] = [];
  for (let asked = 0; asked < QUESTIONS; asked += IMAGES) {
    const begun = process.hrtime.bigint();
    for (const { id, repository } of questions) ledger.isWhollyShown(id, repository);
    batches.push(Number(process.hrtime.bigint() - begun) / IMAGES);
  }
  return quantile(Float64Array.from(batches).sort(), 0.5);
}

function layersOf(id: string): readonly string[] {
  return Array.from({ length: LAYERS }, (_, layer) => digestOf(`${id} ${layer}`));
}

function blobOf(piece: string): string {
  return digestOf(`blob of ${piece}`);
}

function manifestOf(n: number): Buffer {
  const { id } = imageOf(n);
  const described = (digest: string) => ({ mediaType: 'a/blob', digest, size: 1 });
  const layers = layersOf(id).map((layer) => described(blobOf(layer)));
  return Buffer.from(JSON.stringify({ schemaVersion: 2, config: described(id), layers }));
}

function imageOf(n: number): RuntimeImage {
  const repository = repositoryOf(n);
  const repoDigests = [`${repository}@${digestOf(`manifest ${n}`)}`];
  return { id: digestOf(`config ${n}`), repoTags: [`${repository}:1`], repoDigests, pinned: false };
}

function repositoryOf(n: number): string {
  return `registry-${n % 20}.example/team/app-${n}`;
}

function digestOf(text: string): string {
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

async function millisecondsOf(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** With the typed arrays and buffers, which are not on the heap. */
function heapMiB(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
}

function sizeOf(stateDir: string): number {
  return readdirSync(stateDir).reduce((sum, name) => sum + statSync(join(stateDir, name)).size, 0) / 2 ** 20;
}
