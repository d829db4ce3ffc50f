import { keyMatches } from './keyring.ts';

/**
 * Is a plugin responsible for a normalized repository (`docker.io/library/busybox`)? Kubelet's
 * isImageAllowed: host by label with wildcards, the same port, and a path that begins alike.
 */
export function matchesImage(matchImages: readonly string[], repository: string): boolean {
  return matchImages.some((pattern) => keyMatches(pattern, repository));
}
