import { Composer, type Document, Lexer, LineCounter, type ParsedNode, Parser } from 'yaml';

/**
 * YAML with bounds on what a text can cost, checked before it is parsed. A document costs far more than the
 * seven bytes of `--- {}` (1 MiB of them 15 s), and the parser goes through all levels at each bracket (1 MiB
 * of `[` two minutes).
 */
export type YamlLimits = {
  readonly maxDocuments: number;
  /**
   * Of lists and maps within each other, in flow style; in block style, four columns of indentation count as
   * one.
   */
  readonly maxDepth: number;
  /** Of names, values, brackets, indicators and the space between: `name: value` and a new line are seven. */
  readonly maxTokens: number;
};

/** A text is beyond its bounds. The message names the bound, and nothing of the text. */
export class YamlTooLarge extends Error {
  override readonly name = 'YamlTooLarge';
}

export type YamlDocument = Document.Parsed<ParsedNode, true>;

const COLUMNS_PER_LEVEL = 4;
/** As yaml's Lexer marks it. */
const DOCUMENT_START = '\x02';

/**
 * The documents of a YAML (or JSON) text, each with its own errors and warnings and their lines. What aliases
 * stand for is bounded where a document becomes a value: `toJS({ maxAliasCount })`.
 * @throws YamlTooLarge
 */
export function parseBoundedYaml(text: string, limits: YamlLimits): YamlDocument[] {
  const documents: YamlDocument[] = [];
  const composer = new Composer<ParsedNode, true>({ uniqueKeys: true, logLevel: 'silent' });
  const add = (composed: Iterable<YamlDocument>): void => {
    for (const document of composed) {
      if (documents.length === limits.maxDocuments) {
        throw new YamlTooLarge(`more than ${limits.maxDocuments} documents`);
      }
      documents.push(document);
    }
  };
  const lines = new LineCounter();
  lines.addNewLine(0);
  const parser = new Parser(lines.addNewLine);
  const check = checkTokens(limits);
  for (const lexeme of new Lexer().lex(text)) {
    check(lexeme);
    for (const token of parser.next(lexeme)) add(composer.next(token));
  }
  for (const token of parser.end()) add(composer.next(token));
  add(composer.end(true, text.length));
  for (const problem of documents.flatMap(({ errors, warnings }) => [...errors, ...warnings])) {
    problem.linePos = [lines.linePos(problem.pos[0])];
  }
  return documents;
}

/** Takes the text's tokens in order, as yaml's Lexer writes them. */
function checkTokens({ maxTokens, maxDepth }: YamlLimits): (lexeme: string) => void {
  let tokens = 0;
  let flowDepth = 0;
  /** Of the line's first name or value; undefined after it. */
  let column: number | undefined = 0;
  return (lexeme) => {
    tokens += 1;
    if (tokens > maxTokens) throw new YamlTooLarge(`more than ${maxTokens} tokens`);
    if (lexeme === '[' || lexeme === '{') flowDepth += 1;
    else if (lexeme === ']' || lexeme === '}') flowDepth = Math.max(0, flowDepth - 1);
    if (lexeme.endsWith('\n') || lexeme === DOCUMENT_START) column = 0;
    else if (column !== undefined) column = /^[ \t?:-]+$/.test(lexeme) ? column + lexeme.length : undefined;
    if (flowDepth > maxDepth || (column ?? 0) > maxDepth * COLUMNS_PER_LEVEL) {
      throw new YamlTooLarge(`nested more than ${maxDepth} levels deep`);
    }
  };
}
