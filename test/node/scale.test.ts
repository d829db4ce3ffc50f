import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSharedNode, type SharedNode } from '../../scripts/bench/abuse/shared-node.ts';
import { measureParts } from '../../scripts/scale/measure.ts';
import { PARTS } from '../../scripts/scale/parts.ts';
import { offers } from './scene.ts';

/** The parts of docs/scale.md; only the recheck, a minute later, is left to `node scripts/scale/main.ts`. */
const agent = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const isHere = offers.some(({ containerd, available }) => containerd === '2' && available);

describe.skipIf(!isHere)('what a node costs API server and registry', { timeout: 120_000 }, () => {
  let node: SharedNode;

  beforeAll(async () => {
    node = await openSharedNode([agent]);
  }, 120_000);

  afterAll(async () => {
    await node.stop();
  }, 60_000);

  it('is what the sums of docs/scale.md are made of', async () => {
    const told: string[] = [];
    const tell = (line: string): void => void told.push(line);
    const { parts, watchSeconds } = await measureParts(node, { patient: false, tell });
    const { recheck: _, refusal, withAccount, ...api } = PARTS.api;
    expect(parts.registry, told.join('\n')).toEqual(PARTS.registry);
    expect(parts.api, told.join('\n')).toMatchObject(api);
    // What is prepared and what is asked share a read of the secret, or do not.
    expect(parts.api.refusal, told.join('\n')).toBeLessThanOrEqual(refusal);
    expect(parts.api.withAccount, told.join('\n')).toBeLessThanOrEqual(withAccount);
    expect(watchSeconds).toBeGreaterThanOrEqual(300);
    expect(watchSeconds).toBeLessThanOrEqual(600);
  });
});
