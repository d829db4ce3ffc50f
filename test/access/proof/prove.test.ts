import { describe, expect, it } from 'vitest';
import { PodSourceError } from '../../../agent/errors.ts';
import type { FailedPull, RuntimeImage } from '../../../agent/runtime/runtime.ts';
import {
  type Asked,
  ask,
  content,
  digest,
  image,
  imageRef,
  private_,
  pulled,
  type Registry,
  repository,
  teamC,
  useNode,
} from '../scene.ts';

const node = useNode();

describe('a refusal', () => {
  it('is not asked for again before its backoff ends, and at once with another credential', async () => {
    const verifier = node.verifier();
    expect(await ask(verifier, teamC)).toBe('denied registryRefused');
    node.setClock(9_999);
    expect(await ask(verifier, teamC)).toBe('denied registryRefused');
    expect(node.questions).toHaveLength(1);
    await node.changeSecret('team-c', 'wrong', { username: 'alice', password: 'alicepw' });
    expect(await ask(verifier, teamC)).toBe('allowed repullSucceeded');
    node.setClock(10_000);
    expect(await ask(verifier, { namespace: 'team-c', secrets: [] })).toBe('denied registryRefused');
    expect(node.questions).toHaveLength(3);
  });

  it('is never based on a secret that has changed in the meantime', async () => {
    let asked = 0;
    const registry: Registry = async (name, auth) => {
      asked += 1;
      if (asked === 1) await node.changeSecret('team-c', 'wrong', { username: 'alice', password: 'alicepw' });
      return private_(name, auth);
    };
    expect(await ask(node.verifier({ registry }), teamC)).toBe('allowed repullSucceeded');
    expect(asked).toBe(2);
  });

  it('needs every credential to be refused', async () => {
    await node.putSecret('team-a', 'other', { username: 'bob', password: 'bobpw' });
    const both: Asked = { secrets: ['other', 'alice'] };
    expect(await ask(node.verifier(), both)).toBe('allowed repullSucceeded');
    expect(node.questions.map((pull) => pull.split(' ')[1])).toEqual(['bob', 'alice']);
  });

  it('is none when the pod has more credentials than are tried: after ten, new ones wait', async () => {
    const names = Array.from({ length: 21 }, (_, n) => `many-${n}`);
    for (const [n, name] of names.entries())
      await node.changeSecret('team-a', name, { username: `user-${n}`, password: 'x' });
    expect(await ask(node.verifier({ registry: () => 'refused' }), { secrets: names })).toBe(
      'unverifiable tooManyCredentials',
    );
    expect(node.questions).toHaveLength(11);
  });

  it('is none while one of the credentials could not be tried', async () => {
    await node.putSecret('team-a', 'other', { username: 'bob', password: 'bobpw' });
    const registry: Registry = (_image, auth) => (auth?.username === 'bob' ? 'down' : 'refused');
    expect(await ask(node.verifier({ registry }), { secrets: ['other', 'alice'] })).toBe(
      'unverifiable registryUnavailable',
    );
  });
});

describe('a registry that says "not found"', () => {
  const only =
    (...names: string[]): Registry =>
    (name) =>
      names.includes(name) ? 'granted' : 'notFound';

  it('is asked for the tag, whose success proves access to the repository', async () => {
    expect(await ask(node.verifier({ registry: only(image) }))).toBe('allowed repullSucceeded');
    expect(node.questions).toEqual([`${repository}@${digest} alice`, `${image} alice`]);
  });

  it('denies when it does not have the tag either', async () => {
    expect(await ask(node.verifier({ registry: only() }))).toBe('denied registryRefused');
  });

  it('gains nothing from a tag that means other content now', async () => {
    const other: RuntimeImage = { ...content, id: `sha256:${'2'.repeat(64)}`, repoDigests: [] };
    const verifier = node.verifier({ registry: only(image), images: [other] });
    expect(await ask(verifier, { imageRef: other.id })).toBe('denied registryRefused');
    expect(node.questions).toEqual([`${image} alice`]);
    expect(node.pulls).toEqual([]);
  });
});

describe('what cannot be told', () => {
  const failed = (outcome: FailedPull['outcome']): FailedPull => ({
    outcome,
    speaker: 'unstated',
    message: 'text',
  });
  const cases: Array<[string, FailedPull, string]> = [
    ['a registry that is down', failed('unavailable'), 'registryUnavailable'],
    ['a runtime that is down', failed('runtimeUnavailable'), 'runtimeUnavailable'],
    ['an error that no row knows', failed('unknown'), 'registryUnavailable'],
    ['a full disk', failed('nodeTrouble'), 'nodeTrouble'],
    ['a name that the runtime does not take', failed('invalid'), 'imageNameInvalid'],
  ];
  it.each(cases)(
    '%s permits nothing where the registry cannot be asked directly',
    async (_what, outcome, reason) => {
      const verifier = node.verifier({ registry: () => 'down', puller: () => outcome });
      expect(await ask(verifier)).toBe(`unverifiable ${reason}`);
      expect(node.store.pulledRecord(imageRef)).toBeUndefined();
    },
  );

  it('what the registry forbids everybody is not asked of the runtime', async () => {
    const verifier = node.verifier({ registry: () => 'forbiddenByPolicy', puller: () => pulled });
    expect(await ask(verifier)).toBe('unverifiable registryForbidsImage');
    expect(node.pulls).toEqual([]);
  });

  it('a registry that was down is asked again within 30 s however long it was, and at once when it answered anybody', async () => {
    let isDown = true;
    const verifier = node.verifier({ registry: (...question) => (isDown ? 'down' : private_(...question)) });
    for (const now of [0, 10_000, 30_000, 60_000]) {
      node.setClock(now);
      expect(await ask(verifier)).toBe('unverifiable registryUnavailable');
    }
    expect(node.questions).toHaveLength(4);
    isDown = false;
    node.setClock(89_999);
    expect(await ask(verifier)).toBe('unverifiable registryUnavailable');
    expect(await ask(verifier, teamC)).toBe('denied registryRefused');
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
  });

  it('an image that is no longer there is not pulled', async () => {
    expect(await ask(node.verifier({ images: [] }))).toBe('unverifiable imageNotPresent');
    expect(node.questions).toEqual([]);
  });

  it('a malformed secret stops the look-up, as kubelet does, but not a pod that needs none', async () => {
    await node.putSecret('team-m', 'bad', '{');
    const malformed: Asked = { namespace: 'team-m', secrets: ['bad'] };
    expect(await ask(node.verifier(), malformed)).toBe('unverifiable secretMalformed');
    node.store.recordImagePulled(image, imageRef, { nodePodsAccessible: true });
    expect(await ask(node.verifier(), malformed)).toBe('allowed recordMatched');
  });

  it('a malformed secret does not keep pull policy Never from being denied without a record', async () => {
    await ask(node.verifier());
    await node.putSecret('team-m', 'bad', '{');
    const malformed: Asked = { namespace: 'team-m', secrets: ['bad'], policy: 'Never' };
    expect(await ask(node.verifier(), malformed)).toBe('denied neverWithoutRecord');
    const otherName: Asked = { ...malformed, image: 'reg.example.com/team-m/app:1' };
    expect(await ask(node.verifier(), otherName)).toBe('denied neverWithoutRecord');
    expect(node.questions).toHaveLength(1);
  });

  it('but secrets that cannot be read leave it open whether a record would have matched', async () => {
    await ask(node.verifier());
    node.breakSecrets(new PodSourceError('apiServerUnavailable', 'connection refused'));
    expect(await ask(node.verifier(), { policy: 'Never' })).toBe('unverifiable apiServerUnavailable');
  });

  it('more secrets than any pod needs', async () => {
    const filler = 'x'.repeat(700_000);
    for (const name of ['big-1', 'big-2', 'big-3'])
      await node.changeSecret('team-a', name, { username: 'u', password: filler });
    expect(await ask(node.verifier(), { secrets: ['big-1', 'big-2', 'big-3'] })).toBe(
      'unverifiable secretMalformed',
    );
  });

  it('a secret that does not exist is passed over, as kubelet does', async () => {
    expect(await ask(node.verifier(), { secrets: ['missing', 'alice'] })).toBe('allowed repullSucceeded');
    expect(await ask(node.verifier(), { secrets: ['missing'] })).toBe('denied registryRefused');
  });

  it('a name that no parser accepts', async () => {
    expect(await ask(node.verifier(), { image: 'UPPER/x:::' })).toBe('unverifiable imageNameInvalid');
  });
});

describe('a registry that hangs', () => {
  it('does not hold up the questions to another one', async () => {
    const slow: RuntimeImage = {
      id: `sha256:${'5'.repeat(64)}`,
      repoTags: [],
      repoDigests: [`slow.example.com/app@${digest}`],
      pinned: false,
    };
    let release = (): void => undefined;
    const hanging = new Promise<'down'>((resolve) => {
      release = () => resolve('down');
    });
    const verifier = node.verifier({
      images: [content, slow],
      registry: (name, auth) => (name.startsWith('slow.') ? hanging : private_(name, auth)),
    });
    const waiting = Array.from({ length: 8 }, () =>
      ask(verifier, { image: 'slow.example.com/app:1', imageRef: slow.id, secrets: [] }),
    );
    expect(await ask(verifier)).toBe('allowed repullSucceeded');
    release();
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['unverifiable registryUnavailable']));
  });
});
