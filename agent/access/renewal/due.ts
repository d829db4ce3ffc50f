import type { Grant } from '../../records/types.ts';

/** How asking about a grant again ended. */
export const RENEWED = [
  'granted',
  'refused',
  // Nobody could be asked, or nobody answered.
  'unverifiable',
  // What it was granted to cannot be read by this agent, or no pod that has it is on the node.
  'notAtHand',
  // The secret, or the content, is not there any more.
  'gone',
] as const;
export type Renewed = (typeof RENEWED)[number];

/** `agoMs`: by a clock that never jumps. */
export type LastAnswer = { readonly renewed: Renewed; readonly agoMs: number };

/** Grants of one age are not all asked about at once, but over the last part of their time. */
const SPREAD = 0.4;
/** And a little earlier than at the end of it, so that there is time to ask in. */
const MARGIN = 0.1;
/** What was not answered is asked again after this (ms). */
const AGAIN_MS = 600_000;

/**
 * Is this grant so old that its registry is to be asked again? When it was granted is known by the wall
 * clock, which may have jumped: a grant from the future is old, and what this agent heard itself goes by a
 * clock that does not jump. Being asked too early costs a question, and nobody a right.
 *
 * @param nowMs ms since the epoch, as Grant.verifiedAt
 */
export function isDue(
  grant: Grant,
  {
    ttlMs,
    nowMs,
    last,
  }: { readonly ttlMs: number; readonly nowMs: number; readonly last?: LastAnswer | undefined },
): boolean {
  const goodForMs = ttlMs * (1 - MARGIN - SPREAD * fractionOf(grantKey(grant)));
  if (last) return last.agoMs >= (last.renewed === 'granted' ? goodForMs : Math.min(AGAIN_MS, goodForMs));
  if (grant.verifiedAt === undefined) return true;
  const age = nowMs - grant.verifiedAt;
  return age < 0 || age >= goodForMs;
}

/** The same for the same grant. */
export function grantKey({ imageRef, trimmedImage, grantee }: Grant): string {
  const owner = 'uid' in grantee ? [grantee.namespace, grantee.name, grantee.uid] : [];
  return JSON.stringify([imageRef, trimmedImage, grantee.kind, ...owner]);
}

/** From 0 to 1, evenly, and always the same of one text (FNV-1a). */
function fractionOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let n = 0; n < text.length; n += 1) hash = Math.imul(hash ^ text.charCodeAt(n), 0x01000193);
  return (hash >>> 0) / 2 ** 32;
}
