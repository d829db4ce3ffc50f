import { parseArgs } from 'node:util';
import { nriTargets } from './nri-targets.ts';
import { registryTargets } from './registry-targets.ts';
import { fuzz } from './run.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: 'string', default: '10000000' }, seed: { type: 'string', default: '1' } },
});
const [count, seed] = [Number(values.count), Number(values.seed)];
if (!Number.isSafeInteger(count) || count < 1 || !Number.isSafeInteger(seed)) {
  throw new RangeError('--count and --seed are whole numbers');
}
const [what = 'nri'] = positionals;
if (what !== 'nri' && what !== 'registry') throw new RangeError('what to fuzz is nri or registry');
const targets = what === 'nri' ? nriTargets() : await registryTargets();
const report = await fuzz(targets, count, seed, (done) => process.stderr.write(`${done} of ${count}\n`));
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
process.stdout.write(
  `${report.executions} executions, ${report.perSecond} a second, longest ${report.longestMs.toFixed(1)} ms, ` +
    `heap ${mebibytes(report.heapBefore)} before, ${mebibytes(report.heapAfter)} after\n`,
);
// A hang or a leak is a failure as much as a crash is, which has thrown already.
if (report.longestMs > 1_000 || report.heapAfter - report.heapBefore > 16 * 2 ** 20) process.exitCode = 1;
