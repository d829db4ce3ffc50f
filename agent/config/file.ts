import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { parseBoundedYaml, type YamlLimits } from '../bounded-yaml.ts';
import { ConfigError } from '../errors.ts';
import { printable } from '../printable.ts';

const MAX_BYTES = 1024 * 1024;
const MAX_ALIASES = 100;
/** All options and an allowlist of a thousand patterns take half of it. */
const LIMITS: YamlLimits = { maxDocuments: 1, maxDepth: 16, maxTokens: 20_000 };

/**
 * The keys of a YAML configuration file and what they hold.
 * @throws ConfigError `fileUnreadable`, `fileMalformed`
 */
export function readConfigFile(path: string): ReadonlyMap<string, unknown> {
  const content = parse(path, readText(path));
  if (content === null || content === undefined) return new Map();
  if (typeof content !== 'object' || Array.isArray(content)) {
    throw new ConfigError('fileMalformed', `${printable(path)}: must hold keys and values`);
  }
  return new Map(Object.entries(content));
}

function readText(path: string): string {
  let file: number | undefined;
  try {
    // Without O_NONBLOCK, opening a FIFO would wait for its writer.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const info = fstatSync(file);
    if (!info.isFile()) throw new Error('is not a file');
    if (info.size > MAX_BYTES) throw new Error(`is larger than ${MAX_BYTES} bytes`);
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ConfigError('fileUnreadable', `--config ${printable(path)}: ${firstLine(error)}`, {
      cause: error,
    });
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function parse(path: string, text: string): unknown {
  try {
    const [document] = parseBoundedYaml(text, LIMITS);
    const problem = document?.errors[0] ?? document?.warnings[0];
    if (problem) throw new Error(`${problem.message} at line ${problem.linePos?.[0].line}`);
    return document?.toJS({ maxAliasCount: MAX_ALIASES });
  } catch (error) {
    throw new ConfigError('fileMalformed', `${printable(path)}: ${firstLine(error)}`, { cause: error });
  }
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return printable(message.split('\n')[0] ?? '', 300);
}
