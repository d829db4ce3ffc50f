import { ImageNameError, trimImageName } from './reference.ts';

/** Images that need no verification, by name or by a path before `/*`. */
export type Allowlist = { readonly names: ReadonlySet<string>; readonly prefixes: readonly string[] };

export type AllowlistFailure =
  | 'surroundingSpaces'
  | 'tooShort'
  | 'wildcard'
  | 'notAnImageName'
  | 'tagOrDigest';

/** A pattern that kubelet would not start with. */
export class AllowlistError extends Error {
  override readonly name = 'AllowlistError';
  readonly reason: AllowlistFailure;
  readonly pattern: string;

  constructor(reason: AllowlistFailure, pattern: string) {
    super(`${JSON.stringify(pattern.slice(0, 200))} is no image pattern: ${WHY[reason]}`);
    this.reason = reason;
    this.pattern = pattern;
  }
}

const WHY: Readonly<Record<AllowlistFailure, string>> = {
  surroundingSpaces: 'no spaces around it are allowed',
  tooShort: 'it needs at least the name of a registry',
  wildcard: 'a wildcard stands only at the end, as /*',
  notAnImageName: 'it is no image name',
  tagOrDigest: 'it must have neither tag nor digest',
};

/**
 * Patterns of KubeletConfiguration `preloadedImagesVerificationAllowlist`, validated as kubelet does when it starts
 * (pullmanager, image_pull_policies.go).
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
 * `docker.io/library/busybox` are two entries. A text that is no image name never does (kubelet refuses it earlier).
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
  if (/^\p{White_Space}|\p{White_Space}$/u.test(pattern))
    throw new AllowlistError('surroundingSpaces', pattern);
  const isWildcard = pattern.endsWith('/*');
  const rest = isWildcard ? pattern.slice(0, -1) : pattern;
  if (rest === '' || rest === '/') throw new AllowlistError('tooShort', pattern);
  if (rest.includes('*')) throw new AllowlistError('wildcard', pattern);
  return isWildcard ? rest : undefined;
}

function nameOf(pattern: string): string {
  let trimmed: string;
  try {
    trimmed = trimImageName(pattern);
  } catch (error) {
    if (error instanceof ImageNameError) throw new AllowlistError('notAnImageName', pattern);
    throw error;
  }
  if (trimmed !== pattern) throw new AllowlistError('tagOrDigest', pattern);
  return pattern;
}
