import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from './command.ts';
import { CommandFailed } from './errors.ts';

/**
 * `overlayfs` where overlays can be mounted in this folder, else `native` (copies; slower, works anywhere).
 */
export async function usableSnapshotter(folder: string): Promise<'overlayfs' | 'native'> {
  const place = join(folder, 'overlay-probe');
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) => join(place, name));
  if (merged === undefined) return 'native';
  for (const path of [lower, upper, work, merged]) await mkdir(path ?? place, { recursive: true });
  try {
    const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
    await runCommand('mount', ['-t', 'overlay', 'overlay', '-o', options, merged]);
  } catch (error) {
    if (!(error instanceof CommandFailed)) throw error;
    return 'native';
  }
  await runCommand('umount', [merged]);
  return 'overlayfs';
}
