import { type Reason, unverifiable, type Verdict } from '../access/verdict.ts';

/** The verification goes on; kubelet asks again after a second, and then about every ten. */
export const IN_PROGRESS = unverifiable('registryUnavailable', 'verification in progress');

/**
 * What kubelet and the tenant are told of a refused container. The verdict's own message is for the operator: it may
 * name other tenants' repositories, so that of all messages only these fixed ones go out.
 */
export function refusalText(verdict: Verdict, image: string): string {
  return `pullwarden: ${verdict === IN_PROGRESS ? verdict.message : tenantText(verdict, image)}`;
}

/** The verdict as the tenant may know it, also in an Event on the pod. */
export function tenantText({ reason, message }: Verdict, image: string): string {
  if (reason === 'neverWithoutRecord') return message;
  return `image "${image}": ${TEXTS[reason] ?? 'access could not be verified'} (${reason})`;
}

const TEXTS: Readonly<Partial<Record<Reason, string>>> = {
  registryRefused: 'the registry refused the image pull secrets of this pod',
  imageMismatch: 'the image is not one that this pod may pull',
  unmanagedPod: 'the pod of this container is not known',
  registryUnavailable: 'the registry could not be asked',
  secretMalformed: 'an image pull secret of this pod is malformed',
  secretUnreadable: 'an image pull secret of this pod could not be read',
  imageNameInvalid: 'the name of the image is invalid',
};
