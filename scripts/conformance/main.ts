import { join } from 'node:path';
import { describeDifferences } from './report.ts';
import { type Vector, VectorFileError } from './vector.ts';
import { readVectorFiles, type VectorFile } from './vector-files.ts';

/**
 * `npm run conformance -- DIR`: runs the recorded vectors of kubelet on the project's code. Exit code 0: all
 * passed, 1: some failed, 2: there is nothing that could be run.
 */
const defaultDirectory = join(import.meta.dirname, '../../test/conformance');
const directories = process.argv.slice(2);

const USAGE = 'usage: npm run conformance -- [DIR]';

if (directories.includes('--help')) process.stdout.write(`${USAGE}\n`);
else if (directories.length > 1 || directories[0]?.startsWith('-')) fail(USAGE);
else {
  try {
    process.exitCode = await runAll(readVectorFiles(directories[0] ?? defaultDirectory));
  } catch (error) {
    if (!(error instanceof VectorFileError)) throw error;
    fail(error.message);
  }
}

async function runAll(files: readonly VectorFile[]): Promise<number> {
  let passed = 0;
  let failed = 0;
  for (const { file, vectors } of files) {
    let failedHere = 0;
    for (const vector of vectors) {
      const text = await failureOf(vector);
      if (text === undefined) continue;
      failedHere += 1;
      process.stdout.write(`${file}: ${text}`);
    }
    process.stdout.write(`${file}: ${vectors.length - failedHere} of ${vectors.length} passed\n`);
    passed += vectors.length - failedHere;
    failed += failedHere;
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

/** A vector on which the code breaks has failed like any other; the rest is run all the same. */
async function failureOf(vector: Vector): Promise<string | undefined> {
  try {
    const differences = await vector.differences();
    return differences.length === 0 ? undefined : describeDifferences(vector.name, differences);
  } catch (error) {
    const actual = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return describeDifferences(vector.name, [{ what: 'threw', expected: undefined, actual }]);
  }
}

function fail(message: string): void {
  process.stderr.write(`conformance: ${message}\n`);
  process.exitCode = 2;
}
