import { ConfigError } from '../errors.ts';
import { parseAllowlist } from '../image/allowlist.ts';
import { printable } from '../printable.ts';
import { readConfigFile } from './file.ts';
import type { Flags } from './flags.ts';
import {
  type Config,
  flagOf,
  isOptionName,
  OPTION_LIST,
  OPTIONS,
  type OptionName,
  variableOf,
} from './options.ts';

export type { Config } from './options.ts';

/** A value as it was found, and where, in words for a message. */
type Found = { readonly value: unknown; readonly source: string };

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What Kubernetes puts into every container for each Service of the namespace (service links): a Service
 * named `pullwarden` or `pullwarden-metrics` must not be taken for a misspelt option.
 */
const SERVICE_LINK_ENDS = [
  'SERVICE_HOST',
  'SERVICE_PORT(?:_[A-Z0-9_]+)?',
  'PORT(?:_\\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?',
];
const SERVICE_LINK = new RegExp(`^PULLWARDEN_(?:[A-Z0-9_]+_)?(?:${SERVICE_LINK_ENDS.join('|')})$`);

export type ConfigSources = {
  readonly flags: Flags;
  readonly env: Environment;
  /**
   * Called for a PULLWARDEN_* variable that is no option, with a message for people. It is not an error:
   * after a rollback the manifests of the newer version may still set variables that this version does not
   * know.
   */
  readonly onUnknownVariable?: (message: string) => void;
};

/**
 * The configuration from flags, environment (PULLWARDEN_*), the YAML file that one of these names, and
 * defaults. The first that has an option wins; what the others hold is validated all the same.
 *
 * @throws ConfigError
 */
export function resolveConfig({ flags, env, onUnknownVariable = () => {} }: ConfigSources): Config {
  const layers = [fromFlags(flags), fromEnvironment(env, onUnknownVariable)];
  const file = layers.map((layer) => layer.get('config')).find((found) => found !== undefined);
  if (file !== undefined) layers.push(fromFile(String(validated('config', file))));

  const values = OPTION_LIST.map(({ name }) => {
    const given = layers.flatMap((layer) => layer.get(name) ?? []).map((found) => validated(name, found));
    return [name, given.length > 0 ? given[0] : defaultOf(name)] as const;
  });
  // Each value came out of its own option's schema, which is what Config is made of.
  const config = Object.fromEntries(values) as Config;
  checkAllowlist(config, layers);
  return config;
}

function fromFlags(flags: Flags): Map<OptionName, Found> {
  const found = new Map<OptionName, Found>();
  for (const { name, type } of OPTION_LIST) {
    const text = flags[name];
    if (text !== undefined) found.set(name, { value: type.fromText(text), source: flagOf(name) });
  }
  return found;
}

function fromEnvironment(
  env: Environment,
  onUnknownVariable: (message: string) => void,
): Map<OptionName, Found> {
  const names = new Map(OPTION_LIST.map(({ name }) => [variableOf(name), name]));
  const found = new Map<OptionName, Found>();
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('PULLWARDEN_') || text === undefined) continue;
    const name = names.get(variable);
    if (name !== undefined) found.set(name, { value: OPTIONS[name].type.fromText(text), source: variable });
    else if (!SERVICE_LINK.test(variable)) {
      onUnknownVariable(
        `environment variable ${printable(variable, 100)} is ignored: this version has no such option`,
      );
    }
  }
  return found;
}

function fromFile(path: string): Map<OptionName, Found> {
  const found = new Map<OptionName, Found>();
  for (const [key, value] of readConfigFile(path)) {
    if (!isOptionName(key) || key === 'config') {
      throw new ConfigError(
        'unknownOption',
        `${printable(path)}: ${quoted(key)} is not an option; known are ${shownNames((name) => name)}`,
      );
    }
    found.set(key, { value, source: `${key} in ${printable(path)}` });
  }
  return found;
}

function validated(name: OptionName, { value, source }: Found): unknown {
  const { type } = OPTIONS[name];
  // An option is left out by not naming it; `undefined` cannot be written in any of the sources.
  const parsed = value === null ? undefined : type.schema.safeParse(value);
  if (parsed?.success) return parsed.data;
  throw new ConfigError(
    'invalidValue',
    `${source}: ${quoted(value)} is not allowed, it must be ${type.allowed}`,
  );
}

function defaultOf(name: OptionName): unknown {
  const option = OPTION_LIST.find((candidate) => candidate.name === name);
  const text = option?.default;
  return text === undefined ? undefined : option?.type.schema.parse(option.type.fromText(text));
}

/**
 * Kubelet refuses an allowlist that its policy would not read, too: whoever wrote one believes that it
 * counts.
 */
function checkAllowlist(config: Config, layers: readonly Map<OptionName, Found>[]): void {
  if (config.verificationAllowlist.length === 0) return;
  const source = layers
    .map((layer) => layer.get('verificationAllowlist')?.source)
    .find((text) => text !== undefined);
  if (config.verificationPolicy !== 'NeverVerifyAllowlistedImages') {
    const policies = `verificationPolicy NeverVerifyAllowlistedImages, not ${config.verificationPolicy}`;
    throw new ConfigError('conflict', `${source}: an allowlist goes only with ${policies}`);
  }
  try {
    parseAllowlist(config.verificationAllowlist);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw new ConfigError('invalidValue', `${source}: ${printable(problem, 500)}`, { cause: error });
  }
}

function shownNames(written: (name: OptionName) => string): string {
  const shown = OPTION_LIST.filter((option) => !option.hidden && option.name !== 'config');
  return shown.map(({ name }) => written(name)).join(', ');
}

function quoted(value: unknown): string {
  let text: string | undefined;
  try {
    text = typeof value === 'bigint' ? String(value) : JSON.stringify(value);
  } catch {
    // A YAML anchor can make a list that holds itself.
  }
  return printable(text ?? typeof value, 100);
}
