import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RuntimeImage } from '../../agent/runtime/runtime.ts';
import {
  type Asked,
  access,
  ask,
  content,
  digest,
  image,
  imageRef,
  repository,
  teamB,
  teamC,
  teamD,
  useNode,
} from './scene.ts';

const node = useNode();

describe('a private image that tenant A has brought to the node', () => {
  it('is granted to A once by the registry, by the very content in use, and from then on by the record', async () => {
    const verifier = node.verifier();
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
    expect(await ask(verifier)).toBe('allowed recordMatched');
    expect(await ask(verifier, { policy: 'Never' })).toBe('allowed recordMatched');
    expect(node.questions).toEqual([`${repository}@${digest} alice`]);
  });

  it('is refused to B without credentials, and to C with a wrong password', async () => {
    const verifier = node.verifier();
    await ask(verifier);
    expect(await ask(verifier, teamB)).toBe('denied registryRefused');
    expect(await ask(verifier, teamC)).toBe('denied registryRefused');
    expect(node.questions.slice(1)).toEqual([
      `${repository}@${digest} anonymous`,
      `${repository}@${digest} alice`,
    ]);
  });

  it('is denied with pull policy Never without asking, for a reason that the operator can read', async () => {
    const verifier = node.verifier();
    await ask(verifier);
    expect(await ask(verifier, { ...teamB, policy: 'Never' })).toBe('denied neverWithoutRecord');
    const { verdict } = await access(verifier, { ...teamD, policy: 'Never' });
    expect(verdict).toMatchObject({
      reason: 'neverWithoutRecord',
      message: `the registry is not asked with pull policy Never, and no record lets this pod use ${image}`,
    });
    expect(node.questions).toHaveLength(1);
  });

  it('is granted to D, whose secret is another one, after one question', async () => {
    const verifier = node.verifier();
    await ask(verifier);
    expect(await ask(verifier, teamD)).toBe('allowed repullSucceeded');
    expect(await ask(verifier, { ...teamD, policy: 'Never' })).toBe('allowed recordMatched');
    expect(node.questions).toHaveLength(2);
  });

  it('is granted to whoever holds the same credentials in another secret', async () => {
    const verifier = node.verifier();
    await ask(verifier);
    await node.putSecret('team-x', 'copy', { username: 'alice', password: 'alicepw' });
    expect(await ask(verifier, { namespace: 'team-x', secrets: ['copy'] })).toBe('allowed recordMatched');
    expect(node.questions).toHaveLength(1);
  });

  it('is judged by the content in use even when its tag has moved on', async () => {
    const moved: RuntimeImage = { ...content, repoTags: [] };
    const newer: RuntimeImage = {
      id: `sha256:${'2'.repeat(64)}`,
      repoTags: [image],
      repoDigests: [],
      pinned: false,
    };
    expect(await ask(node.verifier({ images: [newer, moved] }))).toBe('allowed repullSucceeded');
    expect(node.questions).toEqual([`${repository}@${digest} alice`]);
  });

  it('shares one pull between equal questions, and records what each of them has proved', async () => {
    const verifier = node.verifier();
    await node.putSecret('team-x', 'copy', { username: 'alice', password: 'alicepw' });
    const copy: Asked = { namespace: 'team-x', secrets: ['copy'] };
    const verdicts = await Promise.all([ask(verifier), ask(verifier), ask(verifier, copy)]);
    expect(new Set(verdicts)).toEqual(new Set(['allowed repullSucceeded']));
    expect(node.questions).toHaveLength(1);
    const secrets = node.store.pulledRecord(imageRef)?.credentialMapping.get(repository)?.kubernetesSecrets;
    expect(secrets?.map(({ namespace, name }) => `${namespace}/${name}`).sort()).toEqual([
      'team-a/alice',
      'team-x/copy',
    ]);
    expect(node.store.listPullIntents()).toEqual([]);
  });
});

describe('a container that does not use what its pod names', () => {
  const edited: Asked = { ...teamB, image: 'reg.example.com/public/app:1' };

  it('is denied when its pod may pull none of the names of the content', async () => {
    expect(await ask(node.verifier(), edited)).toBe('denied imageMismatch');
    expect(await ask(node.verifier(), { ...teamB, image: imageRef })).toBe('denied imageMismatch');
  });

  it('is allowed when its pod may pull one of them', async () => {
    expect(await ask(node.verifier(), { image: imageRef })).toBe('allowed repullSucceeded');
    expect(await ask(node.verifier(), { image: 'reg.example.com/edited:1' })).toBe('allowed recordMatched');
  });

  it('gains nothing from naming an allowlisted image', async () => {
    const verifier = node.verifier({
      policy: 'NeverVerifyAllowlistedImages',
      allowlist: ['reg.example.com/public/app'],
    });
    expect(await ask(verifier, edited)).toBe('denied imageMismatch');
  });

  it('is denied with pull policy Never unless a record speaks for one of the names', async () => {
    const verifier = node.verifier();
    expect(await ask(verifier, { ...edited, policy: 'Never' })).toBe('denied neverWithoutRecord');
    await ask(verifier);
    expect(await ask(verifier, { image: imageRef, policy: 'Never' })).toBe('allowed recordMatched');
  });
});

describe('what needs no question', () => {
  it('is an image that was on the node before Pullwarden, whatever is pulled under other names later', async () => {
    node.reopen(join(node.folder, 'other'));
    node.store.takeInventory([content]);
    const verifier = node.verifier();
    expect(await ask(verifier, teamB)).toBe('allowed preloaded');
    node.store.recordImagePulled('reg.example.com/copy:1', imageRef, { nodePodsAccessible: true });
    expect(await ask(verifier, teamB)).toBe('allowed preloaded');
    expect(await ask(verifier, { ...teamB, image: imageRef })).toBe('allowed preloaded');
    expect(node.questions).toEqual([]);
  });

  it('is pull policy Always: kubelet has just asked; the record is learned for later', async () => {
    const verifier = node.verifier();
    expect(await ask(verifier, { policy: 'Always' })).toBe('allowed pullPolicyAlways');
    await verifier.idle();
    expect(node.questions).toEqual([`${repository}@${digest} alice`]);
    expect(await ask(verifier, { policy: 'Never' })).toBe('allowed recordMatched');
  });

  it('is everything under NeverVerify, and an allowlisted image under its policy', async () => {
    expect(await ask(node.verifier({ policy: 'NeverVerify' }), teamB)).toBe('allowed verificationPolicy');
    const allowlist = node.verifier({ policy: 'NeverVerifyAllowlistedImages', allowlist: [repository] });
    expect(await ask(allowlist, teamB)).toBe('allowed verificationPolicy');
    expect(node.questions).toEqual([]);
  });

  it('is an image that anyone may pull, once that has been seen', async () => {
    const verifier = node.verifier({ registry: () => 'granted' });
    expect(await ask(verifier, teamB)).toBe('allowed repullSucceeded');
    expect(await ask(verifier, { ...teamC, policy: 'Never' })).toBe('allowed recordMatched');
    expect(node.questions).toHaveLength(1);
  });
});
