import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { readPaces } from '../../scripts/scale/paces.ts';
import { withTables } from '../../scripts/scale/page.ts';
import { PARTS } from '../../scripts/scale/parts.ts';
import { NODE } from '../../scripts/scale/scenarios.ts';

const page = readFileSync(new URL('../../docs/scale.md', import.meta.url), 'utf8');
const prose = page.replaceAll(/\s+/g, ' ');

it('docs/scale.md has the sums of the parts that are measured and of the agent’s own paces', async () => {
  expect(page).toBe(withTables(page, PARTS, await readPaces()));
});

it('its sentences name the paces that the agent keeps', async () => {
  const paces = await readPaces();
  expect(prose).toContain('Watches last between 5 and 10 minutes');
  expect(paces.watchesPerHour).toBe(60 / 7.5);
  expect(prose).toContain('sweeps come 7.5 to 22.5 minutes apart');
  expect(paces.sweepsPerHour).toBe(60 / 15);
  expect(prose).toContain(`asked about every ${paces.outageNoticedWithin} s at most`);
  expect(prose).toContain(`(a quarter of an hour at ${paces.backgroundPerMinute} a minute)`);
  expect(prose).toContain(`${paces.atOncePerRegistry} at once`);
  expect(prose).toContain(`list and watch again within ${paces.watchRetrySeconds} s`);
});

it('and the node that the sums are of', () => {
  const { podStartsPerHour, ownersOnRecord, namespaces, grantsOnRecord, rollOutPods, rollOutMinutes } = NODE;
  expect(prose).toContain(`starts ${podStartsPerHour} pods an hour`);
  expect(prose).toContain(
    `${ownersOnRecord} secrets and service accounts on record, of ${namespaces} namespaces, and ${grantsOnRecord} grants`,
  );
  expect(prose).toContain(`${rollOutPods} pods start on it within ${rollOutMinutes} minutes, of one image`);
  expect(NODE.newImages).toBe(1);
  expect(prose).toContain(`${NODE.waiting} images with their credentials wait`);
});
