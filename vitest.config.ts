import { defineConfig } from 'vitest/config';

/**
 * The long tests on real containerd take minutes each and ask for much of a machine: `npm run test:long`.
 * Everything else is `scripts/test`.
 */
const LONG = ['abuse', 'bytes-race'].map((name) => `test/node/${name}.test.ts`);

export default defineConfig({
  test: {
    include: process.env.LONG_TESTS === undefined ? ['test/**/*.test.ts'] : LONG,
    exclude: process.env.LONG_TESTS === undefined ? LONG : [],
    pool: 'forks',
    // Tests on a node mostly wait for it: two at a time on two cores.
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 60_000,
  },
});
