import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

/** docs/how-it-works.md is for readers who jump from function to function: each must be where it says. */
const page = readFileSync(new URL('../../docs/how-it-works.md', import.meta.url), 'utf8');
const [, table = ''] = /<!-- way:begin -->([\s\S]*?)<!-- way:end -->/.exec(page) ?? [];
const steps = [...table.matchAll(/^\| `(\w+)` \| `([\w/.-]+)` \|/gm)].map(([, name = '', file = '']) => ({
  name,
  file,
}));

it('has at most twelve steps', () => {
  expect(steps.length).toBeGreaterThan(8);
  expect(steps.length).toBeLessThanOrEqual(12);
});

it.each(steps)('finds $name in $file', ({ name, file }) => {
  const source = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');
  expect(source).toMatch(new RegExp(`export (async )?function ${name}\\b`));
});
