import { expect, it } from 'vitest';
import { registryTargets } from '../../scripts/fuzz/registry-targets.ts';
import { fuzz } from '../../scripts/fuzz/run.ts';

// More of it is `npm run fuzz -- registry`.
it('the registry client takes whatever it is sent, and answers from its closed list', async () => {
  const report = await fuzz(await registryTargets(), 3_500, 1);
  expect(report.executions).toBe(3_500);
  expect(report.longestMs).toBeLessThan(5_000);
}, 120_000);
