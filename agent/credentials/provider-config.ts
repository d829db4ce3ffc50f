import { DecodingError, ProviderConfigError } from '../errors.ts';
import type { Nanoseconds } from './go-duration.ts';
import { foldCase, isNull, membersOf, type RawJson, stringOf } from './go-json.ts';
import {
  booleanIn,
  durationIn,
  listIn,
  type StructFields,
  stringIn,
  stringsIn,
  structOf,
} from './go-struct.ts';

/**
 * Kubelet's CredentialProviderConfig (`kubelet.config.k8s.io`, v1, v1beta1 and v1alpha1), decoded as kubelet
 * does (pkg/credentialprovider/plugin/config.go, decode): strictly. What it means is for
 * validate-provider-config.ts.
 */

/** A provider as it was written. */
export type WrittenProvider = {
  readonly name: string;
  readonly apiVersion: string;
  readonly matchImages: readonly string[];
  readonly defaultCacheDuration: Nanoseconds | undefined;
  readonly args: readonly string[];
  readonly env: readonly EnvironmentVariable[];
  readonly tokenAttributes: WrittenTokenAttributes | undefined;
};

export type EnvironmentVariable = { readonly name: string; readonly value: string };

export type WrittenTokenAttributes = {
  readonly serviceAccountTokenAudience: string;
  readonly cacheType: string;
  readonly requireServiceAccount: boolean | undefined;
  readonly requiredServiceAccountAnnotationKeys: readonly string[];
  readonly optionalServiceAccountAnnotationKeys: readonly string[];
};

const KIND = 'CredentialProviderConfig';
const TOP = ['apiVersion', 'kind', 'providers'] as const;
const PROVIDER = ['name', 'apiVersion', 'matchImages', 'defaultCacheDuration', 'args', 'env'] as const;
/** KEP-4412 came with v1 only: for the older versions it is an unknown field. */
const PROVIDER_V1 = [...PROVIDER, 'tokenAttributes'] as const;
const TOKEN = [
  'serviceAccountTokenAudience',
  'cacheType',
  'requireServiceAccount',
  'requiredServiceAccountAnnotationKeys',
  'optionalServiceAccountAnnotationKeys',
] as const;

type ProviderField = (typeof PROVIDER_V1)[number];

const PROVIDER_FIELDS: ReadonlyMap<string, readonly ProviderField[]> = new Map<
  string,
  readonly ProviderField[]
>([
  ['kubelet.config.k8s.io/v1', PROVIDER_V1],
  ['kubelet.config.k8s.io/v1beta1', PROVIDER],
  ['kubelet.config.k8s.io/v1alpha1', PROVIDER],
]);

/**
 * The providers of one configuration file, in its order. The message of an error names the place.
 *
 * @throws ProviderConfigError malformed
 */
export function decodeProviderConfig(config: RawJson): readonly WrittenProvider[] {
  const { apiVersion, kind } = typeOf(config);
  const fields = PROVIDER_FIELDS.get(apiVersion);
  if (kind !== KIND || fields === undefined) {
    throw new ProviderConfigError(
      'malformed',
      `it is no ${KIND} of a known version of kubelet.config.k8s.io`,
    );
  }
  try {
    const top = structOf(config, TOP, 'the configuration');
    return listIn(top, 'providers', 'the configuration').map((provider, n) =>
      decodeProvider(structOf(provider, fields, `providers[${n}]`), `providers[${n}]`),
    );
  } catch (error) {
    if (!(error instanceof DecodingError)) throw error;
    const field = error.field === undefined ? '' : `: ${JSON.stringify(error.field.slice(0, 100))}`;
    throw new ProviderConfigError('malformed', `${error.message}${field}`, { cause: error });
  }
}

/**
 * `apiVersion` and `kind` of an object, without regard to case and the last of each, as the serializers look
 * before they decode (serializer/json, SimpleMetaFactory). Undefined where that is an error already.
 */
export function typeMetaOf(
  object: RawJson,
): { readonly apiVersion: string; readonly kind: string } | undefined {
  const found = { apiVersion: '', kind: '' };
  const members = isNull(object) ? [] : membersOf(object, Number.POSITIVE_INFINITY);
  if (members === undefined || members === 'tooMany') return undefined;
  for (const [written, value] of members) {
    const name = TYPE_META.find((known) => foldCase(known) === foldCase(written));
    if (name === undefined || isNull(value)) continue;
    const text = stringOf(value);
    if (text === undefined) return undefined;
    found[name] = text;
  }
  // A group, a version, and one slash between them; more is an error.
  return found.apiVersion.split('/').length > 2 ? undefined : found;
}

const TYPE_META = ['apiVersion', 'kind'] as const;

function typeOf(config: RawJson): { readonly apiVersion: string; readonly kind: string } {
  const type = typeMetaOf(config);
  if (type === undefined)
    throw new ProviderConfigError('malformed', 'it is no object with apiVersion and kind');
  return type;
}

function decodeProvider(fields: StructFields<ProviderField>, where: string): WrittenProvider {
  const attributes = fields.get('tokenAttributes');
  return {
    name: stringIn(fields, 'name', where),
    apiVersion: stringIn(fields, 'apiVersion', where),
    matchImages: stringsIn(fields, 'matchImages', where),
    defaultCacheDuration: durationIn(fields, 'defaultCacheDuration', where),
    args: stringsIn(fields, 'args', where),
    env: listIn(fields, 'env', where).map((variable, n) => decodeVariable(variable, `${where}.env[${n}]`)),
    tokenAttributes:
      attributes === undefined ? undefined : decodeTokenAttributes(attributes, `${where}.tokenAttributes`),
  };
}

function decodeVariable(variable: RawJson, where: string): EnvironmentVariable {
  const fields = structOf(variable, ['name', 'value'], where);
  return { name: stringIn(fields, 'name', where), value: stringIn(fields, 'value', where) };
}

function decodeTokenAttributes(attributes: RawJson, where: string): WrittenTokenAttributes {
  const fields = structOf(attributes, TOKEN, where);
  return {
    serviceAccountTokenAudience: stringIn(fields, 'serviceAccountTokenAudience', where),
    cacheType: stringIn(fields, 'cacheType', where),
    requireServiceAccount: booleanIn(fields, 'requireServiceAccount', where),
    requiredServiceAccountAnnotationKeys: stringsIn(fields, 'requiredServiceAccountAnnotationKeys', where),
    optionalServiceAccountAnnotationKeys: stringsIn(fields, 'optionalServiceAccountAnnotationKeys', where),
  };
}
