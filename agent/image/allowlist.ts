import { AllowlistError, ImageNameError } from '../errors.ts';
import { trimImageName } from './reference.ts';

/** Images that need no verification, by name or by a path before `/*`. */
export type Allowlist = { readonly names: ReadonlySet<string>; readonly prefixes: readonly string[] };

/**
 * Patterns of KubeletConfiguration `preloadedImagesVerificationAllowlist`, validated as kubelet does when it
 * starts (pullmanager, image_pull_policies.go).
 *
 * @throws AllowlistError naming the first bad pattern
 */
export function parseAllowlist(patterns: readonly string[]): Allowlist {
  const names = new Set<string>();
  const prefixes: string[] = [];
  for (const pattern of patterns) {
    const prefix = prefixOf(pattern);
    if (prefix === undefined) names.add(nameOf(pattern));
    else prefixes.push(prefix);
  }
  return { names, prefixes };
}

/**
 * Does the image, its tag and digest cut, stand on the list? Nothing is normalized: `busybox` and
 * `docker.io/library/busybox` are two entries. A text that is not an image name never does (kubelet refuses
 * it earlier).
 */
export function allowlistMatches({ names, prefixes }: Allowlist, image: string): boolean {
  try {
    const trimmed = trimImageName(image);
    return names.has(trimmed) || prefixes.some((prefix) => trimmed.startsWith(prefix));
  } catch (error) {
    if (error instanceof ImageNameError) return false;
    throw error;
  }
}

/** The part of a wildcard pattern before the `*`, slash included; undefined for one without wildcard. */
function prefixOf(pattern: string): string | undefined {
  // Unicode's White_Space is what Go's strings.TrimSpace cuts; String.trim differs (U+0085, U+FEFF).
  if (/^\p{White_Space}|\p{White_Space}$/u.test(pattern)) throw badPattern('surroundingSpaces', pattern);
  const isWildcard = pattern.endsWith('/*');
  const rest = isWildcard ? pattern.slice(0, -1) : pattern;
  if (rest === '' || rest === '/') throw badPattern('tooShort', pattern);
  if (rest.includes('*')) throw badPattern('wildcard', pattern);
  return isWildcard ? rest : undefined;
}

function nameOf(pattern: string): string {
  let trimmed: string;
  try {
    trimmed = trimImageName(pattern);
  } catch (error) {
    if (error instanceof ImageNameError) throw badPattern('notAnImageName', pattern);
    throw error;
  }
  if (trimmed !== pattern) throw badPattern('tagOrDigest', pattern);
  return pattern;
}

const WHY: Readonly<Record<AllowlistError['reason'], string>> = {
  surroundingSpaces: 'no spaces around it are allowed',
  tooShort: 'it needs at least the name of a registry',
  wildcard: 'a wildcard stands only at the end, as /*',
  notAnImageName: 'it is not an image name',
  tagOrDigest: 'it must have neither tag nor digest',
};

function badPattern(reason: AllowlistError['reason'], pattern: string): AllowlistError {
  return new AllowlistError(
    reason,
    `${JSON.stringify(pattern.slice(0, 200))} is not an image pattern: ${WHY[reason]}`,
  );
}
