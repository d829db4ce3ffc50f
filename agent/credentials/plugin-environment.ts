import { ProviderError } from '../errors.ts';
import type { EnvironmentVariable } from './provider-config.ts';

/**
 * A plugin's environment: the agent's own (as kubelet gives it its own), and the configured variables over
 * it. Of two entries under one name the later counts, at its own place (Go, os/exec dedupEnv). Nothing is
 * expanded.
 *
 * @throws ProviderError environmentInvalid where an entry holds a NUL
 */
export function pluginEnvironment(
  own: readonly string[],
  configured: readonly EnvironmentVariable[],
): readonly string[] {
  const entries = [...own, ...configured.map(({ name, value }) => `${name}=${value}`)];
  if (entries.some((entry) => entry.includes('\0'))) {
    throw new ProviderError('environmentInvalid', 'a variable of its environment holds a NUL');
  }
  const seen = new Set<string>();
  const kept: string[] = [];
  for (const entry of entries.toReversed()) {
    const name = nameOf(entry);
    if (entry === '' || (name !== undefined && seen.has(name))) continue;
    if (name !== undefined) seen.add(name);
    kept.push(entry);
  }
  return kept.reverse();
}

/** Undefined for an entry without `=`. A `=` at the very start belongs to the name, if there is another. */
function nameOf(entry: string): string | undefined {
  const first = entry.indexOf('=');
  if (first === -1) return undefined;
  return first === 0
    ? entry.slice(0, entry.indexOf('=', 1) === -1 ? 0 : entry.indexOf('=', 1))
    : entry.slice(0, first);
}
