import { z } from 'zod';
import {
  makePolicy,
  requiresVerification,
  type VerificationPolicy,
} from '../../agent/access/record/policy.ts';
import { AllowlistError } from '../../agent/errors.ts';
import type { Difference, Vector } from './vector.ts';

const vector = z.object({
  pattern: z.string(),
  valid: z.boolean(),
  images: z.array(z.object({ image: z.string(), requiresVerification: z.boolean() })).nullish(),
});

type AllowlistVector = z.infer<typeof vector>;

/**
 * allowlist.json: is a pattern valid, and which images does a policy with just this pattern verify? @throws
 * ZodError.
 */
export function allowlistVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({
      name: JSON.stringify(recorded.pattern),
      differences: () => differences(recorded),
    }));
}

function differences({ pattern, valid, images }: AllowlistVector): readonly Difference[] {
  const policy = policyOf(pattern);
  if ((policy !== undefined) !== valid) {
    return [{ what: 'valid', expected: valid, actual: policy !== undefined }];
  }
  if (policy === undefined) return [];
  return (images ?? []).flatMap(({ image, requiresVerification: expected }) => {
    const actual = requiresVerification(policy, image, true);
    return actual === expected
      ? []
      : [{ what: `requiresVerification of ${JSON.stringify(image)}`, expected, actual }];
  });
}

function policyOf(pattern: string): VerificationPolicy | undefined {
  try {
    return makePolicy('NeverVerifyAllowlistedImages', [pattern]);
  } catch (error) {
    if (error instanceof AllowlistError) return undefined;
    throw error;
  }
}
