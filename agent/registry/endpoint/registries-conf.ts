import { ConfigurationError } from './endpoint.ts';
import { isTable, reader, readToml, type Table } from './toml.ts';

/** A location: `registry.example/team`, without a scheme. */
export type Location = { readonly location: string; readonly insecure: boolean };

/** One `[[registry]]` of a registries.conf. */
export type RegistryEntry = Location & {
  readonly prefix: string;
  readonly blocked: boolean;
  readonly mirrors: readonly Location[];
};

/**
 * Reads a registries.conf, version 2, as CRI-O does (containers/image pkg/sysregistriesv2). Of entries with
 * the same prefix the first counts.
 *
 * @throws ConfigurationError
 */
export function parseRegistriesConf(text: string, file: string): readonly RegistryEntry[] {
  const root = readToml(text, file);
  // Version 1 is one table of that name with lists in it; nobody has written it since 2018.
  if (isTable(root.registries)) throw new ConfigurationError('version1', file);
  const entries = new Map<string, RegistryEntry>();
  for (const table of reader(root, file).tables('registry')) {
    const entry = readEntry(table, file);
    if (!entries.has(entry.prefix)) entries.set(entry.prefix, entry);
  }
  return [...entries.values()];
}

function readEntry(table: Table, file: string): RegistryEntry {
  const { text, flag, tables } = reader(table, file);
  const own = readLocation(table, file);
  const prefix = withoutSlash(text('prefix') || own.location, file);
  const isWildcard = prefix.startsWith('*.');
  if (prefix === '' || (own.location === '' && !isWildcard))
    throw new ConfigurationError('invalidPrefix', file);
  if (isWildcard && /[/@:]/.test(prefix)) throw new ConfigurationError('invalidPrefix', file);
  const mirrors = tables('mirror').map((mirror) => readLocation(mirror, file));
  return { ...own, prefix, blocked: flag('blocked') ?? false, mirrors };
}

function readLocation(table: Table, file: string): Location {
  const { text, flag } = reader(table, file);
  return { location: withoutSlash(text('location') ?? '', file), insecure: flag('insecure') ?? false };
}

function withoutSlash(location: string, file: string): string {
  if (/^https?:\/\//.test(location)) throw new ConfigurationError('invalidPrefix', file);
  return location.replace(/\/+$/, '');
}

/** Later files' entries replace those with the same prefix (registries.conf.d, in the order of names). */
export function mergeEntries(files: readonly (readonly RegistryEntry[])[]): readonly RegistryEntry[] {
  return [...new Map(files.flat().map((entry) => [entry.prefix, entry])).values()];
}

/**
 * The entry with the longest prefix of `name` (`registry.example/team/app`), and how much of the name it
 * covers.
 */
export function findEntry(
  entries: readonly RegistryEntry[],
  name: string,
): { readonly entry: RegistryEntry; readonly covered: number } | undefined {
  let best: { entry: RegistryEntry; covered: number } | undefined;
  for (const entry of entries) {
    const covered = coveredBy(name, entry.prefix);
    if (covered !== undefined && entry.prefix.length > (best?.entry.prefix.length ?? 0))
      best = { entry, covered };
  }
  return best;
}

/** Up to a boundary; `*.example.com` covers the host of every subdomain. */
function coveredBy(name: string, prefix: string): number | undefined {
  const isWildcard = prefix.startsWith('*.');
  const start = isWildcard ? name.indexOf(prefix.slice(1)) : name.startsWith(prefix) ? 0 : -1;
  if (start === -1 || (isWildcard && name.slice(0, start).includes('/'))) return undefined;
  const end = start + prefix.length - (isWildcard ? 1 : 0);
  return end === name.length || ':/@'.includes(name.charAt(end)) ? end : undefined;
}

/** The name that is asked for at a location instead of `name`. */
export function rewrite(name: string, covered: number, { location }: Location): string {
  return location === '' ? name : location + name.slice(covered);
}
