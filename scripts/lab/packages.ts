import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type AptSource, mirrorFor, parseListFile, parseSourcesFile } from './apt-sources.ts';
import { runCommand } from './command.ts';
import { CommandFailed, hasCode, PackageUnavailable } from './errors.ts';
import { cacheFolder } from './places.ts';

const debianKeyring = '/usr/share/keyrings/debian-archive-keyring.gpg';

/**
 * A Debian package that is unpacked beside the system, never installed: installing would start its service.
 */
export interface UnpackedPackage {
  /** Folder that holds the package's tree (`<root>/usr/bin/…`). */
  root: string;
  /** The package's own version, such as `1.6.20~ds1-1+deb12u3`. */
  version: string;
  suite: string;
}

const versionFile = z.object({ version: z.string(), suite: z.string() });

async function machineSources(): Promise<AptSource[]> {
  const sources: AptSource[] = [];
  const read = (path: string) => readFile(path, 'utf8').catch(() => '');
  for (const name of (await readdir('/etc/apt/sources.list.d').catch(() => [])).sort()) {
    const path = join('/etc/apt/sources.list.d', name);
    if (name.endsWith('.sources')) sources.push(...parseSourcesFile(await read(path)));
    if (name.endsWith('.list')) sources.push(...parseListFile(await read(path)));
  }
  sources.push(...parseListFile(await read('/etc/apt/sources.list')));
  return sources;
}

async function cached(folder: string): Promise<UnpackedPackage | undefined> {
  try {
    const text = await readFile(join(folder, 'version.json'), 'utf8');
    return { root: join(folder, 'tree'), ...versionFile.parse(JSON.parse(text)) };
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function privateApt(folder: string, suite: string): Promise<string[]> {
  const mirror = mirrorFor(await machineSources(), 'bookworm');
  if (mirror === undefined) throw new PackageUnavailable(suite, 'no apt source here serves bookworm main');
  const keyrings = [debianKeyring, ...mirror.signedBy].filter((path) => existsSync(path));
  const option = keyrings.length > 0 ? `[signed-by=${[...new Set(keyrings)].join(',')}] ` : '';
  await mkdir(join(folder, 'state/lists/partial'), { recursive: true });
  await mkdir(join(folder, 'cache/archives/partial'), { recursive: true });
  await writeFile(join(folder, 'sources.list'), `deb ${option}${mirror.uri} ${suite} main\n`);
  const settings = {
    'Dir::State': join(folder, 'state'),
    // What this machine has installed from elsewhere must not hide what the suite offers.
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(folder, 'cache'),
    'Dir::Etc::sourcelist': join(folder, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '2',
    'Acquire::http::Timeout': '20',
    'APT::Update::Error-Mode': 'any',
    // apt's own unprivileged user cannot enter a private folder.
    'APT::Sandbox::User': 'root',
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

async function fetchInto(folder: string, name: string, suite: string, wanted: RegExp): Promise<void> {
  const apt = await privateApt(join(folder, 'apt'), suite);
  await runCommand('apt-get', [...apt, '-q', 'update'], { timeoutMs: 180_000 });
  const offered = await runCommand('apt-cache', [...apt, 'show', '--no-all-versions', name]);
  const version = /^Version: (\S+)/m.exec(offered)?.[1] ?? '';
  if (!wanted.test(version)) throw new PackageUnavailable(name, `${suite} offers ${version || 'none'}`);
  await runCommand('apt-get', [...apt, '-q', 'download', `${name}=${version}`], { cwd: folder });
  const deb = (await readdir(folder)).find((file) => file.endsWith('.deb'));
  if (deb === undefined) throw new PackageUnavailable(name, `apt-get download of ${version} left no file`);
  await runCommand('dpkg-deb', ['-x', join(folder, deb), join(folder, 'tree')]);
  await rm(join(folder, deb));
  await rm(join(folder, 'apt'), { recursive: true });
  await writeFile(join(folder, 'version.json'), `${JSON.stringify({ version, suite })}\n`);
}

/**
 * Downloads (signatures verified) and unpacks a Debian package into the cache; a later call needs no network.
 * Suites are tried in order. Safe when several processes do it at once: the first to finish wins.
 * @param wanted what the version must match.
 * @throws {PackageUnavailable} with the reason of the last suite tried.
 */
export async function unpackedPackage(
  name: string,
  suites: string[],
  wanted: RegExp,
): Promise<UnpackedPackage> {
  await mkdir(cacheFolder, { recursive: true });
  for (const suite of suites) {
    const found = await cached(join(cacheFolder, `${name}-${suite}`));
    if (found !== undefined) return found;
  }
  let problem = 'no suite was named';
  for (const suite of suites) {
    const folder = join(cacheFolder, `${name}-${suite}`);
    const temporary = await mkdtemp(join(cacheFolder, '.fetch-'));
    try {
      await fetchInto(temporary, name, suite, wanted);
      await rename(temporary, folder).catch((error: unknown) => {
        if (!hasCode(error, 'ENOTEMPTY', 'EEXIST')) throw error;
      });
      const found = await cached(folder);
      if (found !== undefined) return found;
    } catch (error) {
      if (!(error instanceof CommandFailed || error instanceof PackageUnavailable)) throw error;
      problem = `${suite}: ${error.message}`;
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }
  throw new PackageUnavailable(name, problem);
}

/** Removes what fetches that were killed have left in the cache: folders older than an hour. */
export async function removeStaleFetches(): Promise<void> {
  for (const name of await readdir(cacheFolder).catch(() => [])) {
    const path = join(cacheFolder, name);
    if (!name.startsWith('.fetch-') || Date.now() - (await stat(path)).mtimeMs < 3_600_000) continue;
    await rm(path, { recursive: true, force: true });
  }
}

/**
 * Installs Debian packages whose program is not on this machine, and says so first; only ones that start no
 * service may be named.
 * @throws {PackageUnavailable} when apt-get cannot install them.
 */
export async function ensureInstalled(programs: Record<string, string[]>): Promise<void> {
  const path = (process.env.PATH ?? '').split(':');
  const missing = Object.entries(programs)
    .filter(([program]) => !path.some((folder) => existsSync(join(folder, program))))
    .flatMap(([, packages]) => packages);
  if (missing.length === 0) return;
  process.stderr.write(`installing on this machine, with apt-get: ${missing.join(', ')}\n`);
  const install = ['-o', 'DPkg::Lock::Timeout=120', 'install', '-y', '--no-install-recommends', ...missing];
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  try {
    await runCommand('apt-get', install, { env }).catch(async () => {
      await runCommand('apt-get', ['-o', 'DPkg::Lock::Timeout=120', 'update'], { env });
      await runCommand('apt-get', install, { env });
    });
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    throw new PackageUnavailable(missing.join(' '), error.message, { cause: error });
  }
}
