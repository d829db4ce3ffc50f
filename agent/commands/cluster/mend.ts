import { ImageNameError } from '../../errors.ts';
import { parseImageName } from '../../image/reference.ts';

type Subject = { readonly namespace: string; readonly image: string };

/** What to do about a verdict, in a sentence for whoever owns the namespace or runs the cluster. */
export function howToMend(reason: string, subject: Subject): string {
  return MEND.get(reason)?.(subject) ?? 'Look the reason up in docs/how-it-works.md.';
}

const MEND: ReadonlyMap<string, (subject: Subject) => string> = new Map<string, (subject: Subject) => string>(
  [
    [
      'registryRefused',
      ({ image }) =>
        `Give the pod an imagePullSecret whose docker config has the key "${keyFor(image)}" and an account that may ` +
        'pull this repository; if it has one, its password or right is wrong.',
    ],
    [
      'neverWithoutRecord',
      () =>
        'Set imagePullPolicy: IfNotPresent and give the pod its imagePullSecret: with Never nobody asks the registry.',
    ],
    [
      'imageMismatch',
      () => 'The container runs other content than its pod names: see who changed the spec or the tag.',
    ],
    [
      'unmanagedPod',
      () => 'Nobody at the API server knows this container: see what creates it on the node besides kubelet.',
    ],
    [
      'contentNotShown',
      () =>
        'This registry has not shown that it holds the content: name the registry that the image comes from, or trust ' +
        'this one with --trusted-registries.',
    ],
    [
      'secretUnreadable',
      ({ namespace }) =>
        `Let the agent read secrets in ${namespace}: a RoleBinding to the ClusterRole pullwarden-image-pull-secrets.`,
    ],
    ['secretMalformed', () => 'The imagePullSecret is not a valid docker config: create it again.'],
    [
      'registryUnavailable',
      () => 'The registry does not answer this node: see its address, network and TLS.',
    ],
    ['runtimeUnavailable', () => 'The container runtime of the node does not answer: see its log.'],
    [
      'apiServerUnavailable',
      () => 'The agent cannot read pods or secrets: see its /readyz and its identity.',
    ],
    ['imageNotPresent', () => 'The image was removed from the node; the next pull settles it.'],
    ['imageNameInvalid', () => "Correct the image's name in the pod."],
    [
      'tooManyCredentials',
      () => 'Too many credentials match this image: give the pod only those that it needs.',
    ],
    ['pullErrorUnknown', () => 'The registry answered in a way that nobody knows: see the message.'],
    ['internalError', () => 'A defect of Pullwarden: please report it with the message.'],
  ],
);

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
