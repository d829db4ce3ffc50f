import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ProviderConfigError } from '../../errors.ts';
import { type RawJson, readJson } from '../go-json.ts';
import { decodeText } from '../go-text.ts';
import { decodeProviderConfig, type WrittenProvider } from '../provider-config.ts';
import { type FieldError, type Provider, validateProviders } from '../validate-provider-config.ts';
import { errorCodeOf, type Fingerprint, fingerprintOf, readSmallFile } from './small-file.ts';
import { yamlToJson } from './yaml-to-json.ts';

/** A configuration that kubelet would start with. */
export type LoadedConfig = {
  readonly providers: readonly Provider[];
  /** As kubelet's metric kubelet_credential_provider_config_info shows it. */
  readonly hash: string;
};

/** Ours: a configuration has some kilobytes. */
const MAX_FILE_BYTES = 1_048_576;
const MAX_FILES = 256;

/**
 * Reads kubelet's `--image-credential-provider-config`, a file or a folder of them
 * (pkg/credentialprovider/plugin/config.go, readCredentialProviderConfig): all files are decoded before names
 * are compared, and names before the rest is checked.
 *
 * @throws ProviderConfigError
 */
export async function loadProviderConfig(
  path: string,
  gate: { readonly serviceAccountTokens: boolean } = { serviceAccountTokens: true },
): Promise<LoadedConfig> {
  const hash = createHash('sha256');
  const written: WrittenProvider[] = [];
  for (const file of await filesOf(path)) {
    const bytes = await readFileOf(file);
    const length = Buffer.alloc(8);
    length.writeBigUInt64BE(BigInt(bytes.length));
    hash.update(length).update(bytes);
    written.push(...decodeFile(file, bytes));
  }
  const twice = written.find(({ name }, n) => written.findIndex((other) => other.name === name) < n);
  if (twice) {
    throw new ProviderConfigError('duplicateName', `there are two providers ${JSON.stringify(twice.name)}`);
  }
  const valid = validateProviders(written, gate);
  if ('errors' in valid) throw invalid(valid.errors);
  return { providers: valid.providers, hash: `sha256:${hash.digest('hex')}` };
}

function invalid(faults: readonly FieldError[]): ProviderConfigError {
  const texts = new Set(faults.map(({ field, type }) => `${field} is ${WORDS[type]}`));
  return new ProviderConfigError('invalid', [...texts].join(', '), { faults });
}

const WORDS: Readonly<Record<FieldError['type'], string>> = {
  required: 'missing',
  invalid: 'invalid',
  duplicate: 'there twice',
  notSupported: 'none of the values that there are',
  forbidden: 'not allowed here',
};

/** Changes whenever loading again could give something else. */
export async function configFingerprint(path: string): Promise<Fingerprint> {
  try {
    const files = await filesOf(path);
    const prints = await Promise.all(files.map(async (file) => [file, await fingerprintOf(file)]));
    return JSON.stringify(prints);
  } catch (error) {
    if (error instanceof ProviderConfigError) return error.message;
    throw error;
  }
}

async function filesOf(path: string): Promise<readonly string[]> {
  if (path === '') throw new ProviderConfigError('pathEmpty', 'no path is given');
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const entries = await readdir(path, { withFileTypes: true });
    const files = entries.filter((entry) => !entry.isDirectory() && isConfigName(entry.name));
    if (files.length === 0) {
      throw new ProviderConfigError('noFiles', `${path} holds no file *.json, *.yaml or *.yml`);
    }
    if (files.length > MAX_FILES)
      throw new ProviderConfigError('tooLarge', `${path} holds more than 256 files`);
    return files.map(({ name }) => join(path, name)).sort(inByteOrder);
  } catch (error) {
    if (error instanceof ProviderConfigError) throw error;
    throw new ProviderConfigError('unreadable', `${path} cannot be read: ${errorCodeOf(error)}`);
  }
}

/** Also a hidden file, and one that is called `.yaml` and nothing else; no other case. */
function isConfigName(name: string): boolean {
  return /\.(?:json|yaml|yml)$/.test(name);
}

function inByteOrder(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}

async function readFileOf(file: string): Promise<Buffer> {
  let bytes: Awaited<ReturnType<typeof readSmallFile>>;
  try {
    bytes = await readSmallFile(file, MAX_FILE_BYTES);
  } catch (error) {
    throw new ProviderConfigError('unreadable', `${file} cannot be read: ${errorCodeOf(error)}`);
  }
  if (bytes === 'notAFile') throw new ProviderConfigError('unreadable', `${file} is no file`);
  if (bytes === 'tooLarge') throw new ProviderConfigError('tooLarge', `${file} is larger than 1 MiB`);
  return bytes;
}

function decodeFile(file: string, bytes: Buffer): readonly WrittenProvider[] {
  try {
    return decodeProviderConfig(jsonOf(bytes));
  } catch (error) {
    if (!(error instanceof ProviderConfigError)) throw error;
    throw new ProviderConfigError(error.reason, `${file}: ${error.message}`, { cause: error });
  }
}

/**
 * What begins like an object is JSON and nothing else, whatever the file is called (yaml.GuessJSONStream).
 */
function jsonOf(bytes: Buffer): RawJson {
  const text = decodeText(bytes);
  if (!text.replace(/^[\p{White_Space}]+/u, '').startsWith('{')) return yamlToJson(utf8Of(bytes));
  const json = readJson(text);
  if (json === undefined) throw new ProviderConfigError('malformed', 'it begins like JSON and is none');
  return json;
}

/** JSON with broken UTF-8 is repaired by Go, YAML refused. */
function utf8Of(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ProviderConfigError('malformed', 'it is not UTF-8');
  }
}
