import { describe, expect, it } from 'vitest';
import { allowed, denied, unverifiable, type Verdict } from '../../agent/access/verdict.ts';
import type { Access } from '../../agent/access/verifier.ts';
import { judgeImages } from '../../agent/enforcement/judge-images.ts';
import type { ImageVolume, Pod, PodContainer } from '../../agent/pods/pod-source.ts';

const models: ImageVolume = {
  name: 'models',
  image: 'registry.example/team-a/models:1',
  imagePullPolicy: 'IfNotPresent',
};
const data: ImageVolume = { name: 'data', image: 'registry.example/team-a/data:1', imagePullPolicy: 'Never' };

const spec: PodContainer = {
  name: 'app',
  image: 'registry.example/app:1',
  imagePullPolicy: 'IfNotPresent',
  kind: 'container',
  imageVolumes: [models, data],
};
const pod: Pod = {
  namespace: 'team-b',
  name: 'web',
  uid: 'uid-web',
  serviceAccountName: 'default',
  imagePullSecrets: [],
  containers: [spec],
};

const granted = allowed('recordMatched', 'granted');
const refused = denied('registryRefused', 'refused');
const unknown = unverifiable('registryUnavailable', 'connection refused');

/** The finding about a container whose images have these verdicts; an image that is not named is granted. */
async function judge(answers: Readonly<Record<string, Verdict | Access>>, urgent = true) {
  const asked: string[] = [];
  const finding = await judgeImages({ pod, spec }, 'sha256:app', {
    ensureAccess: async ({ container, imageRef }) => {
      asked.push(`${container.image} ${imageRef} ${container.imagePullPolicy}`);
      const answer = answers[container.image] ?? granted;
      return 'reason' in answer ? { verdict: answer, doubt: 'none' } : answer;
    },
    doubtOf: () => 'none',
    volumeContent: async ({ name }) => `sha256:${name}`,
    urgent,
  });
  return { ...finding, asked };
}

describe('a container that mounts image volumes', () => {
  it('is allowed when its pod may pull its image and those of all its volumes', async () => {
    const { access, spec: about, asked } = await judge({});
    expect(access.verdict).toEqual(granted);
    expect(about?.image).toBe(spec.image);
    expect(asked).toEqual([
      'registry.example/app:1 sha256:app IfNotPresent',
      'registry.example/team-a/models:1 sha256:models IfNotPresent',
      'registry.example/team-a/data:1 sha256:data Never',
    ]);
  });

  it('is proved with pull policy Never as well where it runs already, and reported with its own policy', async () => {
    const { asked, spec: about } = await judge({ [data.image]: refused }, false);
    expect(asked.at(-1)).toBe('registry.example/team-a/data:1 sha256:data IfNotPresent');
    expect(about?.imagePullPolicy).toBe('Never');
  });

  it('is denied for one volume that its pod may not pull, and the verdict says which', async () => {
    const { access, spec: about, imageRef } = await judge({ [data.image]: refused });
    expect(access.verdict).toMatchObject({ verdict: 'denied', reason: 'registryRefused' });
    expect(access.verdict.message).toBe('image volume data: refused');
    expect([about?.image, imageRef]).toEqual([data.image, 'sha256:data']);
  });

  it('is denied rather than unverifiable when it is both', async () => {
    const { access } = await judge({ [spec.image]: unknown, [models.image]: refused });
    expect(access.verdict.verdict).toBe('denied');
  });

  it('is judged by what the pod brought along rather than by an outage, whichever comes first', async () => {
    const own = unverifiable('secretMalformed', 'no JSON');
    for (const verdicts of [
      { [spec.image]: unknown, [models.image]: own },
      { [spec.image]: own, [models.image]: unknown },
    ]) {
      expect((await judge(verdicts)).access.verdict.reason).toBe('secretMalformed');
    }
  });

  it('is unverifiable when one volume is', async () => {
    const { access } = await judge({ [models.image]: unknown });
    expect(access.verdict).toMatchObject({ verdict: 'unverifiable', reason: 'registryUnavailable' });
  });

  it('is unverifiable where the runtime does not tell what a volume has, and the doubt goes by its name', async () => {
    const doubtsAsked: unknown[] = [];
    const { access, contents } = await judgeImages({ pod, spec }, 'sha256:app', {
      ensureAccess: async () => ({ verdict: granted, doubt: 'none' }),
      doubtOf: (about) => {
        doubtsAsked.push(about);
        return 'standing';
      },
      volumeContent: async ({ name }) =>
        name === 'data' ? unverifiable('imageNotPresent', 'gone') : 'sha256:models',
      urgent: true,
    });
    expect(access).toMatchObject({ verdict: { reason: 'imageNotPresent' }, doubt: 'standing' });
    expect(doubtsAsked).toEqual([{ namespace: 'team-b', imageRef: undefined, image: data.image }]);
    expect(contents.volumes).toEqual([
      { image: models.image, imageRef: 'sha256:models' },
      { image: data.image, imageRef: '' },
    ]);
  });

  it('says which contents were judged, for the guard to compare', async () => {
    expect((await judge({})).contents).toEqual({
      own: 'sha256:app',
      volumes: [
        { image: models.image, imageRef: 'sha256:models' },
        { image: data.image, imageRef: 'sha256:data' },
      ],
    });
  });

  it('has no more standing than the image that has least of it, of those that are in doubt', async () => {
    const standing: Access = { verdict: unknown, doubt: 'standing' };
    const brought: Access = { verdict: unknown, doubt: 'broughtByRegistry' };
    expect((await judge({ [spec.image]: standing })).access.doubt).toBe('standing');
    expect((await judge({ [spec.image]: standing, [data.image]: brought })).access.doubt).toBe(
      'broughtByRegistry',
    );
    // An open fuse spares what has standing: not with a volume that has none.
    const denied: Access = { verdict: refused, doubt: 'standing' };
    expect((await judge({ [spec.image]: denied, [data.image]: unknown })).access).toMatchObject({
      verdict: { reason: 'registryRefused' },
      doubt: 'none',
    });
  });

  it('runs for the time being while the secret of a volume is verified, and what comes of that counts', async () => {
    const revision = Promise.resolve(refused);
    const { access } = await judge({ [models.image]: { verdict: granted, doubt: 'standing', revision } });
    expect([access.verdict.verdict, access.doubt]).toEqual(['allowed', 'standing']);
    expect(await access.revision).toMatchObject({
      verdict: 'denied',
      message: 'image volume models: refused',
    });
  });
});
