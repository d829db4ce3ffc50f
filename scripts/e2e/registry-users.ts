import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomPassword, writeHtpasswd } from '../lab/htpasswd.ts';

/**
 * Invents a password for each user of a registry and writes them into a folder that is there: `htpasswd` for
 * the registry, `users.json` with all passwords, and one file a user that holds nothing but the password, for
 * `docker login --password-stdin`. All for the owner only.
 */
export async function writeRegistryUsers(folder: string, names: readonly string[]): Promise<void> {
  const users = Object.fromEntries(names.map((name) => [name, randomPassword()]));
  await writeHtpasswd(join(folder, 'htpasswd'), users);
  await writeFile(join(folder, 'users.json'), `${JSON.stringify(users)}\n`, { mode: 0o600 });
  for (const [name, password] of Object.entries(users)) {
    await writeFile(join(folder, name), password, { mode: 0o600 });
  }
}

if (import.meta.main) {
  const [folder = '.', ...names] = process.argv.slice(2);
  await writeRegistryUsers(folder, names);
}
