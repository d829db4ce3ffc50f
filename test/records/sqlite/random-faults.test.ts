import { expect, it } from 'vitest';
import { damageCopies } from '../../../scripts/faults/damage.ts';
import { failIo } from '../../../scripts/faults/failing-io.ts';
import { killWriters } from '../../../scripts/faults/kill.ts';

// `npm run faults` does the same ten thousand times.
it('a state directory that is damaged at random opens, and gives nobody a permission', {
  timeout: 180_000,
}, () => {
  const { failures, noticed } = damageCopies(300, 20_261);
  expect(failures).toEqual([]);
  // Most of what is hit is in use.
  expect(noticed).toBeGreaterThan(100);
});

it('a writer that is killed at random moments loses no settled pull and grants none that is not', {
  timeout: 180_000,
}, async () => {
  const { failures, settled } = await killWriters(12, 20_262);
  expect(failures).toEqual([]);
  expect(settled).toBeGreaterThan(0);
});

it('a disk whose n-th call fails loses nothing that was said to be on it, and grants nothing', {
  timeout: 180_000,
}, () => {
  const { failures, hit } = failIo(20, 20_263);
  expect(failures).toEqual([]);
  expect(hit).toBeGreaterThan(0);
});
