import { endWithUsage, readCommandLine, wholeNumberFrom } from '../command-line.ts';
import { nriTargets } from './nri-targets.ts';
import { registryTargets } from './registry-targets.ts';
import { fuzz } from './run.ts';

const USAGE = 'npm run fuzz -- [nri|registry] [--count N] [--seed N]';
const { values, positionals } = readCommandLine(USAGE, {
  allowPositionals: true,
  options: { count: { type: 'string', default: '10000000' }, seed: { type: 'string', default: '1' } },
});
const count = wholeNumberFrom(1, values.count) ?? endWithUsage(USAGE);
const seed = wholeNumberFrom(0, values.seed) ?? endWithUsage(USAGE);
const [what = 'nri', ...more] = positionals;
if ((what !== 'nri' && what !== 'registry') || more.length > 0) endWithUsage(USAGE);
const targets = what === 'nri' ? nriTargets() : await registryTargets();
const report = await fuzz(targets, count, seed, (done) => process.stderr.write(`${done} of ${count}\n`));
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
process.stdout.write(
  `${report.executions} executions, ${report.perSecond} a second, longest ${report.longestMs.toFixed(1)} ms, ` +
    `heap ${mebibytes(report.heapBefore)} before, ${mebibytes(report.heapAfter)} after\n`,
);
// A hang or a leak is a failure as much as a crash is, which has thrown already.
if (report.longestMs > 1_000 || report.heapAfter - report.heapBefore > 16 * 2 ** 20) process.exitCode = 1;
