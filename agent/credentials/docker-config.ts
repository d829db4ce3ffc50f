import { type CredentialBytes, credentialHash } from './credential-hash.ts';
import { decodeText, encodeText } from './go-text.ts';
import type { RegistryCredential } from './types.ts';

/** One entry of a docker config: the key that it stands under, and what it logs in with. */
export type DockerConfigEntry = {
  readonly registry: string;
  readonly credential: RegistryCredential;
  readonly credentialHash: string;
};

export type DockerConfigFailure = 'tooLarge' | 'notJson' | 'wrongType' | 'authNotBase64' | 'authWithoutColon';

/** A secret of a docker config type that holds none. The message names the place, never what stands there. */
export class DockerConfigError extends Error {
  override readonly name = 'DockerConfigError';
  readonly reason: DockerConfigFailure;

  constructor(reason: DockerConfigFailure, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The API server's own limit for a Secret. */
const MAX_BYTES = 1_048_576;

/** Keys and types of the two kinds of secret that hold a docker config (core/v1 types.go). */
const DOCKER_CONFIG_JSON = { type: 'kubernetes.io/dockerconfigjson', key: '.dockerconfigjson' };
const DOCKERCFG = { type: 'kubernetes.io/dockercfg', key: '.dockercfg' };

/**
 * The entries of a secret as kubelet reads them (pkg/credentialprovider config.go and secrets.go); none for a secret
 * of another type, and for one without the key or with nothing under it.
 *
 * @throws DockerConfigError
 */
export function dockerConfigEntries(secret: {
  readonly type: string;
  readonly data: ReadonlyMap<string, Buffer>;
}): DockerConfigEntry[] {
  const kind = [DOCKER_CONFIG_JSON, DOCKERCFG].find(({ type }) => type === secret.type);
  const bytes = kind && secret.data.get(kind.key);
  if (bytes === undefined || bytes.length === 0) return [];
  if (bytes.length > MAX_BYTES) throw new DockerConfigError('tooLarge', `larger than ${MAX_BYTES} bytes`);
  const config = parseJson(bytes);
  return kind === DOCKERCFG ? entriesOf(config, 'the docker config') : entriesOfConfigJson(config);
}

function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(decodeText(bytes));
  } catch {
    // The parser's message would quote the text.
    throw new DockerConfigError('notJson', 'not JSON');
  }
}

function entriesOfConfigJson(config: unknown): DockerConfigEntry[] {
  const fields = objectFields(config, 'the docker config');
  for (const [, headers] of fields.filter(([name]) => isField(name, 'httpheaders'))) {
    for (const [, value] of objectFields(headers, 'HttpHeaders')) stringField(value, 'HttpHeaders');
  }
  const entries = new Map<string, DockerConfigEntry>();
  for (const [, auths] of fields.filter(([name]) => isField(name, 'auths'))) {
    for (const entry of entriesOf(auths, 'auths')) entries.set(entry.registry, entry);
  }
  return [...entries.values()];
}

function entriesOf(auths: unknown, where: string): DockerConfigEntry[] {
  return objectFields(auths, where).map(([registry, entry], n) => {
    const bytes = entryBytes(objectFields(entry, `entry ${n + 1}`), `entry ${n + 1}`);
    return {
      registry: registry.toWellFormed(),
      credential: {
        username: decodeText(bytes.username),
        password: decodeText(bytes.password),
        email: decodeText(bytes.email),
      },
      credentialHash: credentialHash(bytes),
    };
  });
}

/** `auth` wins over `username` and `password`; of several spellings of a field the last one counts, as in Go. */
function entryBytes(fields: readonly (readonly [string, unknown])[], where: string): CredentialBytes {
  const text = (name: string): string =>
    fields
      .filter(([field]) => isField(field, name))
      .map(([, value]) => stringField(value, `${where}, ${name}`))
      .reduce((last, value) => value ?? last, undefined) ?? '';
  const [username, password, email, auth] = ['username', 'password', 'email', 'auth'].map(text);
  const direct = {
    username: encodeText(username ?? ''),
    password: encodeText(password ?? ''),
    email: encodeText(email ?? ''),
  };
  return auth ? { ...direct, ...decodeAuth(auth, where) } : direct;
}

/** `base64(username:password)`, padded or not (decodeDockerConfigFieldAuth); Go skips line breaks and nothing else. */
function decodeAuth(auth: string, where: string): Pick<CredentialBytes, 'username' | 'password'> {
  const digits = auth.replace(/[\r\n]/g, '');
  const wellFormed = digits.trim().endsWith('=')
    ? /^[A-Za-z0-9+/]+={1,2}$/.test(digits) && digits.length % 4 === 0
    : /^[A-Za-z0-9+/]*$/.test(digits) && digits.length % 4 !== 1;
  if (!wellFormed) throw new DockerConfigError('authNotBase64', `${where}: auth is not base64`);
  const bytes = Buffer.from(digits, 'base64');
  const colon = bytes.indexOf(':');
  if (colon === -1)
    throw new DockerConfigError('authWithoutColon', `${where}: auth is not username:password`);
  return { username: bytes.subarray(0, colon), password: bytes.subarray(colon + 1) };
}

/** Go matches field names without regard to case, also by U+017F and U+212A, which fold to s and k. */
function isField(name: string, field: string): boolean {
  return name.replaceAll('\u017f', 's').replaceAll('\u212a', 'k').toLowerCase() === field;
}

function objectFields(value: unknown, where: string): (readonly [string, unknown])[] {
  if (value === null) return [];
  if (typeof value !== 'object' || Array.isArray(value))
    throw new DockerConfigError('wrongType', `${where} is no object`);
  return Object.entries(value);
}

/** Undefined for null, which leaves a field as it was. */
function stringField(value: unknown, where: string): string | undefined {
  if (value === null) return undefined;
  if (typeof value !== 'string') throw new DockerConfigError('wrongType', `${where} is no string`);
  return value;
}
