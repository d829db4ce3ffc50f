import { createHash } from 'node:crypto';
import { mkdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './command.ts';
import { hasCode } from './errors.ts';
import { cacheFolder } from './places.ts';

/**
 * The static program that every image holds, compiled when the cache lacks it.
 * @throws {CommandFailed} when the C compiler refuses.
 */
export async function compiledApp(): Promise<Buffer> {
  const source = join(import.meta.dirname, 'app.c');
  const digest = createHash('sha256')
    .update(await readFile(source))
    .digest('hex');
  const path = join(cacheFolder, `app-${digest.slice(0, 16)}`);
  try {
    return await readFile(path);
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  await mkdir(cacheFolder, { recursive: true });
  const temporary = `${path}.${process.pid}.${Date.now()}`;
  await runCommand('cc', ['-static', '-Os', '-s', '-o', temporary, source]);
  await rename(temporary, path);
  return readFile(path);
}
