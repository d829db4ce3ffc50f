import type { DeniedReason, UnverifiableReason } from '../../access/verdict.ts';
import { ImageNameError } from '../../errors.ts';
import { parseImageName } from '../../image/reference.ts';

type Subject = { readonly namespace: string; readonly image: string };

/** What to do about a verdict, in a sentence for whoever owns the namespace or runs the cluster. */
export function howToMend(reason: string, subject: Subject): string {
  return isKnown(reason) ? MEND[reason](subject) : 'Look the reason up in docs/how-it-works.md.';
}

const MEND: Readonly<Record<DeniedReason | UnverifiableReason, (subject: Subject) => string>> = {
  registryRefused: ({ image }) =>
    `Give the pod an imagePullSecret whose docker config has the key "${keyFor(image)}" and an account that may ` +
    'pull this repository; if it has one, its password or right is wrong.',
  neverWithoutRecord: () =>
    'Set imagePullPolicy: IfNotPresent and give the pod its imagePullSecret: with Never nobody asks the registry.',
  imageMismatch: () =>
    'The container runs other content than its pod names: see who changed the spec or the tag.',
  unmanagedPod: () =>
    'Nobody at the API server knows this container: see what creates it on the node besides kubelet.',
  secretUnreadable: ({ namespace }) =>
    `Let the agent read secrets in ${namespace}: a RoleBinding to the ClusterRole pullwarden-image-pull-secrets.`,
  secretMalformed: () => 'The imagePullSecret is not a valid docker config: create it again.',
  registryUnavailable: () => 'The registry does not answer this node: see its address, network and TLS.',
  runtimeUnavailable: () => 'The container runtime of the node does not answer: see its log.',
  apiServerUnavailable: () => 'The agent cannot read pods or secrets: see its /readyz and its identity.',
  imageNotPresent: () => 'The image was removed from the node; the next pull settles it.',
  imageNameInvalid: () => "Correct the image's name in the pod.",
  tooManyCredentials: () => 'Too many credentials match this image: give the pod only those that it needs.',
  internalError: () => 'A defect of Pullwarden: please report it with the message.',
  bytesNotShown: () =>
    'This registry has not shown that it holds the content: name the registry that the image comes from, or trust ' +
    'this one with --trusted-registries.',
  podUnknown: () =>
    'The pod was deleted while it started, or somebody forged its labels: see who creates containers on the node.',
  registryForbidsImage: () =>
    'The registry keeps this image from everybody, by a policy or by law: see what it says about the image.',
  nodeTrouble: () =>
    'The node itself is in the way of a pull (a full disk, a forbidden socket): ' +
    'see the log of the container runtime.',
  providerUnavailable: () =>
    'A credential provider plugin of the node fails: see `pullwarden doctor` on the node.',
  audienceForbidden: () =>
    'The agent may not request tokens for the audience of a credential provider: ' +
    'the message has the rule that is missing.',
  verificationInProgress: () =>
    'The verification was not over yet; kubelet tries again. If it stays so, the registry is slow.',
};

/** The key of a docker config's `auths` that kubelet would match with this image. */
function keyFor(image: string): string {
  try {
    const [host = ''] = parseImageName(image).repository.split('/');
    return host === 'docker.io' ? 'https://index.docker.io/v1/' : host;
  } catch (error) {
    if (error instanceof ImageNameError) return 'REGISTRY';
    throw error;
  }
}

/** Agents of another version may have other reasons. */
function isKnown(reason: string): reason is keyof typeof MEND {
  return Object.hasOwn(MEND, reason);
}
