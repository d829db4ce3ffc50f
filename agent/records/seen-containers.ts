import { gone, put, type Rows } from './rows.ts';

/**
 * Containers that the agent has seen: one that it has is judged as one that ran before, whatever the clock
 * says.
 */
export interface SeenContainers {
  has(id: string): boolean;
  /** @throws RecordStoreError */
  add(id: string): void;
  /** Forgets containers that the runtime no longer has. @throws RecordStoreError */
  prune(alive: ReadonlySet<string>): void;
}

/** Longer than any runtime's ids (64 characters). */
const MAX_ID = 256;

/** SeenContainers on the rows of the state database. @throws RecordStoreError */
export function openSeenContainers(rows: Rows): SeenContainers {
  const seen = new Set(Array.from(rows.all('seen_containers'), ([id]) => String(id)));
  return {
    has: (id) => seen.has(id),
    add(id) {
      if (seen.has(id) || id.length > MAX_ID) return;
      // A power cut ends the containers as well.
      const write = { doing: 'record a container', durability: 'kill' } as const;
      rows.write(write, () => [put('seen_containers', [id])]);
      seen.add(id);
    },
    prune(alive) {
      const leaving = [...seen].filter((id) => !alive.has(id));
      if (leaving.length === 0) return;
      const write = { doing: 'forget containers', durability: 'kill' } as const;
      rows.write(write, () => leaving.map((id) => gone('seen_containers', [id])));
      for (const id of leaving) seen.delete(id);
    },
  };
}
