import { describe, expect, it } from 'vitest';
import { parseBoundedYaml, YamlTooLarge } from '../agent/bounded-yaml.ts';

const limits = { maxDocuments: 3, maxDepth: 4, maxTokens: 1_000 };

const valuesOf = (text: string) => parseBoundedYaml(text, limits).map((document) => document.toJS());

/** The bound that a text is beyond; undefined for one within all. */
function boundOf(text: string): string | undefined {
  try {
    parseBoundedYaml(text, limits);
  } catch (error) {
    if (error instanceof YamlTooLarge) return error.message;
    throw error;
  }
  return undefined;
}

describe('YAML within its bounds', () => {
  it.each([
    ['one document', 'mode: audit\nlist: [a, "b"]\n', [{ mode: 'audit', list: ['a', 'b'] }]],
    ['several', 'a: 1\n---\nb: 2\n---\n- 3\n', [{ a: 1 }, { b: 2 }, [3]]],
    ['JSON', '{"a": [1, {"b": null}]}', [{ a: [1, { b: null }] }]],
    [
      'a block of text',
      'a: |\n  one\n  - - - - - - - - - - - - -\n',
      [{ a: 'one\n- - - - - - - - - - - - -\n' }],
    ],
    ['brackets in text', `a: "${'['.repeat(50)}"\n`, [{ a: '['.repeat(50) }]],
    ['four levels', '[[[[1]]]]', [[[[[1]]]]]],
    ['four levels of block style', 'a:\n  b:\n    c:\n      d: 1\n', [{ a: { b: { c: { d: 1 } } } }]],
  ])('is read: %s', (_, text, values) => {
    expect(valuesOf(text)).toEqual(values);
  });

  it('says in its document what is wrong', () => {
    const [document] = parseBoundedYaml('a: 1\na: 2\n', limits);
    expect(document?.errors.map(({ code, linePos }) => [code, linePos?.[0]])).toEqual([
      ['DUPLICATE_KEY', { line: 2, col: 1 }],
    ]);
    expect(parseBoundedYaml('a: [1', limits)[0]?.errors.length).toBeGreaterThan(0);
  });
});

describe('YAML beyond its bounds is not parsed', () => {
  it.each([
    ['documents', '--- {}\n'.repeat(4), 'more than 3 documents'],
    ['documents without anything', '---\n'.repeat(5), 'more than 3 documents'],
    ['brackets', '['.repeat(1_000_000), 'nested more than 4 levels deep'],
    ['maps', '{a: '.repeat(1_000_000), 'nested more than 4 levels deep'],
    ['dashes', '- '.repeat(1_000_000), 'nested more than 4 levels deep'],
    ['question marks', '? '.repeat(1_000_000), 'nested more than 4 levels deep'],
    ['dashes after a marker', `--- \n${'- '.repeat(1_000_000)}`, 'nested more than 4 levels deep'],
    ['indentation', `a:\n${' '.repeat(17)}b: 1\n`, 'nested more than 4 levels deep'],
    ['values', 'a: b\n'.repeat(200_000), 'more than 1000 tokens'],
    ['comments', '#\n'.repeat(500_000), 'more than 1000 tokens'],
    ['closing brackets', ']'.repeat(1_000_000), 'more than 1000 tokens'],
  ])('by its %s', (_, text, bound) => {
    expect(boundOf(text)).toBe(bound);
  });
});
