/** Writes the table of docs/outages.md anew: `node scripts/outages/table.ts`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { outageMatrix, outageTable } from './matrix.ts';

const page = new URL('../../docs/outages.md', import.meta.url);
const table = outageTable(await outageMatrix());
const [before = '', after = ''] = readFileSync(page, 'utf8').split(
  /<!-- outages:begin -->[\s\S]*<!-- outages:end -->/,
);
writeFileSync(page, `${before}<!-- outages:begin -->\n${table}<!-- outages:end -->${after}`);
