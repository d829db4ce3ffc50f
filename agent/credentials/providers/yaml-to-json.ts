import { type Document, isAlias, isMap, isScalar, isSeq, parseAllDocuments } from 'yaml';
import { ProviderConfigError } from '../../errors.ts';
import type { RawJson } from '../go-json.ts';

/** What the reader of go.yaml.in/yaml/v2 refuses. */
const FORBIDDEN = /[^\P{Cc}\t\n\r\u0085]|[\ufffe\uffff]/u;
/** Of all nodes, aliases followed: a few lines of aliases can stand for billions. */
const MAX_NODES = 100_000;

/**
 * The first document of a YAML text as JSON text, as kubelet's sigs.k8s.io/yaml makes it: YAML 1.1 as
 * go.yaml.in/yaml/v2 reads it (`yes` is true, `1:30` a text), and names that stand twice stand twice again.
 *
 * @throws ProviderConfigError malformed; the message names a line, nothing of the text
 */
export function yamlToJson(text: string): RawJson {
  if (FORBIDDEN.test(text)) throw malformed('it holds control characters');
  // Plain scalars stay as they were written: what they mean in YAML 1.1 is decided here, as Go decides it.
  const documents = parseAllDocuments(text, { schema: 'failsafe', uniqueKeys: false, merge: false });
  const document = documents[0];
  if (document === undefined || !('contents' in document)) return 'null';
  const [error] = document.errors;
  if (error) throw malformed(`it is no YAML (line ${error.linePos?.[0].line ?? 1})`);
  return write({ document, nodes: 0, open: new Set() }, document.contents);
}

type Writing = { readonly document: Document.Parsed; nodes: number; readonly open: Set<unknown> };

function write(writing: Writing, node: unknown): RawJson {
  writing.nodes += 1;
  if (writing.nodes > MAX_NODES) throw malformed('its aliases stand for too much');
  if (node === null || node === undefined) return 'null';
  if (isScalar(node)) return scalarOf(String(node.value ?? ''), node.type === 'PLAIN', node.tag);
  if (isAlias(node)) return within(writing, node, () => write(writing, targetOf(writing, node)));
  if (isSeq(node)) {
    return within(writing, node, () => `[${node.items.map((item) => write(writing, item)).join(',')}]`);
  }
  if (isMap(node)) return within(writing, node, () => `{${membersOf(writing, node).join(',')}}`);
  throw malformed('it holds a node of an unknown kind');
}

function membersOf(writing: Writing, map: unknown): string[] {
  if (isAlias(map)) return within(writing, map, () => membersOf(writing, targetOf(writing, map)));
  if (isSeq(map)) return map.items.flatMap((item) => membersOf(writing, item));
  if (!isMap(map)) throw malformed('what is merged is no map');
  return map.items.flatMap(({ key, value }) => {
    const isMerge = isScalar(key) && key.type === 'PLAIN' && key.value === '<<';
    return isMerge ? membersOf(writing, value) : [`${nameOf(key)}:${write(writing, value)}`];
  });
}

/** A name that is no text becomes one; a map or list cannot. */
function nameOf(key: unknown): string {
  if (!isScalar(key)) throw malformed('a name in it is no text');
  return JSON.stringify(String(key.value ?? ''));
}

function targetOf(writing: Writing, alias: unknown): unknown {
  const target = isAlias(alias) ? alias.resolve(writing.document) : undefined;
  if (target === undefined) throw malformed('it has an alias without an anchor');
  return target;
}

function within<Result>({ open }: Writing, node: unknown, work: () => Result): Result {
  if (open.has(node)) throw malformed('an anchor contains itself');
  open.add(node);
  const result = work();
  open.delete(node);
  return result;
}

const NULL = /^(?:~|null|Null|NULL)?$/;
const TRUE = /^(?:y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON)$/;
const FALSE = /^(?:n|N|no|No|NO|false|False|FALSE|off|Off|OFF)$/;
const SPECIAL_FLOAT = /^(?:\.(?:nan|NaN|NAN)|[-+]?\.(?:inf|Inf|INF))$/;
const INTEGER = /^[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[1-9][0-9]*|0)$/;
const FLOAT = /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$/;

function scalarOf(text: string, plain: boolean, tag: string | undefined): RawJson {
  const isText = !plain || tag === '!' || tag === 'tag:yaml.org,2002:str';
  if (isText) return JSON.stringify(text);
  if (NULL.test(text)) return 'null';
  if (TRUE.test(text)) return 'true';
  if (FALSE.test(text)) return 'false';
  // No field of the configuration takes a number, so that any number does.
  return isNumber(text) ? '0' : JSON.stringify(text);
}

function isNumber(text: string): boolean {
  if (SPECIAL_FLOAT.test(text)) return true;
  // Underscores are for numbers that begin with a digit or a sign.
  const digits = text.startsWith('.') ? text : text.replaceAll('_', '');
  return /^[-+.0-9]/.test(text) && (INTEGER.test(digits) || FLOAT.test(digits));
}

function malformed(why: string): ProviderConfigError {
  return new ProviderConfigError('malformed', why);
}
