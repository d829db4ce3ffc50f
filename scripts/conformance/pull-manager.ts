import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { checkAccess } from '../../agent/access/record/check-access.ts';
import { makePolicy, VERIFICATION_POLICIES } from '../../agent/access/record/policy.ts';
import type { RecordStore } from '../../agent/records/record-store.ts';
import type { ImagePullCredentials } from '../../agent/records/types.ts';
import { openStore, putEmptyState } from './store.ts';
import type { Difference, Vector } from './vector.ts';

const serviceAccount = z.object({ namespace: z.string(), name: z.string(), uid: z.string() });
const secret = serviceAccount.extend({ credentialHash: z.string() });
const credentials = z.object({
  nodePodsAccessible: z.boolean().nullish(),
  kubernetesSecrets: z.array(secret).nullish(),
  kubernetesServiceAccounts: z.array(serviceAccount).nullish(),
});
const strings = z.array(z.string()).nullish();
const operation = z.discriminatedUnion('op', [
  z.object({ op: z.literal('intent'), image: z.string() }),
  z.object({ op: z.literal('failed'), image: z.string() }),
  z.object({
    op: z.literal('pulled'),
    image: z.string(),
    imageRef: z.string(),
    credentials: credentials.nullish(),
  }),
  z.object({
    op: z.literal('check'),
    image: z.string(),
    imageRef: z.string().nullish(),
    podSecrets: z.array(secret).nullish(),
    podServiceAccount: serviceAccount.nullish(),
    mustPull: z.boolean(),
  }),
  z.object({ op: z.literal('prune'), images: strings }),
  z.object({
    op: z.literal('restart'),
    present: z.array(z.object({ id: z.string(), repoTags: strings, repoDigests: strings })).nullish(),
  }),
]);
const sequence = z.object({
  name: z.string(),
  policy: z.enum(VERIFICATION_POLICIES),
  allowlist: strings,
  ops: z.array(operation).nullish(),
  finalRecords: z
    .array(z.object({ imageRef: z.string(), credentialMapping: z.record(z.string(), credentials).nullish() }))
    .nullish(),
  finalIntents: strings,
});

type Operation = z.infer<typeof operation>;
type Sequence = z.infer<typeof sequence>;
type PlainCredentials = z.infer<typeof credentials>;

/**
 * pull-manager.json: sequences of pulls, checks, prunes and restarts, run on a store as the agent opens it,
 * on disk in a folder of its own. Kubelet takes no inventory, so none is taken. @throws ZodError.
 */
export function pullManagerVectors(content: unknown): readonly Vector[] {
  return z
    .array(sequence)
    .parse(content)
    .map((recorded) => ({ name: recorded.name, differences: () => differences(recorded) }));
}

function differences(recorded: Sequence): readonly Difference[] {
  const folder = mkdtempSync(join(tmpdir(), 'pullwarden-conformance-'));
  putEmptyState(folder);
  let store = openStore(folder);
  try {
    const policy = makePolicy(recorded.policy, recorded.allowlist ?? []);
    const found: Difference[] = [];

    function check(step: number, { image, imageRef, mustPull, ...pod }: Operation & { op: 'check' }): void {
      const question = { image, imageRef: imageRef ?? '' };
      const account = pod.podServiceAccount;
      const podCredentials = { secrets: pod.podSecrets ?? [], ...(account && { serviceAccount: account }) };
      let decision = checkAccess(store, policy, question);
      if (decision.result === 'needsPodCredentials') {
        decision = checkAccess(store, policy, question, podCredentials);
      }
      const allowed =
        decision.result === 'credentialPolicyAllowed' || decision.result === 'credentialRecordFound';
      if (allowed === mustPull) {
        found.push({ what: `op ${step}: mustPull of ${image}`, expected: mustPull, actual: !allowed });
      }
      if (decision.result === 'credentialRecordFound' && decision.learn) {
        store.mergeCredentials(image, question.imageRef, decision.learn);
      }
    }

    for (const [step, op] of (recorded.ops ?? []).entries()) {
      if (op.op === 'check') check(step, op);
      else if (op.op !== 'restart') write(store, op);
      else {
        store.close();
        store = openStore(folder);
        const present = (op.present ?? []).map(({ id, repoTags, repoDigests }) => ({
          id,
          repoTags: repoTags ?? [],
          repoDigests: repoDigests ?? [],
        }));
        store.reconcilePullIntents(present);
      }
    }
    found.push(...finalDifferences(recorded, store, 'in memory'));
    store.close();
    store = openStore(folder);
    found.push(...finalDifferences(recorded, store, 'on disk'));
    return found;
  } finally {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

function write(store: RecordStore, operation: Exclude<Operation, { op: 'check' | 'restart' }>): void {
  switch (operation.op) {
    case 'intent':
      store.recordPullIntent(operation.image);
      break;
    case 'failed':
      store.recordImagePullFailed(operation.image);
      break;
    case 'pulled':
      store.recordImagePulled(operation.image, operation.imageRef, withoutNull(operation.credentials ?? {}));
      break;
    case 'prune':
      // All records here are older than the prune.
      store.pruneUnknownRecords(operation.images ?? [], Date.now() + 1);
      break;
  }
}

function finalDifferences(recorded: Sequence, store: RecordStore, where: string): Difference[] {
  const expected = new Map(
    (recorded.finalRecords ?? []).map(({ imageRef, credentialMapping }) => [
      imageRef,
      Object.fromEntries(
        Object.entries(credentialMapping ?? {}).map(([trimmedImage, entry]) => [
          trimmedImage,
          withoutNull(entry),
        ]),
      ),
    ]),
  );
  const actual = new Map(
    store
      .listPulledRecords()
      .map(({ imageRef, credentialMapping }) => [imageRef, Object.fromEntries(credentialMapping)] as const),
  );
  const imageRefs = [...new Set([...expected.keys(), ...actual.keys()])];
  return [
    ...imageRefs.map((imageRef) => ({
      what: `finalRecords ${where}: ${imageRef}`,
      expected: expected.get(imageRef),
      actual: actual.get(imageRef),
    })),
    {
      what: `finalIntents ${where}`,
      expected: recorded.finalIntents ?? [],
      actual: store.listPullIntents(),
    },
  ].filter((difference) => !isDeepStrictEqual(difference.actual, difference.expected));
}

function withoutNull(entry: PlainCredentials): ImagePullCredentials {
  const { nodePodsAccessible, kubernetesSecrets, kubernetesServiceAccounts } = entry;
  return {
    ...(nodePodsAccessible && { nodePodsAccessible }),
    ...(kubernetesSecrets && { kubernetesSecrets }),
    ...(kubernetesServiceAccounts && { kubernetesServiceAccounts }),
  };
}
