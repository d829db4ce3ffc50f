import { type Reason, type RegistryRefusal, unverifiable, type Verdict } from '../access/verdict.ts';
import { repositoryOf } from '../image/reference.ts';

/** Kubelet asks again after a second, and then about every ten. */
export const IN_PROGRESS = unverifiable('verificationInProgress', 'verification in progress');

/**
 * What kubelet and the tenant read about a refused container. The verdict's own message is for the operator:
 * it may name other tenants' repositories, so of all messages only these fixed ones go out.
 */
export function refusalText(verdict: Verdict, image: string): string {
  return `pullwarden: ${tenantText(verdict, image)}`;
}

/**
 * The verdict as the tenant may know it, also in an Event on the pod. `image` is empty where the pod is not
 * known.
 */
export function tenantText(verdict: Verdict, image: string): string {
  const { reason } = verdict;
  if (reason === 'neverWithoutRecord' || isNamedById(image)) return absentText(image);
  const which = image === '' ? '' : `image "${image}": `;
  if (reason === 'verificationInProgress') return `${which}verification in progress`;
  return `${which}${textOf(verdict, image)} (${reason})`;
}

const SHORT_OR_WHOLE_ID = /^(?:sha256:)?[0-9a-f]{1,64}$/;

/**
 * Does this text name an image by its id, or by the beginning of one? Runtimes resolve both, whatever
 * repository the image belongs to (containerd: CRIImageService.LocalResolve, a truncated index of ids), so
 * that an answer about such an image tells who guesses ids what is on the node.
 */
export function isNamedById(image: string): boolean {
  return SHORT_OR_WHOLE_ID.test(image);
}

/** Kubelet's words for an image that is absent (ErrImageNeverPull in pkg/kubelet/images/image_manager.go). */
function absentText(image: string): string {
  return `Container image "${image}" is not present with pull policy of Never`;
}

function textOf(verdict: Verdict, image: string): string {
  const about = verdict.verdict === 'denied' ? verdict.about : undefined;
  if (about) return registryRefusedText(about, registryOf(image));
  return TEXTS[verdict.reason] ?? 'access could not be verified';
}

function registryRefusedText({ tried, configured }: RegistryRefusal, registry: string): string {
  if (tried > 0)
    return `${registry} refused ${tried === 1 ? 'the credential' : `${tried} credentials`} of this pod`;
  const without = `${registry} does not grant it without one`;
  if (configured === 0) return `this pod has no imagePullSecret, and ${without}`;
  return `none of the imagePullSecrets of this pod is for ${registry}, and ${without}`;
}

/** As the pod's own spec names it; another name of the content would tell about other tenants. */
function registryOf(image: string): string {
  return repositoryOf(image)?.split('/')[0] ?? 'the registry';
}

const TEXTS: Readonly<Partial<Record<Reason, string>>> = {
  registryRefused: 'the registry refused the image pull secrets of this pod',
  bytesNotShown: 'the registry has not shown that it holds this image',
  imageMismatch: 'the image is not one that this pod may pull',
  podUnknown: 'the API server does not know the pod of this container',
  unmanagedPod: 'the pod of this container is not known',
  registryUnavailable: 'the registry could not be asked',
  secretMalformed: 'an image pull secret of this pod is malformed',
  secretUnreadable: 'an image pull secret of this pod could not be read',
  tooManyCredentials: 'this pod has more image pull secrets for the registry than are tried',
  imageNameInvalid: 'the name of the image is invalid',
};
