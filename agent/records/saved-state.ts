import { META } from './meta.ts';
import { put, type Rows } from './rows.ts';

/**
 * What a part of the agent remembers beyond its own life, as JSON. Whoever reads it says what it should look
 * like.
 */
export interface SavedState {
  /** Undefined where nothing was written, or where it cannot be read. @throws RecordStoreError */
  read(name: string): unknown;
  /** @throws RecordStoreError */
  write(name: string, value: unknown): void;
}

/** SavedState on the rows of the state database. */
export function openSavedState(rows: Rows): SavedState {
  return {
    read(name) {
      const [row] = rows.all('meta', [META.state + name]);
      return row === undefined ? undefined : parse(String(row[1]));
    },
    write(name, value) {
      rows.write({ doing: `record the state of ${name}`, durability: 'power' }, () => [
        put('meta', [META.state + name], [JSON.stringify(value)]),
      ]);
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
