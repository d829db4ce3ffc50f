import { parseArgs } from 'node:util';
import { damageCopies } from './damage.ts';
import { failIo } from './failing-io.ts';
import { killWriters } from './kill.ts';

const { values } = parseArgs({
  options: {
    copies: { type: 'string', default: '10000' },
    faults: { type: 'string', default: '1000' },
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const seed = Number(values.seed);
const damage = damageCopies(Number(values.copies), seed);
process.stdout.write(
  `damaged at random, seed ${seed}: ${damage.copies} copies, ${damage.noticed} noticed, ${damage.failures.length} failures\n`,
);
const faults = failIo(Number(values.faults), seed);
process.stdout.write(
  `failing disk, seed ${seed}: ${faults.runs} runs, ${faults.hit} hit, ${faults.failures.length} failures\n`,
);
const kills = await killWriters(Number(values.kills), seed);
process.stdout.write(
  `killed at random, seed ${seed}: ${kills.kills} times, ${kills.settled} pulls settled, ${kills.failures.length} failures\n`,
);
const failures = [...damage.failures, ...faults.failures, ...kills.failures];
for (const failure of failures) process.stdout.write(`${failure}\n`);
if (failures.length > 0) process.exitCode = 1;
