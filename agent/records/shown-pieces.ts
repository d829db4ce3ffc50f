import { gone, put, type RowChange, type Rows } from './rows.ts';

/**
 * What a registry host has to do with a piece. `named`: an image of it has the piece. `brought`: and the
 * piece was new to the node when it came. `shown`: the host has served the very bytes to us.
 */
export type Holding = (typeof HOLDINGS)[number];

/** From the least to the most; the place of each is what is on record. */
const HOLDINGS = ['named', 'brought', 'shown'] as const;

/** One registry host that has been seen to name or to hold a piece. */
export type PieceSighting = {
  readonly host: string;
  /** In whatever unit and order the caller gave it. */
  readonly firstSeenAt: number;
  readonly holding: Holding;
};

/**
 * Which pieces of images (a config by its digest, a layer by its diff_id) are on the node, under which
 * registry hosts they were seen and since when, and which of these brought or showed the bytes. What counts
 * is the caller's to decide.
 */
export interface ShownPieces {
  /** One look into memory; undefined where the piece was never seen under this host. */
  holding(host: string, piece: string): Holding | undefined;
  /** Has this piece been seen under any host? */
  isKnown(piece: string): boolean;
  sightings(piece: string): readonly PieceSighting[];
  /**
   * These pieces were seen under this host. The first time stays, and so does what is more than `named`.
   *
   * @throws RecordStoreError
   */
  add(host: string, pieces: readonly string[], sighting: Omit<PieceSighting, 'host'>): void;
  /** Forgets pieces that are not among these. Returns how many were forgotten. @throws RecordStoreError */
  keepOnly(pieces: Iterable<string>): number;
  readonly size: number;
}

/** Holdings and times are kept in arrays by number of piece, because a node has tens of thousands of them. */
const GROWTH = 4_096;

/** ShownPieces on the rows of the state database. @throws RecordStoreError */
export function openShownPieces(rows: Rows): ShownPieces {
  const pieces = new PieceTable();
  for (const [piece, host, firstSeenAt, shown] of rows.all('pieces')) {
    pieces.set(String(piece), {
      host: String(host),
      firstSeenAt: Number(firstSeenAt),
      holding: HOLDINGS[Number(shown)] ?? 'named',
    });
  }

  function write(doing: string, changes: readonly RowChange[]): void {
    if (changes.length > 0) rows.write({ doing, durability: 'power' }, () => changes);
  }

  return {
    holding: (host, piece) => pieces.holding(piece, host),
    isKnown: (piece) => pieces.has(piece),
    sightings: (piece) => pieces.sightings(piece),
    add(host, added, { firstSeenAt, holding }) {
      const changed = new Map<string, PieceSighting>();
      for (const piece of added) {
        const before = pieces.holding(piece, host);
        if (before !== undefined && HOLDINGS.indexOf(before) >= HOLDINGS.indexOf(holding)) continue;
        const known = pieces.sightings(piece).find((sighting) => sighting.host === host);
        changed.set(piece, { host, firstSeenAt: known?.firstSeenAt ?? firstSeenAt, holding });
      }
      const take = () => {
        for (const [piece, sighting] of changed) pieces.set(piece, sighting);
      };
      // A piece that is known proves nothing for whoever comes later: that much counts though it cannot be
      // written.
      if (holding === 'named') take();
      write(
        'record where pieces of images are from',
        Array.from(changed, ([piece, sighting]) => rowOf(piece, sighting)),
      );
      take();
    },
    keepOnly(present) {
      const inUse = new Set(present);
      const leaving = pieces.all().filter((piece) => !inUse.has(piece));
      write(
        'forget pieces of images',
        leaving.flatMap((piece) => pieces.sightings(piece).map(({ host }) => gone('pieces', [piece, host]))),
      );
      for (const piece of leaving) pieces.delete(piece);
      return leaving.length;
    },
    get size() {
      return pieces.size;
    },
  };
}

function rowOf(piece: string, { host, firstSeenAt, holding }: PieceSighting): RowChange {
  return put('pieces', [piece, host], [firstSeenAt, HOLDINGS.indexOf(holding)]);
}

/** Most pieces are seen under one host: that one is in arrays, others beside it. */
class PieceTable {
  readonly #numbers = new Map<string, number>();
  readonly #free: number[] = [];
  readonly #hostNumbers = new Map<string, number>();
  readonly #hosts: string[] = [];
  readonly #others = new Map<number, readonly PieceSighting[]>();
  #used = 0;
  #hostOf = new Uint32Array(GROWTH);
  #firstSeenAt = new Float64Array(GROWTH);
  /** Each a place in HOLDINGS. */
  #holding = new Uint8Array(GROWTH);

  get size(): number {
    return this.#numbers.size;
  }

  has(piece: string): boolean {
    return this.#numbers.has(packed(piece));
  }

  all(): string[] {
    return Array.from(this.#numbers.keys(), unpacked);
  }

  holding(piece: string, host: string): Holding | undefined {
    const number = this.#numbers.get(packed(piece));
    if (number === undefined) return undefined;
    if (this.#hosts[this.#hostOf[number] ?? 0] === host) return HOLDINGS[this.#holding[number] ?? 0];
    return this.#others.get(number)?.find((other) => other.host === host)?.holding;
  }

  sightings(piece: string): readonly PieceSighting[] {
    const number = this.#numbers.get(packed(piece));
    if (number === undefined) return [];
    const first = {
      host: this.#hosts[this.#hostOf[number] ?? 0] ?? '',
      firstSeenAt: this.#firstSeenAt[number] ?? 0,
      holding: HOLDINGS[this.#holding[number] ?? 0] ?? 'named',
    };
    return [first, ...(this.#others.get(number) ?? [])];
  }

  set(piece: string, sighting: PieceSighting): void {
    const known = this.#numbers.get(packed(piece));
    const number = known ?? this.#newNumber(piece);
    const host = this.#hostNumber(sighting.host);
    if (known === undefined || this.#hostOf[number] === host) {
      this.#hostOf[number] = host;
      this.#firstSeenAt[number] = sighting.firstSeenAt;
      this.#holding[number] = HOLDINGS.indexOf(sighting.holding);
      return;
    }
    const others = (this.#others.get(number) ?? []).filter((other) => other.host !== sighting.host);
    this.#others.set(number, [...others, sighting]);
  }

  delete(piece: string): void {
    const key = packed(piece);
    const number = this.#numbers.get(key);
    if (number === undefined) return;
    this.#numbers.delete(key);
    this.#others.delete(number);
    this.#free.push(number);
  }

  #newNumber(piece: string): number {
    const number = this.#free.pop() ?? this.#used++;
    if (number >= this.#holding.length) this.#grow();
    this.#numbers.set(packed(piece), number);
    return number;
  }

  #grow(): void {
    const length = this.#holding.length + GROWTH;
    const [hostOf, firstSeenAt, holding] = [this.#hostOf, this.#firstSeenAt, this.#holding];
    this.#hostOf = new Uint32Array(length);
    this.#firstSeenAt = new Float64Array(length);
    this.#holding = new Uint8Array(length);
    this.#hostOf.set(hostOf);
    this.#firstSeenAt.set(firstSeenAt);
    this.#holding.set(holding);
  }

  #hostNumber(host: string): number {
    const known = this.#hostNumbers.get(host);
    if (known !== undefined) return known;
    const number = this.#hosts.push(host) - 1;
    this.#hostNumbers.set(host, number);
    return number;
  }
}

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** A digest as a string of its 32 bytes, which takes a third of the memory; what is none stays as it is. */
function packed(piece: string): string {
  return DIGEST.test(piece) ? Buffer.from(piece.slice(7), 'hex').toString('latin1') : piece;
}

function unpacked(key: string): string {
  return key.length === 32 ? `sha256:${Buffer.from(key, 'latin1').toString('hex')}` : key;
}
