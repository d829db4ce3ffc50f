import { describe, expect, it } from 'vitest';
import { access, ask, imageRef, type Registry, repository, useNode } from './scene.ts';

const node = useNode();

describe('a secret that was good for the image and has been changed since', () => {
  const grant: Registry = () => 'granted';
  const onlyOld: Registry = (_image, auth) => (auth?.password === 'alicepw' ? 'granted' : 'refused');
  const rotate = async (password: string): Promise<void> => {
    await node.putSecret('team-a', 'alice', { username: 'alice', password });
  };
  const hashes = (): readonly string[] =>
    node.store
      .pulledRecord(imageRef)
      ?.credentialMapping.get(repository)
      ?.kubernetesSecrets?.map((s) => s.credentialHash) ?? [];

  it('trust: is let pass, and its new hash written down, as kubelet does', async () => {
    const verifier = node.verifier({ registry: onlyOld });
    await ask(verifier);
    const before = hashes();
    await rotate('rotated');
    expect(await ask(verifier)).toBe('allowed recordMatched');
    expect(node.questions).toHaveLength(1);
    expect(hashes()).not.toEqual(before);
  });

  it('verify: is let pass at once and verified; once granted it vouches for others', async () => {
    const verifier = node.verifier({ rotatedSecrets: 'verify', registry: grant });
    await ask(verifier);
    const before = hashes();
    await rotate('rotated');
    const { verdict, revision } = await access(verifier, { policy: 'Never' });
    expect(verdict).toMatchObject({ verdict: 'allowed', reason: 'recordMatched' });
    expect(await revision).toMatchObject({ verdict: 'allowed', reason: 'repullSucceeded' });
    expect(hashes()).toHaveLength(1);
    expect(hashes()).not.toEqual(before);
    expect((await access(verifier)).revision).toBeUndefined();
  });

  it('verify: when it is refused, the record goes and the container is denied', async () => {
    const verifier = node.verifier({ rotatedSecrets: 'verify', registry: onlyOld });
    await ask(verifier);
    await rotate('guessed');
    const { verdict, revision } = await access(verifier);
    expect(verdict.verdict).toBe('allowed');
    expect(await revision).toMatchObject({ verdict: 'denied', reason: 'registryRefused' });
    expect(hashes()).toEqual([]);
    expect(await ask(verifier)).toBe('denied registryRefused');
    expect(await ask(verifier, { policy: 'Never' })).toBe('denied neverWithoutRecord');
    expect(node.questions).toHaveLength(2);
  });

  it('verify: until it is granted, it vouches for nobody else', async () => {
    let release = (): void => undefined;
    const asked = new Promise<void>((resolve) => {
      release = resolve;
    });
    const registry: Registry = async (_image, auth) => {
      if (auth?.password === 'alicepw') return 'granted';
      await asked;
      return 'refused';
    };
    const verifier = node.verifier({ rotatedSecrets: 'verify', registry });
    await ask(verifier);
    await rotate('guessed');
    const { revision } = await access(verifier);
    await node.putSecret('team-x', 'copy', { username: 'alice', password: 'guessed' });
    expect(await ask(verifier, { namespace: 'team-x', secrets: ['copy'], policy: 'Never' })).toBe(
      'denied neverWithoutRecord',
    );
    release();
    await revision;
  });

  it('verify: when nobody can be asked, the record stays and it is tried again', async () => {
    let away = false;
    const verifier = node.verifier({ rotatedSecrets: 'verify', registry: () => (away ? 'down' : 'granted') });
    await ask(verifier);
    const before = hashes();
    await rotate('rotated');
    away = true;
    expect(await (await access(verifier)).revision).toMatchObject({ reason: 'registryUnavailable' });
    expect(hashes()).toEqual(before);
    away = false;
    node.setClock(10_000);
    expect(await (await access(verifier)).revision).toMatchObject({ reason: 'repullSucceeded' });
  });

  it('verify: a secret that was repaired while it was being refused keeps its entry', async () => {
    for (const repaired of ['alicepw', 'repaired']) {
      let duringRefusal = async (): Promise<void> => undefined;
      const registry: Registry = async (_image, auth) => {
        if (auth?.password !== 'mistyped') return 'granted';
        await duringRefusal();
        return 'refused';
      };
      const verifier = node.verifier({ rotatedSecrets: 'verify', registry });
      await rotate('alicepw');
      await ask(verifier);
      await rotate('mistyped');
      duringRefusal = async () => {
        await rotate(repaired);
        expect(await (await access(verifier)).revision).not.toMatchObject({ verdict: 'denied' });
      };
      const { revision } = await access(verifier);
      expect(await revision, repaired).toMatchObject({ verdict: 'allowed', reason: 'recordMatched' });
      expect(hashes(), repaired).toHaveLength(1);
      expect((await access(verifier, { policy: 'Never' })).revision, repaired).toBeUndefined();
    }
  });

  it('verify: a secret that was changed to another wrong one while it was refused loses its entry', async () => {
    let duringRefusal = async (): Promise<void> => undefined;
    const registry: Registry = async (_image, auth) => {
      if (auth?.password === 'alicepw') return 'granted';
      if (auth?.password === 'guessed') await duringRefusal();
      return 'refused';
    };
    const verifier = node.verifier({ rotatedSecrets: 'verify', registry });
    await ask(verifier);
    await rotate('guessed');
    duringRefusal = () => rotate('guessed again');
    expect(await (await access(verifier)).revision).toMatchObject({ reason: 'registryRefused' });
    expect(hashes()).toEqual([]);
  });

  it('deny: waits for the registry, also with pull policy Never', async () => {
    const verifier = node.verifier({ rotatedSecrets: 'deny', registry: onlyOld });
    await ask(verifier);
    await rotate('guessed');
    expect(await ask(verifier, { policy: 'Never' })).toBe('denied neverWithoutRecord');
    expect(hashes()).toEqual([]);
    await rotate('alicepw');
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
  });

  it('does not matter to a pod that has another credential which the record knows', async () => {
    const verifier = node.verifier({ rotatedSecrets: 'verify' });
    await node.putSecret('team-a', 'second', { username: 'dave', password: 'davepw' });
    await ask(verifier, { secrets: ['alice'] });
    await ask(verifier, { secrets: ['second'] });
    await rotate('rotated');
    const { verdict, revision } = await access(verifier, { secrets: ['alice', 'second'] });
    expect(verdict).toMatchObject({ reason: 'recordMatched' });
    expect(revision).toBeUndefined();
  });
});
