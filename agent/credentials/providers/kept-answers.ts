import { LRUCache } from 'lru-cache';
import type { DockerConfigEntry } from '../docker-config.ts';
import { CACHE_KEY_TYPES, type CacheKeyType } from '../provider-cache-key.ts';

/** Of all answers of one provider, roughly. */
const MAX_BYTES = 8 * 1_048_576;
const BYTES_OF_AN_ENTRY = 512;
/** What has expired should not stay in memory; kubelet looks every 15 min. */
const PURGE_EVERY_MS = 60_000;

/** What is known of an answer, and for how long it still is. */
export type KeptAnswer = { readonly entries: readonly DockerConfigEntry[]; readonly goodForMs: number };

type Kept = { readonly entries: readonly DockerConfigEntry[]; readonly expiresAt: number };

/** A provider's answers, each until its time is over. Must never be logged. */
export type KeptAnswers = {
  /** The first that is there for the image, its registry, or everything. */
  find(keys: Readonly<Record<CacheKeyType, string>>): KeptAnswer | undefined;
  keep(key: string, entries: readonly DockerConfigEntry[], durationMs: number): void;
};

/**
 * `now` in ms of a clock that only goes forward. An answer is still good at the very moment when it expires.
 */
export function createKeptAnswers(now: () => number): KeptAnswers {
  const kept = new LRUCache<string, Kept>({
    maxSize: MAX_BYTES,
    sizeCalculation: ({ entries }, key) =>
      key.length + BYTES_OF_AN_ENTRY * (entries.length + 1) + lengthOf(entries),
  });
  let purgedAt = now();

  function purge(): void {
    if (now() - purgedAt < PURGE_EVERY_MS) return;
    purgedAt = now();
    for (const [key, { expiresAt }] of kept) if (now() > expiresAt) kept.delete(key);
  }

  return {
    find(keys) {
      purge();
      for (const type of CACHE_KEY_TYPES) {
        const found = kept.get(keys[type]);
        if (found && now() <= found.expiresAt) {
          return { entries: found.entries, goodForMs: found.expiresAt - now() };
        }
      }
      return undefined;
    },
    keep(key, entries, durationMs) {
      if (durationMs > 0) kept.set(key, { entries, expiresAt: now() + durationMs });
    },
  };
}

function lengthOf(entries: readonly DockerConfigEntry[]): number {
  let length = 0;
  for (const { registry, credential } of entries) {
    length += registry.length + credential.username.length + credential.password.length;
  }
  return length;
}
