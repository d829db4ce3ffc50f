import { RuntimeError } from '../../errors.ts';
import { isSameImageId } from '../../image/image-id.ts';
import type { FailedPull, PullOutcome, RegistryAuth, Runtime, Sandbox } from '../../runtime/runtime.ts';
import type { PodCredential } from '../pod-credential.ts';
import type { UnverifiableReason } from '../verdict.ts';
import type { Question } from './question.ts';

/**
 * What the runtime said of a pull. Its text was written by whichever host spoke last, so that a refusal is no
 * more than a suspicion unless the registry itself was the speaker.
 */
export type PullWord =
  | { readonly said: 'granted' }
  | { readonly said: 'refused'; readonly byRegistry: boolean; readonly message: string }
  | { readonly said: 'nothing'; readonly reason: UnverifiableReason; readonly message: string };

export type PullingRuntime = Pick<Runtime, 'pullImage' | 'sandbox'>;

/**
 * Has the runtime pull the content in use again, by digest, with the pod's own credential, as kubelet would
 * (kuberuntime PullImage). Never a tag: that could bring in another image, or move the tag for everybody.
 * Only what is present is asked about, so that nothing comes to the node by this.
 */
export async function askByPull(
  runtime: PullingRuntime,
  question: Question,
  timeoutMs: number,
  onPull: (outcome: PullOutcome['outcome'], seconds: number) => void,
): Promise<PullWord> {
  const { name, imageRef, credential } = question;
  const { repository } = name;
  const sandbox = await sandboxOf(runtime, question.podSandboxId);
  let notFound: PullWord | undefined;
  for (const digest of name.digests) {
    const started = performance.now();
    const outcome = await runtime.pullImage({
      image: `${repository}@${digest}`,
      auth: credential && authOf(credential),
      sandbox,
      runtimeHandler: sandbox?.runtimeHandler,
      timeoutMs,
    });
    onPull(outcome.outcome, (performance.now() - started) / 1_000);
    const word = wordOf(outcome, imageRef);
    if (outcome.outcome !== 'notFound') return word;
    notFound ??= word;
  }
  return notFound ?? noDigest;
}

function wordOf(outcome: PullOutcome, imageRef: string): PullWord {
  if (outcome.outcome !== 'pulled') return failedWord(outcome);
  if (isSameImageId(outcome.imageRef, imageRef)) return { said: 'granted' };
  return {
    said: 'nothing',
    reason: 'registryUnavailable',
    message: 'the runtime pulled other content than the container uses',
  };
}

function failedWord({ outcome, speaker, message }: FailedPull): PullWord {
  switch (outcome) {
    case 'refused':
    case 'notFound':
      return { said: 'refused', byRegistry: speaker === 'registry', message };
    case 'forbiddenByPolicy':
      return { said: 'nothing', reason: 'registryForbidsImage', message };
    case 'runtimeUnavailable':
      return { said: 'nothing', reason: 'runtimeUnavailable', message };
    case 'nodeTrouble':
      return { said: 'nothing', reason: 'nodeTrouble', message };
    case 'invalid':
      return { said: 'nothing', reason: 'imageNameInvalid', message };
    case 'unavailable':
    case 'unknown':
      return { said: 'nothing', reason: 'registryUnavailable', message };
  }
}

const noDigest: PullWord = {
  said: 'nothing',
  reason: 'registryUnavailable',
  message: 'the runtime knows no digest of this image, and a tag is never pulled to verify',
};

/** A pull without it is still a question; CRI-O then answers for no namespace in particular. */
async function sandboxOf(runtime: PullingRuntime, id: string | undefined): Promise<Sandbox | undefined> {
  if (id === undefined || id === '') return undefined;
  try {
    return await runtime.sandbox(id);
  } catch (error) {
    if (error instanceof RuntimeError) return undefined;
    throw error;
  }
}

/** CRI's AuthConfig knows no e-mail address. */
function authOf({ credential: { username, password } }: PodCredential): RegistryAuth {
  return { username, password };
}
