import { z } from 'zod';
import { parseDockerConfigFile } from '../../../agent/credentials/docker-config.ts';
import { ofSecret } from '../../../agent/credentials/grant.ts';
import { lookup, makeKeyring, sourcedKeyring } from '../../../agent/credentials/keyring.ts';
import { askProviders } from '../../../agent/credentials/node/node-credentials.ts';
import { createProvider } from '../../../agent/credentials/providers/provider.ts';
import type { SourcedCredential } from '../../../agent/credentials/types.ts';
import { DockerConfigError } from '../../../agent/errors.ts';
import { parseImageName } from '../../../agent/image/reference.ts';
import type { Difference, Vector } from '../vector.ts';
import { compare, sortedByJson } from './compare.ts';
import {
  auth,
  type RecordedAnswer,
  type RecordedRequest,
  recordedPlugin,
  recordedPod,
  recordedProvider,
  recordedServer,
} from './recorded-provider.ts';

const answer = z.union([
  z.object({ error: z.string() }),
  z.object({ auth: auth.nullish(), cacheKeyType: z.string() }),
]);
const vector = z.object({
  name: z.string(),
  secrets: z.array(recordedPod.extend({ type: z.string(), key: z.string(), dataUtf8: z.string() })),
  nodeConfigJson: z.string().nullish(),
  providers: z.array(recordedProvider.extend({ answer })),
  pod: recordedPod.extend({ serviceAccountName: z.string() }),
  serviceAccount: z
    .object({ uid: z.string(), annotations: z.record(z.string(), z.string()).nullish(), token: z.string() })
    .nullable(),
  image: z.string(),
  repository: z.string(),
  error: z.boolean(),
  orderUndefined: z.boolean().optional(),
  credentials: z.array(z.looseObject({})).nullish(),
  pluginCalls: z.array(z.looseObject({ provider: z.string() })).nullish(),
});

type KeyringOrderVector = z.infer<typeof vector>;

/**
 * keyring-order.json: all credentials of a pod for an image, in the order in which they are tried. @throws
 * ZodError.
 */
export function keyringOrderVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({ name: recorded.name, differences: () => differences(recorded) }));
}

async function differences(recorded: KeyringOrderVector): Promise<readonly Difference[]> {
  const repository = parseImageName(recorded.image).repository;
  const wrongName = compare('repository', recorded.repository, repository);
  const offer = await offerOf(recorded, repository);
  if (recorded.error || offer === 'error') {
    return [...wrongName, ...compare('error', recorded.error, offer === 'error')];
  }
  const inOrder = recorded.orderUndefined ? sortedByJson : (items: readonly unknown[]) => items;
  const expected = (recorded.credentials ?? []).map(sortedKeys);
  return [
    ...wrongName,
    ...compare(
      'credentials',
      inOrder(expected),
      inOrder(offer.credentials.map(recordedCredential).map(sortedKeys)),
    ),
    ...compare('pluginCalls', recorded.pluginCalls ?? [], offer.pluginCalls),
  ];
}

async function offerOf(recorded: KeyringOrderVector, repository: string) {
  const calls: (RecordedRequest & { readonly provider: string })[] = [];
  const account = recorded.serviceAccount ?? undefined;
  const providers = recorded.providers.map(({ answer: given, tokenAttributes, ...rest }) => {
    const provider = { ...rest, ...(tokenAttributes && { tokenAttributes }) };
    return createProvider(
      { ...provider, defaultCacheDuration: 0n },
      {
        now: () => 0,
        plugin: recordedPlugin(
          provider,
          () => given satisfies RecordedAnswer,
          (request) => calls.push({ provider: provider.name, ...request }),
        ),
        serviceAccounts: recordedServer(() => ({
          account: account && {
            uid: account.uid,
            annotations: new Map(Object.entries(account.annotations ?? {})),
          },
          token: account?.token,
        })),
      },
    );
  });
  try {
    const { configs } = await askProviders(providers, repository, recorded.pod);
    const names = recorded.providers.map(({ name }) => name);
    // All are asked at once here.
    calls.sort((one, other) => names.indexOf(one.provider) - names.indexOf(other.provider));
    return {
      credentials: [
        ...lookup(makeKeyring(recorded.secrets.map(secretOf)), repository).map(ofSecret),
        ...lookup(sourcedKeyring(nodeConfigOf(recorded.nodeConfigJson)), repository),
        ...lookup(sourcedKeyring(configs), repository),
      ],
      pluginCalls: calls,
    };
  } catch (error) {
    if (error instanceof DockerConfigError) return 'error';
    throw error;
  }
}

function secretOf({ key, dataUtf8, ...secret }: KeyringOrderVector['secrets'][number]) {
  return { ...secret, data: new Map([[key, Buffer.from(dataUtf8)]]) };
}

/** Kubelet passes over a file that does not parse. */
function nodeConfigOf(json: string | null | undefined) {
  if (json === null || json === undefined) return [];
  try {
    const entries = parseDockerConfigFile(Buffer.from(json), 'config.json');
    return [{ source: { kind: 'node', file: 'config.json' } as const, entries }];
  } catch (error) {
    if (error instanceof DockerConfigError) return [];
    throw error;
  }
}

function recordedCredential({ credential, source, credentialHash }: SourcedCredential): object {
  const { kind } = source;
  const coordinates =
    source.kind === 'node' ? {} : { namespace: source.namespace, name: source.name, uid: source.uid };
  return { ...credential, credentialHash, source: { kind, ...coordinates } };
}

function sortedKeys(credential: object): object {
  return Object.fromEntries(Object.entries(credential).sort(([a], [b]) => (a < b ? -1 : 1)));
}
