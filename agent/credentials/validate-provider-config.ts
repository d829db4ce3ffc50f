import type { Nanoseconds } from './go-duration.ts';
import { parseSchemeless, toByteString } from './go-url.ts';
import type { EnvironmentVariable, WrittenProvider, WrittenTokenAttributes } from './provider-config.ts';

/** A provider that kubelet would start with. */
export type Provider = {
  readonly name: string;
  readonly apiVersion: ExecVersion;
  readonly matchImages: readonly string[];
  readonly defaultCacheDuration: Nanoseconds;
  readonly args: readonly string[];
  readonly env: readonly EnvironmentVariable[];
  /** Absent: its answers belong to the node. */
  readonly tokenAttributes?: TokenAttributes;
};

/** How a provider is handed the pod's service account (KEP-4412). */
export type TokenAttributes = {
  readonly serviceAccountTokenAudience: string;
  readonly cacheType: TokenCacheType;
  readonly requireServiceAccount: boolean;
  readonly requiredServiceAccountAnnotationKeys: readonly string[];
  readonly optionalServiceAccountAnnotationKeys: readonly string[];
};

/** The versions of the exec protocol. */
export const EXEC_VERSIONS = [
  'credentialprovider.kubelet.k8s.io/v1',
  'credentialprovider.kubelet.k8s.io/v1beta1',
  'credentialprovider.kubelet.k8s.io/v1alpha1',
] as const;
export type ExecVersion = (typeof EXEC_VERSIONS)[number];

const TOKEN_CACHE_TYPES = ['ServiceAccount', 'Token'] as const;
export type TokenCacheType = (typeof TOKEN_CACHE_TYPES)[number];

/**
 * One thing that is wrong, in the words of the Kubernetes API's field errors. `field` has no index, as
 * kubelet's.
 */
export type FieldError = {
  readonly field: string;
  readonly type: 'required' | 'invalid' | 'duplicate' | 'notSupported' | 'forbidden';
};

/**
 * Kubelet's validateCredentialProviderConfig (pkg/credentialprovider/plugin/config.go).
 * `serviceAccountTokens` is kubelet's gate KubeletServiceAccountTokenForCredentialProviders.
 */
export function validateProviders(
  written: readonly WrittenProvider[],
  { serviceAccountTokens } = { serviceAccountTokens: true },
): { readonly providers: readonly Provider[] } | { readonly errors: readonly FieldError[] } {
  const errors: FieldError[] = written.length === 0 ? [{ field: 'providers', type: 'required' }] : [];
  const providers: Provider[] = [];
  for (const provider of written) {
    const found = errorsOf(provider, serviceAccountTokens);
    errors.push(...found);
    const valid = found.length === 0 ? validProvider(provider) : undefined;
    if (valid) providers.push(valid);
  }
  return errors.length === 0 ? { providers } : { errors };
}

function errorsOf(provider: WrittenProvider, serviceAccountTokens: boolean): FieldError[] {
  const { name, apiVersion, matchImages, defaultCacheDuration, tokenAttributes } = provider;
  const errors: FieldError[] = [];
  if (name.includes('/')) errors.push({ field: 'providers.name', type: 'invalid' });
  if (name.includes(' ')) errors.push({ field: 'providers.name', type: 'invalid' });
  if (name === '.' || name === '..') errors.push({ field: 'providers.name', type: 'invalid' });
  if (apiVersion === '') errors.push({ field: 'providers.apiVersion', type: 'required' });
  else if (!isExecVersion(apiVersion)) errors.push({ field: 'providers.apiVersion', type: 'notSupported' });
  if (matchImages.length === 0) errors.push({ field: 'providers.matchImages', type: 'required' });
  for (const pattern of matchImages) {
    if (parseSchemeless(toByteString(pattern)) === undefined) {
      errors.push({ field: 'providers.matchImages', type: 'invalid' });
    }
  }
  if (defaultCacheDuration === undefined) {
    errors.push({ field: 'providers.defaultCacheDuration', type: 'required' });
  } else if (defaultCacheDuration < 0n) {
    errors.push({ field: 'providers.defaultCacheDuration', type: 'invalid' });
  }
  if (tokenAttributes === undefined) return errors;
  if (!serviceAccountTokens) errors.push({ field: TOKEN, type: 'forbidden' });
  if (apiVersion !== 'credentialprovider.kubelet.k8s.io/v1') errors.push({ field: TOKEN, type: 'forbidden' });
  return [...errors, ...tokenErrorsOf(tokenAttributes)];
}

const TOKEN = 'providers.tokenAttributes';
const REQUIRED_KEYS = `${TOKEN}.requiredServiceAccountAnnotationKeys`;
const OPTIONAL_KEYS = `${TOKEN}.optionalServiceAccountAnnotationKeys`;

function tokenErrorsOf(attributes: WrittenTokenAttributes): FieldError[] {
  const { serviceAccountTokenAudience, requireServiceAccount, cacheType } = attributes;
  const required = attributes.requiredServiceAccountAnnotationKeys;
  const optional = attributes.optionalServiceAccountAnnotationKeys;
  const errors: FieldError[] = [];
  if (serviceAccountTokenAudience === '') {
    errors.push({ field: `${TOKEN}.serviceAccountTokenAudience`, type: 'required' });
  }
  if (requireServiceAccount === undefined) {
    errors.push({ field: `${TOKEN}.requireServiceAccount`, type: 'required' });
  } else if (!requireServiceAccount && required.length > 0) {
    errors.push({ field: REQUIRED_KEYS, type: 'forbidden' });
  }
  errors.push(...keyErrorsOf(required, REQUIRED_KEYS), ...keyErrorsOf(optional, OPTIONAL_KEYS));
  if (required.some((key) => optional.includes(key))) errors.push({ field: TOKEN, type: 'invalid' });
  if (cacheType === '') errors.push({ field: `${TOKEN}.cacheType`, type: 'required' });
  else if (!isTokenCacheType(cacheType)) errors.push({ field: `${TOKEN}.cacheType`, type: 'notSupported' });
  return errors;
}

function keyErrorsOf(keys: readonly string[], field: string): FieldError[] {
  return keys.flatMap((key, n): FieldError[] => [
    ...Array<FieldError>(nameFaults(lowerCase(key))).fill({ field, type: 'invalid' }),
    ...(keys.indexOf(key) < n ? ([{ field, type: 'duplicate' }] as const) : []),
  ]);
}

/**
 * How many faults a qualified name has (apimachinery, validation.IsQualifiedName); each is an error of its
 * own.
 */
function nameFaults(key: string): number {
  const parts = key.split('/');
  const name = parts.at(-1) ?? '';
  if (parts.length > 2) return 1;
  const ofPrefix = parts.length === 2 ? prefixFaults(parts[0] ?? '') : 0;
  const tooLong = Buffer.byteLength(name) > 63 ? 1 : 0;
  const malformed = /^(?:[a-z0-9][-a-z0-9_.]*)?[a-z0-9]$/.test(name) ? 0 : 1;
  return ofPrefix + (name === '' ? 1 : tooLong) + malformed;
}

function prefixFaults(prefix: string): number {
  if (prefix === '') return 1;
  const tooLong = Buffer.byteLength(prefix) > 253 ? 1 : 0;
  const malformed = /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/.test(prefix)
    ? 0
    : 1;
  return tooLong + malformed;
}

/** Go maps one character to one: for U+0130 that is a plain i, where JavaScript adds a dot. */
function lowerCase(text: string): string {
  return text.replaceAll('\u0130', 'i').toLowerCase();
}

function validProvider(written: WrittenProvider): Provider | undefined {
  const { apiVersion, defaultCacheDuration, tokenAttributes, ...rest } = written;
  if (!isExecVersion(apiVersion) || defaultCacheDuration === undefined) return undefined;
  const provider = { ...rest, apiVersion, defaultCacheDuration };
  if (tokenAttributes === undefined) return provider;
  const { cacheType, requireServiceAccount, ...attributes } = tokenAttributes;
  if (!isTokenCacheType(cacheType) || requireServiceAccount === undefined) return undefined;
  return { ...provider, tokenAttributes: { ...attributes, cacheType, requireServiceAccount } };
}

function isExecVersion(text: string): text is ExecVersion {
  return EXEC_VERSIONS.some((version) => version === text);
}

function isTokenCacheType(text: string): text is TokenCacheType {
  return TOKEN_CACHE_TYPES.some((type) => type === text);
}
