import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readPaces } from '../../scripts/scale/paces.ts';
import { withTables } from '../../scripts/scale/page.ts';
import { PARTS } from '../../scripts/scale/parts.ts';

const page = readFileSync(new URL('../../docs/scale.md', import.meta.url), 'utf8');

it('docs/scale.md has the sums of the parts that are measured and of the agent’s own paces', async () => {
  expect(page).toBe(withTables(page, PARTS, await readPaces()));
});

it('its sentences name the paces that the agent keeps', async () => {
  const paces = await readPaces();
  expect(page).toContain(`Watches last between 5 and 10 minutes`);
  expect(paces.watchesPerHour).toBe(60 / 7.5);
  expect(page).toContain('sweeps come 7.5 to\n22.5 minutes apart');
  expect(paces.sweepsPerHour).toBe(60 / 15);
  expect(page).toContain(`asked about every\n  ${paces.outageNoticedWithin} s at most`);
  expect(page).toContain(`(a quarter of\n  an hour at ${paces.backgroundPerMinute} a minute)`);
  expect(page).toContain(`${paces.atOncePerRegistry} at once`);
  expect(page).toContain(`list and watch again within ${paces.watchRetrySeconds} s`);
});
