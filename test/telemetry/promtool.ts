import { runCommand } from '../../scripts/lab/command.ts';
import { unpackedPackage } from '../../scripts/lab/packages.ts';

/**
 * Runs Prometheus' own tool (Debian's package, never installed) on files, or on `input` as its standard
 * input.
 *
 * @throws {CommandFailed} with what it says
 */
export async function promtool(args: readonly string[], input = ''): Promise<string> {
  const { root } = await unpackedPackage('promtool', ['trixie', 'forky', 'sid'], /./);
  return runCommand(`${root}/usr/bin/promtool`, [...args], { input });
}
