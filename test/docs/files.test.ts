import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const repository = fileURLToPath(new URL('../../', import.meta.url));
const sources = globSync('{agent,scripts,test}/**/*.ts', { cwd: repository });
const pages = globSync(['*.md', 'docs/**/*.md'], { cwd: repository });

/** Source files that a page names in code spans, by their whole path or the end of it. */
function filesNamedBy(page: string): readonly string[] {
  const text = readFileSync(`${repository}${page}`, 'utf8');
  return Array.from(text.matchAll(/`([\w./-]+\.ts)`/g), ([, name = '']) => name);
}

describe('a source file that a page names', () => {
  it.each(pages)('is there: %s', (page) => {
    const missing = filesNamedBy(page).filter(
      (name) => !sources.some((source) => source === name || source.endsWith(`/${name}`)),
    );
    expect(missing).toEqual([]);
  });
});
