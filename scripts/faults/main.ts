import { endWithUsage, readCommandLine, wholeNumberFrom } from '../command-line.ts';
import { damageCopies } from './damage.ts';
import { failIo } from './failing-io.ts';
import { killWriters } from './kill.ts';

const USAGE = 'npm run faults -- [--copies N] [--faults N] [--kills N] [--seed N]';
const { values } = readCommandLine(USAGE, {
  options: {
    copies: { type: 'string', default: '10000' },
    faults: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const numberOf = (text: string): number => wholeNumberFrom(0, text) ?? endWithUsage(USAGE);
const counts = {
  copies: numberOf(values.copies),
  faults: numberOf(values.faults),
  kills: numberOf(values.kills),
};
const seed = numberOf(values.seed);
const damage = damageCopies(counts.copies, seed);
tell(`damaged at random, seed ${seed}: ${damage.copies} copies, ${damage.noticed} noticed`, damage.failures);
const faults = failIo(counts.faults, seed);
tell(`failing disk, seed ${seed}: ${faults.runs} runs, ${faults.hit} hit`, faults.failures);
const kills = await killWriters(counts.kills, seed);
tell(`killed at random, seed ${seed}: ${kills.kills} times, ${kills.settled} pulls settled`, kills.failures);
const failures = [...damage.failures, ...faults.failures, ...kills.failures];
for (const failure of failures) process.stdout.write(`${failure}\n`);
if (failures.length > 0) process.exitCode = 1;

function tell(what: string, failures: readonly string[]): void {
  process.stdout.write(`${what}, ${failures.length} failures\n`);
}
