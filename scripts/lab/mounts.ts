import { readFile } from 'node:fs/promises';
import { runCommand } from './command.ts';
import { CommandFailed } from './errors.ts';

/** One line of /proc/self/mountinfo, as far as the lab needs it. */
export interface MountEntry {
  mountPoint: string;
  fileSystem: string;
  /** Options of the file system itself (for cgroup v1: its controllers). */
  superOptions: string[];
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** Parses /proc/PID/mountinfo (proc_pid_mountinfo(5)), in the order of mounting. */
export function parseMountInfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const [before = '', after] = line.split(' - ');
    const mountPoint = before.split(' ')[4];
    if (mountPoint === undefined || after === undefined) return [];
    const [fileSystem = '', , superOptions = ''] = after.split(' ');
    return [{ mountPoint: unescapeOctal(mountPoint), fileSystem, superOptions: superOptions.split(',') }];
  });
}

/** What is mounted in this process's mount namespace. */
export async function currentMounts(): Promise<MountEntry[]> {
  return parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** Mount points below a folder, the newest first. */
export async function mountsBelow(folder: string): Promise<string[]> {
  const mounts = await currentMounts();
  return mounts
    .map(({ mountPoint }) => mountPoint)
    .filter((point) => point === folder || point.startsWith(`${folder}/`))
    .reverse();
}

/**
 * Unmounts everything below a folder, lazily what is still busy.
 * @throws {CommandFailed} when a mount cannot even be detached.
 */
export async function unmountBelow(folder: string): Promise<void> {
  for (const point of await mountsBelow(folder)) {
    try {
      await runCommand('umount', [point]);
    } catch (error) {
      if (!(error instanceof CommandFailed)) throw error;
      if ((await mountsBelow(folder)).includes(point)) await runCommand('umount', ['-l', point]);
    }
  }
}
