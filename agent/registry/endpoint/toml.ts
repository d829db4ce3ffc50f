import { parse, TomlError } from 'smol-toml';
import { ConfigurationError } from './endpoint.ts';

export type Table = Readonly<Record<string, unknown>>;

/** @throws ConfigurationError */
export function readToml(text: string, file: string): Table {
  try {
    return parse(text);
  } catch (cause) {
    // A nesting that is too deep ends as a RangeError.
    if (cause instanceof TomlError || cause instanceof RangeError) {
      throw new ConfigurationError('notToml', file);
    }
    throw cause;
  }
}

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** Typed looks into a table. Each throws ConfigurationError for a value of another type. */
export type TableReader = {
  text(name: string): string | undefined;
  flag(name: string): boolean | undefined;
  table(name: string): Table | undefined;
  tables(name: string): readonly Table[];
  /** One text or several. */
  texts(name: string): readonly string[] | undefined;
};

export function reader(table: Table, file: string): TableReader {
  const own = (name: string): unknown => (Object.hasOwn(table, name) ? table[name] : undefined);
  const wrong = (): ConfigurationError => new ConfigurationError('wrongType', file);
  return {
    text(name) {
      const value = own(name);
      if (value !== undefined && typeof value !== 'string') throw wrong();
      return value;
    },
    flag(name) {
      const value = own(name);
      if (value !== undefined && typeof value !== 'boolean') throw wrong();
      return value;
    },
    table(name) {
      const value = own(name);
      if (value !== undefined && !isTable(value)) throw wrong();
      return value;
    },
    tables(name) {
      const value = own(name) ?? [];
      if (!Array.isArray(value) || !value.every(isTable)) throw wrong();
      return value;
    },
    texts(name) {
      const value = own(name);
      if (value === undefined) return undefined;
      const list: unknown[] = Array.isArray(value) ? value : [value];
      return list.map((one) => {
        if (typeof one !== 'string') throw wrong();
        return one;
      });
    },
  };
}
