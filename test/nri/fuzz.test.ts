import { describe, expect, it } from 'vitest';
import { nriTargets } from '../../scripts/fuzz/nri-targets.ts';
import { fuzz } from '../../scripts/fuzz/run.ts';

// The whole, 10 million, is `npm run fuzz`.
describe('hostile bytes and changed frames of real sessions', () => {
  it('harm no layer: no crash, no hang, no memory kept', { timeout: 120_000 }, async () => {
    const report = await fuzz(nriTargets(), 200_000, 1);
    expect(report.executions).toBe(200_000);
    expect(report.longestMs).toBeLessThan(5_000);
    expect(report.heapAfter - report.heapBefore).toBeLessThan(16 * 1024 * 1024);
  });
});
