import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { flagOf, OPTION_LIST, variableOf } from '../agent/config/options.ts';

const BEGIN = '<!-- config:begin -->';
const END = '<!-- config:end -->';
const PAGE = fileURLToPath(new URL('../docs/configuration.md', import.meta.url));

/**
 * Writes the table of options into docs/configuration.md, between its two marks. With `--check` it writes
 * nothing and ends with 1 when the table there is not that of agent/config/options.ts.
 */
function main(check: boolean): number {
  const before = readFileSync(PAGE, 'utf8');
  const after = withTable(before, configTable());
  if (after === undefined) return say(`docs/configuration.md has no ${BEGIN} … ${END}`);
  if (after === before) return 0;
  if (check)
    return say('the table of options in docs/configuration.md is stale: run `node scripts/config-table.ts`');
  writeFileSync(PAGE, after);
  return 0;
}

function withTable(page: string, table: string): string | undefined {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin === -1 || end < begin) return undefined;
  return `${page.slice(0, begin + BEGIN.length)}\n${table}${page.slice(end)}`;
}

function configTable(): string {
  const rows = OPTION_LIST.filter((option) => !option.hidden).map((option) => {
    const shown = option.defaultShown ?? (option.default ? `\`${option.default}\`` : '');
    const cells = [
      `\`${option.name}\``,
      `\`${flagOf(option.name)}\``,
      `\`${variableOf(option.name)}\``,
      shown,
      `${option.description} (${option.type.allowed})`,
    ];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  });
  return `| YAML | flag | environment | default | |\n|---|---|---|---|---|\n${rows.join('')}`;
}

function say(problem: string): number {
  process.stderr.write(`${problem}\n`);
  return 1;
}

process.exitCode = main(process.argv.includes('--check'));
