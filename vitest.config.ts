import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/**
 * The long tests on real containerd take minutes each and ask for much of a machine: `npm run test:long`.
 * Everything else is `scripts/test`, and a short form of the abusers is part of it.
 */
const ONLY_LONG = ['test/node/bytes-race.test.ts'];
const LONG = [...ONLY_LONG, 'test/node/abuse.test.ts'];
/** What has whole nodes, clusters or programs beside it: a process for each file. */
const WITH_PROGRAMS = ['cluster', 'commands', 'conformance', 'lab', 'manifests', 'node', 'packaging'];
const withPrograms = [...WITH_PROGRAMS.map((folder) => `test/${folder}/**`), 'test/nri/real.test.ts'];

const common = {
  pool: 'forks',
  // Tests on a node mostly wait for it: two at a time on two cores.
  maxWorkers: 2,
  testTimeout: 20_000,
  hookTimeout: 60_000,
  // Commands are started hundreds of times, from their sources.
  env: { NODE_COMPILE_CACHE: fileURLToPath(new URL('.cache/node', import.meta.url)) },
} as const;

export default defineConfig({
  test: {
    projects:
      process.env.LONG_TESTS === undefined
        ? [
            {
              test: {
                ...common,
                name: 'units',
                include: ['test/**/*.test.ts'],
                exclude: withPrograms,
                // To start a process for each of these files takes as long as most of their tests.
                isolate: false,
              },
            },
            {
              test: {
                ...common,
                name: 'programs',
                // Nodes and clusters have the agent as its image has it.
                globalSetup: 'test/build-agent.ts',
                include: withPrograms.map((path) => (path.endsWith('**') ? `${path}/*.test.ts` : path)),
                exclude: ONLY_LONG,
              },
            },
          ]
        : [{ test: { ...common, name: 'long', include: LONG, globalSetup: 'test/build-agent.ts' } }],
  },
});
