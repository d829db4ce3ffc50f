import { parseArgs } from 'node:util';
import { damageCopies } from './damage.ts';
import { killWriters } from './kill.ts';

const { values } = parseArgs({
  options: {
    copies: { type: 'string', default: '10000' },
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
  },
});
const seed = Number(values.seed);
const damage = damageCopies(Number(values.copies), seed);
process.stdout.write(
  `damaged at random, seed ${seed}: ${damage.copies} copies, ${damage.noticed} noticed, ${damage.failures.length} failures\n`,
);
const kills = await killWriters(Number(values.kills), seed);
process.stdout.write(
  `killed at random, seed ${seed}: ${kills.kills} times, ${kills.settled} pulls settled, ${kills.failures.length} failures\n`,
);
for (const failure of [...damage.failures, ...kills.failures]) process.stdout.write(`${failure}\n`);
if (damage.failures.length + kills.failures.length > 0) process.exitCode = 1;
