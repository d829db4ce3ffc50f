import { DecodingError, ProviderError } from '../errors.ts';
import type { Nanoseconds } from './go-duration.ts';
import { type RawJson, readJson } from './go-json.ts';
import { durationIn, mapOf, stringIn, structOf } from './go-struct.ts';
import { decodeText, quoteJson } from './go-text.ts';
import { typeMetaOf } from './provider-config.ts';
import type { ExecVersion } from './validate-provider-config.ts';

/**
 * What kubelet and a credential provider plugin say to each other (`credentialprovider.kubelet.k8s.io`;
 * pkg/credentialprovider/plugin/plugin.go, ExecPlugin): one request to its standard input, one response from
 * its standard output. Both hold secrets.
 */

export type PluginRequest = {
  /** The normalized repository, without tag and digest. */
  readonly image: string;
  /** Empty where no service account is in play. */
  readonly serviceAccountToken: string;
  /** Undefined where no service account is in play. */
  readonly serviceAccountAnnotations: ReadonlyMap<string, string> | undefined;
};

export type PluginResponse = {
  /** Not looked into: `Image`, `Registry`, `Global`, or something that is refused later. */
  readonly cacheKeyType: string;
  /** Undefined: the provider's default. */
  readonly cacheDuration: Nanoseconds | undefined;
  /**
   * Host key to credential; undefined where the answer has no `auth` at all, which means the same as an
   * empty one.
   */
  readonly auth: ReadonlyMap<string, PluginCredential> | undefined;
};

export type PluginCredential = { readonly username: string; readonly password: string };

/**
 * The bytes that kubelet writes, to the last newline. The older versions know no service account: then a
 * plugin does not see it.
 */
export function encodeRequest(apiVersion: ExecVersion, request: PluginRequest): Buffer {
  const { image, serviceAccountToken: token, serviceAccountAnnotations: annotations } = request;
  const fields = [
    `"kind":"CredentialProviderRequest"`,
    `"apiVersion":${quote(apiVersion)}`,
    `"image":${quote(image)}`,
  ];
  if (apiVersion === 'credentialprovider.kubelet.k8s.io/v1') {
    if (token !== '') fields.push(`"serviceAccountToken":${quote(token)}`);
    if (annotations && annotations.size > 0) {
      const sorted = [...annotations].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      const members = sorted.map(([name, value]) => `${quote(name)}:${quote(value)}`);
      fields.push(`"serviceAccountAnnotations":{${members.join(',')}}`);
    }
  }
  return Buffer.from(`{${fields.join(',')}}\n`);
}

/**
 * @throws ProviderError answerNotJson, wrongVersion, answerMalformed; none says anything of what was printed
 */
export function decodeResponse(stdout: Buffer, apiVersion: ExecVersion): PluginResponse {
  const answer = readJson(decodeText(stdout));
  const type = answer === undefined ? undefined : typeMetaOf(answer);
  if (answer === undefined || type === undefined) {
    throw new ProviderError('answerNotJson', 'what it printed is no JSON object with apiVersion and kind');
  }
  if (type.apiVersion !== apiVersion) {
    throw new ProviderError('wrongVersion', `what it printed is not of version ${apiVersion}`);
  }
  if (type.kind !== 'CredentialProviderResponse') {
    throw new ProviderError('answerMalformed', 'what it printed is no CredentialProviderResponse');
  }
  try {
    return decodeFields(answer);
  } catch (error) {
    if (!(error instanceof DecodingError)) throw error;
    throw new ProviderError('answerMalformed', `what it printed cannot be read: ${error.message}`);
  }
}

const RESPONSE = ['kind', 'apiVersion', 'cacheKeyType', 'cacheDuration', 'auth'] as const;

function decodeFields(answer: RawJson): PluginResponse {
  const fields = structOf(answer, RESPONSE, 'the answer');
  const auth = fields.get('auth');
  return {
    cacheKeyType: stringIn(fields, 'cacheKeyType', 'the answer'),
    cacheDuration: durationIn(fields, 'cacheDuration', 'the answer'),
    auth: auth === undefined ? undefined : decodeAuth(auth),
  };
}

function decodeAuth(auth: RawJson): ReadonlyMap<string, PluginCredential> {
  return new Map(
    mapOf(auth, 'auth').map(([hostKey, value]) => {
      const fields = structOf(value, ['username', 'password'], 'an entry of auth');
      const username = stringIn(fields, 'username', 'an entry of auth');
      return [hostKey, { username, password: stringIn(fields, 'password', 'an entry of auth') }];
    }),
  );
}

function quote(text: string): string {
  return quoteJson(Buffer.from(text));
}
