import { z } from 'zod';
import { auth, recordedPod, recordedProvider } from './recorded-provider.ts';

/** What the node has: of the plugins what they answer, always. */
export const imageManagerNode = z.object({
  nodeConfigJson: z.string().nullish(),
  providers: z.array(recordedProvider.extend({ auth })),
});
export type ImageManagerNode = z.infer<typeof imageManagerNode>;

const credentials = z.object({
  nodePodsAccessible: z.boolean().optional(),
  kubernetesSecrets: z.array(recordedPod.extend({ credentialHash: z.string() })).optional(),
  kubernetesServiceAccounts: z.array(recordedPod).optional(),
});
/** One pod that wants an image, and what kubelet did. */
export const imageManagerStep = z.object({
  image: z.string(),
  imagePullPolicy: z.enum(['Always', 'IfNotPresent', 'Never']),
  pod: recordedPod.extend({ serviceAccountName: z.string() }),
  serviceAccount: z
    .object({ uid: z.string(), annotations: z.record(z.string(), z.string()).nullish() })
    .nullable(),
  imagePullSecrets: z.array(recordedPod.extend({ dockerconfigjsonUtf8: z.string() })),
  registryAccepts: z.array(z.string()),
  presentBefore: z.boolean(),
  imageRefIfPulled: z.string(),
  restartBefore: z.boolean().optional(),
  expect: z.object({
    pullAttempts: z.array(z.object({ image: z.string(), auth: z.record(z.string(), z.string()).nullable() })),
    pluginCalls: z.array(z.string()),
    outcome: z.string().optional(),
    error: z.string().nullable(),
    imageRef: z.string(),
    mustAttemptAsked: z.boolean(),
    mustPull: z.boolean().optional(),
    credentialsNeededForDecision: z.boolean().optional(),
    podSecrets: z.array(recordedPod.extend({ credentialHash: z.string() })).optional(),
    podServiceAccount: recordedPod.nullish(),
    recordAfter: z
      .object({ imageRef: z.string(), credentialMapping: z.record(z.string(), credentials) })
      .nullable(),
    intentsLeft: z.number(),
  }),
});

export type ImageManagerStep = z.infer<typeof imageManagerStep>;
