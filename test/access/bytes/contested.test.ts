import { describe, expect, it } from 'vitest';
import type { RuntimeImage } from '../../../agent/runtime/runtime.ts';
import { access, content, digest, imageRef, type RegistryWords, type Setup, useNode } from '../scene.ts';

const node = useNode();

const victimsLayer = `sha256:${'a'.repeat(64)}`;
const theirImage = 'evil.example.com/their/app:1';
const theirRef = `sha256:${'e'.repeat(64)}`;
const theirs: RuntimeImage = {
  id: theirRef,
  repoTags: [theirImage],
  repoDigests: [`evil.example.com/their/app@${digest}`],
  pinned: false,
};
const pieces = {
  [theirRef]: { config: theirRef, layers: [victimsLayer] },
  [imageRef]: { config: imageRef, layers: [victimsLayer] },
};
const asTenant = { namespace: 'team-b', secrets: [], image: theirImage, imageRef: theirRef };

/** A tenant's image came first, and rests on a layer of an image that was just being pulled. */
async function tenantCameFirst() {
  const images = [theirs];
  const registries = { word: 'granted' as RegistryWords };
  const setup: Setup = { images, pieces, bytes: 'shown', registry: () => registries.word };
  const wired = node.verification(setup);
  const first = await access(wired.verifier, asTenant);
  return {
    first,
    again: () => access(wired.verifier, asTenant),
    switchOff: () => (registries.word = 'down'),
    async victimArrives() {
      images.push(content);
      await wired.ledger.look();
    },
  };
}

describe('a layer that a second registry brings within the time of a pull', () => {
  it('has been granted to the first before that, as far as anybody could tell', async () => {
    const { first, again, switchOff } = await tenantCameFirst();
    expect(first.verdict).toMatchObject({ verdict: 'allowed' });
    switchOff();
    expect(await again()).toMatchObject({ verdict: { verdict: 'allowed' }, doubt: 'standing' });
  });

  it('leaves the first no standing, so that switching its registry off gains it nothing', async () => {
    const { again, switchOff, victimArrives } = await tenantCameFirst();
    switchOff();
    await victimArrives();
    expect(await again()).toMatchObject({
      verdict: { verdict: 'unverifiable', reason: 'registryUnavailable' },
      doubt: 'none',
    });
  });
});
