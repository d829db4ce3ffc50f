import { z } from 'zod';
import { makePolicy, VERIFICATION_POLICIES } from '../../../agent/access/record/policy.ts';
import type { RecordStore } from '../../../agent/records/record-store.ts';
import { openStore, putEmptyState } from '../store.ts';
import type { Difference, Vector } from '../vector.ts';
import { compare } from './compare.ts';
import { ensureImageExists } from './ensure-image-exists.ts';
import { type ImageManagerStep, imageManagerNode, imageManagerStep } from './image-manager-step.ts';
import { inTemporaryFolder } from './temporary-folder.ts';

const vector = z.object({
  name: z.string(),
  policy: z.enum(VERIFICATION_POLICIES),
  allowlist: z.array(z.string()).nullish(),
  ...imageManagerNode.shape,
  steps: z.array(imageManagerStep),
});

type ImageManagerVector = z.infer<typeof vector>;
/**
 * image-manager.json: pods that want an image, one after the other, and what is on record then. @throws
 * ZodError.
 */
export function imageManagerVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({
      name: recorded.name,
      differences: () => inTemporaryFolder((folder) => differences(recorded, folder)),
    }));
}

async function differences(recorded: ImageManagerVector, folder: string): Promise<readonly Difference[]> {
  putEmptyState(folder);
  let store = openStore(folder);
  const policy = makePolicy(recorded.policy, recorded.allowlist ?? []);
  const found: Difference[] = [];
  try {
    for (const [n, one] of recorded.steps.entries()) {
      if (one.restartBefore) {
        store.close();
        store = openStore(folder);
      }
      const seen = await ensureImageExists(store, policy, recorded, one);
      const after = {
        ...seen,
        recordAfter: recordOf(store, one.imageRefIfPulled),
        intentsLeft: store.listPullIntents().length,
      };
      found.push(...compare(`step ${n}`, expectedOf(one), after));
    }
    return found;
  } finally {
    store.close();
  }
}

function expectedOf({ expect }: ImageManagerStep): object {
  return { ...expect, outcome: expect.outcome, ...(expect.mustAttemptAsked ? {} : NOT_ASKED) };
}

const NOT_ASKED = {
  mustPull: undefined,
  credentialsNeededForDecision: undefined,
  podSecrets: undefined,
  podServiceAccount: undefined,
};

function recordOf(store: RecordStore, imageRef: string): object | null {
  const record = store.pulledRecord(imageRef);
  return record === undefined
    ? null
    : { imageRef: record.imageRef, credentialMapping: Object.fromEntries(record.credentialMapping) };
}
