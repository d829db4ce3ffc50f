import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { flagOf, OPTION_LIST, variableOf } from '../agent/config/options.ts';

const BEGIN = '<!-- config:begin -->';
const END = '<!-- config:end -->';
const README = fileURLToPath(new URL('../README.md', import.meta.url));

/**
 * Writes the table of options into README.md, between its two marks. With `--check` it writes nothing and ends with 1
 * when the table there is not that of agent/config/options.ts.
 */
function main(check: boolean): number {
  const before = readFileSync(README, 'utf8');
  const after = withTable(before, configTable());
  if (after === undefined) return say(`README.md has no ${BEGIN} … ${END}`);
  if (after === before) return 0;
  if (check) return say('the table of options in README.md is stale: run `node scripts/readme-config.ts`');
  writeFileSync(README, after);
  return 0;
}

function withTable(readme: string, table: string): string | undefined {
  const begin = readme.indexOf(BEGIN);
  const end = readme.indexOf(END);
  if (begin === -1 || end < begin) return undefined;
  return `${readme.slice(0, begin + BEGIN.length)}\n${table}${readme.slice(end)}`;
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
