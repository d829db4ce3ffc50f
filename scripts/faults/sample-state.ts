import { checkAccess } from '../../agent/access/record/check-access.ts';
import { makePolicy } from '../../agent/access/record/policy.ts';
import { type OpenedRecordStore, openRecordStore } from '../../agent/records/sqlite/open.ts';
import type { PresentImage } from '../../agent/records/types.ts';

const IMAGES = 24;
const PRELOADED = 4;
const policy = makePolicy('NeverVerifyPreloadedImages');

export function imageOf(n: number): string {
  return `${trimmedImageOf(n)}:1`;
}

export function imageRefOf(n: number): string {
  return `sha256:${n.toString(16).padStart(64, '0')}`;
}

function trimmedImageOf(n: number): string {
  return `reg.example.com/team-${n}/app`;
}

function secretOf(n: number) {
  return { namespace: `team-${n}`, name: 'regcred', uid: `uid-${n}`, credentialHash: `hash-${n}` };
}

/**
 * What the runtime lists of a node: all images of the sample, and one that nobody ever pulled with a
 * credential.
 */
const present: readonly PresentImage[] = Array.from({ length: IMAGES + 1 }, (_, n) => ({
  id: imageRefOf(n),
  repoTags: [imageOf(n)],
  repoDigests: [],
}));

/**
 * A state directory as a node has it: four images preloaded, the others granted each to one secret, every
 * third of these revoked again, one intent open.
 */
export function makeSampleState(stateDir: string): void {
  const { store, standing, shownPieces, savedState } = openRecordStore({ stateDir });
  store.takeInventory(present.slice(0, PRELOADED));
  for (let n = PRELOADED; n < IMAGES; n += 1) {
    store.recordPullIntent(imageOf(n));
    store.recordImagePulled(imageOf(n), imageRefOf(n), { kubernetesSecrets: [secretOf(n)] });
    if (n % 3 === 0) store.revokeSecret(imageRefOf(n), trimmedImageOf(n), secretOf(n));
    else addStanding(n);
    shownPieces.add('reg.example.com', [imageRefOf(n)], {
      firstSeenAt: n,
      holding: n % 2 === 0 ? 'shown' : 'named',
    });
  }
  savedState.write('fuse', { openSince: 1 });
  store.recordPullIntent(imageOf(IMAGES));
  store.close();

  function addStanding(n: number): void {
    const imageRef = imageRefOf(n);
    standing.add({
      namespace: `team-${n}`,
      imageRef,
      trimmedImage: trimmedImageOf(n),
      since: 1,
      by: 'granted',
    });
  }
}

/**
 * What this store allows that nobody was ever granted in the sample, in words; empty where all is well. Takes
 * the inventory first, as an agent would that starts on it.
 */
export function permissionsNobodyGave({
  store,
  standing,
  shownPieces,
}: OpenedRecordStore): readonly string[] {
  const found: string[] = [];
  if (store.takeInventory(present)) found.push('the inventory was taken once more');
  for (let n = 0; n <= IMAGES; n += 1) {
    const question = { image: imageOf(n), imageRef: imageRefOf(n) };
    const nobody = checkAccess(store, policy, question, { secrets: [] }).result;
    if (isAllowed(nobody) && n >= PRELOADED) found.push(`image ${n} for everybody: ${nobody}`);
    const owner = checkAccess(store, policy, question, { secrets: [secretOf(n)] }).result;
    const mayBe = n < PRELOADED || (n < IMAGES && n % 3 !== 0);
    if (isAllowed(owner) && !mayBe)
      found.push(`image ${n} for whom it was revoked, or never granted: ${owner}`);
    const other = checkAccess(store, policy, question, { secrets: [secretOf(n + 1)] }).result;
    if (isAllowed(other) && n >= PRELOADED) found.push(`image ${n} for its neighbour: ${other}`);
    const isShown = shownPieces.holding('reg.example.com', imageRefOf(n)) === 'shown';
    if (isShown && (n < PRELOADED || n % 2 !== 0)) found.push(`piece ${n} was not shown`);
  }
  for (const { namespace, imageRef, trimmedImage } of standing.list()) {
    const n = Number(namespace.replace('team-', ''));
    const isOurs = imageRef === imageRefOf(n).slice('sha256:'.length) && trimmedImage === trimmedImageOf(n);
    if (!isOurs || n % 3 === 0) found.push(`standing of ${namespace}`);
  }
  return found;
}

function isAllowed(result: string): boolean {
  return result === 'credentialPolicyAllowed' || result === 'credentialRecordFound';
}
