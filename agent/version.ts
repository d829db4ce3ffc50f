import { readFileSync } from 'node:fs';
import { z } from 'zod';

const manifest = z.object({ name: z.literal('pullwarden'), version: z.string() });

/**
 * The version in package.json, which lies one folder above the sources and two above what is built from
 * them.
 */
export function packageVersion(): string {
  for (const path of ['../package.json', '../../package.json', '../../../package.json']) {
    try {
      return manifest.parse(JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))).version;
    } catch {
      // Not here; the other place has it.
    }
  }
  return 'unknown';
}
