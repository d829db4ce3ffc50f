import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type OutputChunk } from 'rolldown';

/**
 * `npm run build`: the agent and what it uses of its libraries in a few files under dist/. Of whole libraries
 * much is loaded that is never called; see docs/numbers.md for what this saves on every node. The SQLite
 * addon stays a package.
 */
const repository = fileURLToPath(new URL('../', import.meta.url));
const dist = join(repository, 'dist');

rmSync(dist, { recursive: true, force: true });
const { output } = await build({
  input: {
    main: join(repository, 'agent/main.ts'),
    'kubectl-pullwarden': join(repository, 'agent/kubectl-pullwarden.ts'),
    'kubectl-complete': join(repository, 'agent/kubectl-complete.ts'),
    'chunks/worker': join(repository, 'agent/enforcement/veto/worker.ts'),
    'chunks/secrets-worker': join(repository, 'agent/access/large-secrets/secrets-worker.ts'),
    'chunks/objects-worker': join(repository, 'agent/pods/kubernetes/large-objects/objects-worker.ts'),
  },
  platform: 'node',
  external: ['better-sqlite3'],
  output: {
    dir: join(dist, 'agent'),
    format: 'esm',
    chunkFileNames: 'chunks/[name]-[hash].js',
    // Names stay as they are: a stack in a log must be readable without a map.
    minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
  },
});
const chunks = output.filter((file): file is OutputChunk => file.type === 'chunk');
writeFileSync(join(dist, 'THIRD_PARTY_LICENSES'), licencesOf(chunks.flatMap(({ moduleIds }) => moduleIds)));

/** The licences of the packages that went into the bundle, each with its name and version. */
function licencesOf(modules: readonly string[]): string {
  const roots = modules.flatMap((id) => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(id)?.[0] ?? []);
  return [...new Set(roots)]
    .sort()
    .map((root) => {
      const { name, version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
      const file = readdirSync(root).find((entry) => /^(un)?licen[cs]e/i.test(entry));
      const text = file === undefined ? '' : readFileSync(join(root, file), 'utf8').trim();
      return `${name} ${version} (${license})\n\n${text}\n`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}
