/** Writes the tables of docs/scale.md anew: `node scripts/scale/table.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { readPaces } from './paces.ts';
import { withTables } from './page.ts';
import { PARTS } from './parts.ts';

const page = new URL('../../docs/scale.md', import.meta.url);
writeFileSync(page, withTables(readFileSync(page, 'utf8'), PARTS, await readPaces()));
