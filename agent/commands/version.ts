import { packageVersion } from '../version.ts';
import { type OutputFormat, type Print, printOutput } from './output.ts';

/** `version`: what to name in a bug report. `revision` is the commit that the image was built from. */
export function printVersion(
  revision: string | undefined,
  { output, print }: { readonly output: OutputFormat; readonly print: Print },
): number {
  const data = { version: packageVersion(), revision: revision ?? 'unknown', node: process.version };
  if (output === 'json' || output === 'yaml') {
    printOutput(print, output, { data, rows: [], columns: [] });
  } else {
    print(`pullwarden ${data.version} (${data.revision}), node ${data.node}\n`);
  }
  return 0;
}
