import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { formatTable, type OutputFormat, printOutput, timeText } from '../../agent/commands/output.ts';
import { terminalOf } from '../../agent/commands/terminal.ts';

type Row = { readonly name: string; readonly image: string };

const columns = [
  { header: 'NAME', value: (row: Row) => row.name },
  { header: 'IMAGE', value: (row: Row) => row.image },
];

function printed(format: OutputFormat, rows: readonly Row[]): string {
  let text = '';
  printOutput((part) => (text += part), format, { data: rows, rows, columns });
  return text;
}

describe('a table', () => {
  it('has aligned columns, and a dash for what is empty', () => {
    const rows = [
      { name: 'a', image: 'busybox' },
      { name: 'longer', image: '' },
    ];
    expect(formatTable(columns, rows)).toBe('NAME    IMAGE\na       busybox\nlonger  -\n');
  });

  it('is its headers alone when there is nothing', () => {
    expect(formatTable(columns, [])).toBe('NAME  IMAGE\n');
  });

  it('cuts what is too long', () => {
    expect(formatTable(columns, [{ name: 'a', image: 'b'.repeat(5_000) }]).length).toBeLessThan(500);
  });
});

describe('a table on a terminal', () => {
  const cuttable = [
    { header: 'NAME', value: (row: Row) => row.name, cut: 'end' },
    { header: 'IMAGE', value: (row: Row) => row.image, cut: 'start' },
  ] as const;
  const rows = [{ name: 'n'.repeat(30), image: `registry.example/${'x'.repeat(40)}/app:1` }];

  it('fits its width: the widest columns are cut, images at their beginning', () => {
    const [header = '', line = ''] = formatTable(cuttable, rows, { columns: 50, color: false }).split('\n');
    expect(Math.max(header.length, line.length)).toBeLessThanOrEqual(50);
    expect(line).toMatch(/^n+…? +….*\/app:1$/);
  });

  it('goes on below itself where it ends with sentences', () => {
    const sentences = [
      { header: 'CHECK', value: (row: Row) => row.name },
      { header: 'DETAIL', value: (row: Row) => row.image, wrap: true },
    ] as const;
    const said = [{ name: 'nri', image: 'no socket at the usual place -> switch it on in config.toml' }];
    expect(formatTable(sentences, said, { columns: 40, color: false })).toBe(
      [
        'CHECK  DETAIL',
        'nri    no socket at the usual place ->',
        '       switch it on in config.toml',
        '',
      ].join('\n'),
    );
    expect(formatTable(sentences, said).trimEnd().split('\n')).toHaveLength(2);
  });

  it('is whole where nobody counts columns', () => {
    expect(formatTable(cuttable, rows)).toContain(rows[0]?.image);
  });

  it('has no colour without a terminal, with NO_COLOR, and on a dumb one', () => {
    expect(terminalOf({ isTTY: false }, {})).toEqual({ columns: undefined, color: false });
    expect(terminalOf({ isTTY: true, columns: 80 }, {})).toEqual({ columns: 80, color: true });
    expect(terminalOf({ isTTY: true, columns: 80 }, { NO_COLOR: '1' }).color).toBe(false);
    expect(terminalOf({ isTTY: true, columns: 80 }, { NO_COLOR: '' }).color).toBe(true);
    expect(terminalOf({ isTTY: true, columns: 80 }, { TERM: 'dumb' }).color).toBe(false);
  });
});

describe('text from tenants', () => {
  const text = fc.string({ unit: 'binary' });

  it('is one line of a table, without a character that moves the cursor', () => {
    fc.assert(
      fc.property(text, text, (name, image) => {
        const lines = printed('table', [{ name, image }]).split('\n');
        expect(lines).toHaveLength(3);
        expect(lines.join('')).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
      }),
    );
  });

  it('comes out of JSON and YAML as it went in, and is harmless on a terminal', () => {
    fc.assert(
      fc.property(text, text, (name, image) => {
        const rows = [{ name: name.toWellFormed(), image: image.toWellFormed() }];
        const json = printed('json', rows);
        const yaml = printed('yaml', rows);
        expect(JSON.parse(json)).toEqual(rows);
        expect(parse(yaml)).toEqual(rows);
        expect((json + yaml).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u2028\u2029\u202e]/u);
      }),
    );
  });
});

describe('a time', () => {
  it('is written as RFC 3339, and what is none as nothing', () => {
    expect(timeText(0)).toBe('1970-01-01T00:00:00.000Z');
    expect(timeText(Number.NaN)).toBe('');
    expect(timeText(1e18)).toBe('');
  });
});
