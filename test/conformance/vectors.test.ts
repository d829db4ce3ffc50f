import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readVectorFiles } from '../../scripts/conformance/vector-files.ts';

const files = readVectorFiles(process.env.CONFORMANCE_VECTORS ?? join(import.meta.dirname));

/** Recorded from kubelet v1.36.2; `npm run conformance` runs the same, and says which file and folder. */
describe.each(files)('as kubelet v1.36.2 in $file', ({ vectors }) => {
  it.each(vectors)('$name', async (vector) => {
    expect(await vector.differences()).toEqual([]);
  });
});
