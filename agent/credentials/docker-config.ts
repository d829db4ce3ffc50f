import { DockerConfigError } from '../errors.ts';
import { type CredentialFields, credentialHash } from './credential-hash.ts';
import { foldCase, isNull, type JsonMember, membersOf, type RawJson, readJson, stringOf } from './go-json.ts';
import { decodeText } from './go-text.ts';
import type { RegistryCredential } from './types.ts';

/**
 * One entry of a docker config: the key that it stands under, and what it logs in with. Must never be
 * logged.
 */
export type DockerConfigEntry = {
  readonly registry: string;
  readonly credential: RegistryCredential;
  readonly credentialHash: string;
};

/** An entry from elsewhere than a docker config: what a credential provider plugin answers. */
export function dockerConfigEntry(registry: string, credential: RegistryCredential): DockerConfigEntry {
  return { registry, credential, credentialHash: credentialHash(credential) };
}

/** The API server's limit for the data of a Secret (core/v1 MaxSecretSize). */
const MAX_BYTES = 1_048_576;
/** Ours, not kubelet's: whoever may write a secret must not be able to keep the agent busy for seconds. */
const MAX_ENTRIES = 2_000;
/** Of all objects that are looked into; an entry has four fields that mean something. */
const MAX_MEMBERS = 20_000;

/**
 * What may still be read of the secrets of one pod. Every entry counts, also one that a later one
 * overwrites.
 */
export type ReadingLimit = { entries: number; members: number };

export function newReadingLimit(): ReadingLimit {
  return { entries: MAX_ENTRIES, members: MAX_MEMBERS };
}

type Entries = Map<string, DockerConfigEntry>;

/**
 * The entries of a secret as kubelet reads them (pkg/credentialprovider secrets.go and config.go): none for a
 * secret of another type, and none for one without the key or with nothing under it. Of two entries under the
 * same key the later counts. What is read is taken off `limit`, and reading ends where that is used up.
 *
 * @throws DockerConfigError
 */
export function parseDockerConfig(
  secret: { readonly type: string; readonly data: ReadonlyMap<string, Buffer> },
  limit: ReadingLimit = newReadingLimit(),
): readonly DockerConfigEntry[] {
  switch (secret.type) {
    case 'kubernetes.io/dockerconfigjson':
      return parseKey(secret.data, '.dockerconfigjson', (config) =>
        readConfigJson(config, '.dockerconfigjson', limit),
      );
    case 'kubernetes.io/dockercfg':
      return parseKey(secret.data, '.dockercfg', (config) =>
        readAuths(config, new Map(), '.dockercfg', limit),
      );
    default:
      return [];
  }
}

/**
 * A docker config file of the node, in the shape of its name (config.go, readDockerConfigJSONFileFromBytes
 * and ReadDockerConfigFileFromBytes). Unlike a secret, an empty one is malformed, and of the text `null`
 * there is nothing.
 *
 * @throws DockerConfigError
 */
export function parseDockerConfigFile(
  bytes: Buffer,
  shape: 'config.json' | '.dockercfg',
): readonly DockerConfigEntry[] {
  const limit = newReadingLimit();
  return shape === 'config.json'
    ? parseBytes(bytes, shape, (config) => readConfigJson(config, shape, limit))
    : parseBytes(bytes, shape, (config) => readAuths(config, new Map(), shape, limit));
}

function parseKey(
  data: ReadonlyMap<string, Buffer>,
  key: string,
  read: (config: RawJson) => Entries,
): readonly DockerConfigEntry[] {
  const bytes = data.get(key);
  return bytes === undefined || bytes.length === 0 ? [] : parseBytes(bytes, key, read);
}

function parseBytes(
  bytes: Buffer,
  key: string,
  read: (config: RawJson) => Entries,
): readonly DockerConfigEntry[] {
  if (bytes.length > MAX_BYTES) {
    throw new DockerConfigError('tooLarge', `${key} is larger than ${MAX_BYTES} bytes`);
  }
  const config = readJson(decodeText(bytes));
  if (config === undefined) throw new DockerConfigError('notJson', `${key} is not JSON`);
  return [...read(config).values()];
}

/** DockerConfigJSON. `auths` that stands twice is merged, and emptied by null, as Go does with a map. */
function readConfigJson(config: RawJson, where: string, limit: ReadingLimit): Entries {
  let entries: Entries = new Map();
  for (const [name, value] of objectMembers(config, where, limit)) {
    const field = foldCase(name);
    if (field === 'auths') entries = isNull(value) ? new Map() : readAuths(value, entries, 'auths', limit);
    else if (field === 'httpheaders') {
      for (const [, header] of objectMembers(value, 'HttpHeaders', limit))
        stringField(header, 'a value of HttpHeaders');
    }
  }
  return entries;
}

function readAuths(auths: RawJson, entries: Entries, where: string, limit: ReadingLimit): Entries {
  const members = isNull(auths) ? [] : membersOf(auths, limit.entries);
  if (members === undefined) throw new DockerConfigError('wrongType', `${where} is no object`);
  if (members === 'tooMany') {
    const message = `${where} has more than ${MAX_ENTRIES} entries, with those before it`;
    throw new DockerConfigError('tooLarge', message);
  }
  limit.entries -= members.length;
  for (const [n, [registry, value]] of members.entries()) {
    const fields = readEntry(value, `entry ${n + 1} of ${where}`, limit);
    const credential = {
      username: asText(fields.username),
      password: asText(fields.password),
      email: asText(fields.email),
    };
    entries.set(registry, { registry, credential, credentialHash: credentialHash(fields) });
  }
  return entries;
}

/**
 * DockerConfigEntry.UnmarshalJSON: `auth` wins over `username` and `password`; unknown fields are passed
 * over.
 */
function readEntry(entry: RawJson, where: string, limit: ReadingLimit): CredentialFields {
  const fields = { username: '', password: '', email: '', auth: '' };
  for (const [name, value] of objectMembers(entry, where, limit)) {
    const folded = foldCase(name);
    const field = ENTRY_FIELDS.find((known) => folded === known);
    if (field !== undefined) fields[field] = stringField(value, `${field} in ${where}`) ?? fields[field];
  }
  const { auth, ...direct } = fields;
  return auth === '' ? direct : { ...direct, ...decodeAuth(auth, where) };
}

const ENTRY_FIELDS = ['username', 'password', 'email', 'auth'] as const;

/**
 * `base64(username:password)`, with padding or without (decodeDockerConfigFieldAuth). Go's decoder skips line
 * breaks and nothing else, and does not mind bits left over.
 */
function decodeAuth(auth: string, where: string): Pick<CredentialFields, 'username' | 'password'> {
  const text = auth.replace(/[\r\n]/g, '');
  const digits = text.replace(/={1,2}$/, '');
  const wellPadded = digits === text ? text.length % 4 !== 1 : text.length % 4 === 0;
  if (!wellPadded || /[^A-Za-z0-9+/]/.test(digits)) {
    throw new DockerConfigError('authNotBase64', `auth in ${where} is not base64`);
  }
  const bytes = Buffer.from(digits, 'base64');
  const colon = bytes.indexOf(':');
  if (colon === -1) {
    throw new DockerConfigError('authWithoutColon', `auth in ${where} is not username:password`);
  }
  return { username: bytes.subarray(0, colon), password: bytes.subarray(colon + 1) };
}

function asText(field: string | Buffer): string {
  return typeof field === 'string' ? field : decodeText(field);
}

/** None for null, which Go takes for nothing said. */
function objectMembers(raw: RawJson, where: string, limit: ReadingLimit): readonly JsonMember[] {
  const members = isNull(raw) ? [] : membersOf(raw, limit.members);
  if (members === undefined) throw new DockerConfigError('wrongType', `${where} is no object`);
  if (members === 'tooMany') throw new DockerConfigError('tooLarge', `${where} has too many fields`);
  limit.members -= members.length;
  return members;
}

/** Undefined for null, which leaves a field as it was. */
function stringField(raw: RawJson, where: string): string | undefined {
  const value = stringOf(raw);
  if (value === undefined && !isNull(raw)) throw new DockerConfigError('wrongType', `${where} is no string`);
  return value;
}
