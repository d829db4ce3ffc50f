import { z } from 'zod';
import { createProvider, type ProviderLookup } from '../../../agent/credentials/providers/provider.ts';
import { ProviderError } from '../../../agent/errors.ts';
import type { Difference, Vector } from '../vector.ts';
import { compare } from './compare.ts';
import {
  auth,
  type RecordedRequest,
  recordedPlugin,
  recordedPod,
  recordedProvider,
  recordedServer,
} from './recorded-provider.ts';

/** A long text is recorded as its one character and how often. */
const text = z
  .union([z.string(), z.object({ char: z.string(), count: z.number() })])
  .transform((recorded) => (typeof recorded === 'string' ? recorded : recorded.char.repeat(recorded.count)));
const request = z.object({
  image: z.string(),
  serviceAccountToken: z.string(),
  serviceAccountAnnotations: z.record(z.string(), text).nullable(),
});
const serviceAccount = z.object({
  uid: z.string(),
  annotations: z.record(z.string(), z.string()).nullish(),
  repeatedAnnotation: z.object({ key: z.string(), char: z.string(), count: z.number() }).optional(),
});
const provide = z.object({
  op: z.literal('provide'),
  image: z.string(),
  pod: recordedPod,
  serviceAccountName: z.string(),
  server: z.object({ serviceAccount: serviceAccount.nullable(), token: z.string().optional() }),
  plugin: z.object({
    response: z
      .object({
        cacheKeyType: z.string(),
        cacheDurationMs: z.number().optional(),
        auth: auth.nullish(),
      })
      .optional(),
    error: z.string().optional(),
  }),
  expect: z.object({
    executed: z.boolean(),
    request: request.optional(),
    serviceAccountReads: z.number(),
    tokenRequests: z.number(),
    tokenRequest: z
      .object({
        namespace: z.string(),
        serviceAccountName: z.string(),
        serviceAccountUid: z.string(),
        audiences: z.array(z.string()),
        pod: z.object({ name: z.string(), uid: z.string() }),
      })
      .optional(),
    config: auth,
    coordinates: recordedPod.nullable(),
    errorClass: z.string().nullable(),
  }),
});
const vector = z.object({
  name: z.string(),
  provider: recordedProvider.extend({ defaultCacheDurationMs: z.number() }),
  ops: z.array(z.discriminatedUnion('op', [z.object({ op: z.literal('advance'), ms: z.number() }), provide])),
});

type ProviderProvideVector = z.infer<typeof vector>;
type Provide = z.infer<typeof provide>;

/**
 * provider-provide.json: one provider and a sequence of look-ups, with a clock that is set. @throws
 * ZodError.
 */
export function providerProvideVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({ name: recorded.name, differences: () => differences(recorded) }));
}

/** What one look-up did. */
type Seen = { requests: RecordedRequest[]; accountReads: number; tokenRequests: object[] };

async function differences({ provider, ops }: ProviderProvideVector): Promise<readonly Difference[]> {
  let clock = 0;
  let now: Provide | undefined;
  let seen: Seen = { requests: [], accountReads: 0, tokenRequests: [] };
  const { defaultCacheDurationMs, ...config } = provider;
  const { tokenAttributes, ...rest } = config;
  const written = { ...rest, ...(tokenAttributes && { tokenAttributes }) };
  const lookup = createProvider(
    {
      ...written,
      defaultCacheDuration: BigInt(defaultCacheDurationMs) * 1_000_000n,
    },
    {
      now: () => clock,
      plugin: recordedPlugin(
        written,
        () => now?.plugin.response ?? { error: now?.plugin.error ?? '' },
        (asked) => seen.requests.push(asked),
      ),
      serviceAccounts: recordedServer(() => serverOf(now), {
        account: () => {
          seen.accountReads += 1;
        },
        token: (asked) => seen.tokenRequests.push(asked),
      }),
    },
  );
  const found: Difference[] = [];
  for (const [step, op] of ops.entries()) {
    if (op.op === 'advance') {
      clock += op.ms;
      continue;
    }
    now = op;
    seen = { requests: [], accountReads: 0, tokenRequests: [] };
    const outcome = await outcomeOf(lookup, op);
    found.push(...compare(`op ${step}`, expectedOf(op), { ...outcome, ...seen }));
  }
  return found;
}

function serverOf(op: Provide | undefined) {
  const account = op?.server.serviceAccount ?? undefined;
  const repeated = account?.repeatedAnnotation;
  const annotations = new Map(Object.entries(account?.annotations ?? {}));
  if (repeated) annotations.set(repeated.key, repeated.char.repeat(repeated.count));
  return { account: account && { uid: account.uid, annotations }, token: op?.server.token };
}

function expectedOf({ expect }: Provide): object {
  const { tokenRequest } = expect;
  return {
    config: expect.config,
    coordinates: expect.coordinates,
    errorClass: expect.errorClass,
    requests: expect.request ? [expect.request] : [],
    accountReads: expect.serviceAccountReads,
    tokenRequests: tokenRequest
      ? [
          {
            namespace: tokenRequest.namespace,
            serviceAccountName: tokenRequest.serviceAccountName,
            serviceAccountUid: tokenRequest.serviceAccountUid,
            podName: tokenRequest.pod.name,
            podUid: tokenRequest.pod.uid,
            audience: tokenRequest.audiences[0],
          },
        ]
      : [],
  };
}

async function outcomeOf(
  lookup: ProviderLookup,
  { image, pod, serviceAccountName }: Provide,
): Promise<object> {
  try {
    const provided = await lookup.provide(image, { ...pod, serviceAccountName });
    if ('passedOver' in provided) return { config: {}, coordinates: null, errorClass: null };
    const { source, entries } = provided;
    const config = entries.map(({ registry, credential: { username, password } }) => [
      registry,
      { username, password },
    ]);
    const coordinates =
      source.kind === 'serviceAccount'
        ? { namespace: source.namespace, name: source.name, uid: source.uid }
        : null;
    return { config: Object.fromEntries(config), coordinates, errorClass: null };
  } catch (error) {
    if (!(error instanceof ProviderError)) throw error;
    return { config: {}, coordinates: null, errorClass: ERROR_CLASSES[error.reason] ?? error.reason };
  }
}

const ERROR_CLASSES: Readonly<Partial<Record<ProviderError['reason'], string>>> = {
  serviceAccountGone: 'serviceAccount',
  tokenUnavailable: 'token',
  exitedNonZero: 'exec',
  tokenEchoed: 'echoedToken',
  cacheKeyTypeInvalid: 'cacheKeyType',
  cacheKeyTooLong: 'cacheKey',
};
