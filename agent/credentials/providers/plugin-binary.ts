import { access, constants, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ProviderError } from '../../errors.ts';
import { errorCodeOf } from './small-file.ts';

/**
 * The path of a provider's executable, if kubelet would register it (RegisterCredentialProviderPlugins, over
 * Go's exec.LookPath): a file that may be executed. Nothing is run.
 *
 * @throws ProviderError binaryMissing, binaryNotExecutable
 */
export async function findPluginBinary(binDir: string, name: string): Promise<string> {
  const path = join(binDir, name);
  try {
    if ((await stat(path)).isDirectory()) throw notExecutable(path, 'it is a directory');
    await access(path, constants.X_OK);
  } catch (error) {
    if (error instanceof ProviderError) throw error;
    const code = errorCodeOf(error);
    if (code === 'ENOENT') throw new ProviderError('binaryMissing', `${path} does not exist`);
    throw notExecutable(path, code);
  }
  return path;
}

/**
 * That the kernel itself can start it: an ELF program, or a script that names its interpreter. Node starts
 * anything else with a shell, which kubelet does not.
 *
 * @throws ProviderError binaryMissing, binaryNotExecutable
 */
export async function checkProgram(path: string): Promise<void> {
  const start = Buffer.alloc(4);
  try {
    const file = await open(path, 'r');
    try {
      await file.read(start, 0, start.length, 0);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw notExecutable(path, errorCodeOf(error));
  }
  const isScript = start.toString('latin1', 0, 2) === '#!';
  if (!isScript && start.toString('latin1') !== '\x7fELF') throw notExecutable(path, 'it is no program');
}

function notExecutable(path: string, why: string): ProviderError {
  return new ProviderError('binaryNotExecutable', `${path} cannot be executed: ${why}`);
}
