import { describe, expect, it } from 'vitest';
import { allowed, denied, unverifiable, type Verdict } from '../../agent/access/verdict.ts';
import type { Access } from '../../agent/access/verifier.ts';
import { contentMountedBy, contentNamed, judgeImages } from '../../agent/enforcement/judge-images.ts';
import { RuntimeError } from '../../agent/errors.ts';
import type { ImageVolume, Pod, PodContainer } from '../../agent/pods/pod-source.ts';
import type { RuntimeImage } from '../../agent/runtime/runtime.ts';

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

/** The verdict of a container whose images have these; an image that is not named is granted. */
async function judge(verdicts: Readonly<Record<string, Verdict | Access>>) {
  const asked: string[] = [];
  const judged = await judgeImages(
    { pod, spec },
    'sha256:app',
    async ({ container, imageRef }) => {
      asked.push(`${container.image} ${imageRef} ${container.imagePullPolicy}`);
      const answer = verdicts[container.image] ?? granted;
      return 'reason' in answer ? { verdict: answer } : answer;
    },
    { contentOf: async ({ name }) => `sha256:${name}`, urgent: true },
  );
  return { ...judged, asked };
}

describe('a container that mounts image volumes', () => {
  it('is allowed when its pod may pull its image and those of all its volumes', async () => {
    const { access, spec: about, asked } = await judge({});
    expect(access.verdict).toEqual(granted);
    expect(about.image).toBe(spec.image);
    expect(asked).toEqual([
      'registry.example/app:1 sha256:app IfNotPresent',
      'registry.example/team-a/models:1 sha256:models IfNotPresent',
      'registry.example/team-a/data:1 sha256:data Never',
    ]);
  });

  it('is denied for one volume that its pod may not pull, and the verdict says which', async () => {
    const { access, spec: about, imageRef } = await judge({ [data.image]: refused });
    expect(access.verdict).toMatchObject({ verdict: 'denied', reason: 'registryRefused' });
    expect(access.verdict.message).toBe('image volume data: refused');
    expect([about.image, imageRef]).toEqual([data.image, 'sha256:data']);
  });

  it('is denied rather than unverifiable when it is both', async () => {
    const { access } = await judge({ [spec.image]: unknown, [models.image]: refused });
    expect(access.verdict.verdict).toBe('denied');
  });

  it('is told by what the pod brought about itself rather than by an outage, whichever comes first', async () => {
    const own = unverifiable('pullErrorUnknown', '431 Request Header Fields Too Large');
    for (const verdicts of [
      { [spec.image]: unknown, [models.image]: own },
      { [spec.image]: own, [models.image]: unknown },
    ]) {
      expect((await judge(verdicts)).access.verdict.reason).toBe('pullErrorUnknown');
    }
  });

  it('is unverifiable when one volume is', async () => {
    const { access } = await judge({ [models.image]: unknown });
    expect(access.verdict).toMatchObject({ verdict: 'unverifiable', reason: 'registryUnavailable' });
  });

  it('is unverifiable where the runtime does not tell what a volume has', async () => {
    const absent = unverifiable('imageNotPresent', 'gone');
    const { access } = await judgeImages({ pod, spec }, 'sha256:app', async () => ({ verdict: granted }), {
      contentOf: async () => absent,
      urgent: true,
    });
    expect(access.verdict.reason).toBe('imageNotPresent');
  });

  it('runs for the time being while the secret of a volume is verified, and what comes of that counts', async () => {
    const revision = Promise.resolve(refused);
    const { access } = await judge({ [models.image]: { verdict: granted, revision } });
    expect(access.verdict.verdict).toBe('allowed');
    expect(await access.revision).toMatchObject({
      verdict: 'denied',
      message: 'image volume models: refused',
    });
  });
});

const image: RuntimeImage = { id: 'sha256:now', repoTags: [], repoDigests: [], pinned: false };

describe('the content of an image volume', () => {
  it('is what the container does mount, whatever its tag means now', async () => {
    const contentOf = contentMountedBy(
      {
        imageStatus: async () => image,
        mountedImages: async () => [{ image: models.image, imageRef: 'sha256:mounted' }],
      },
      'c1',
    );
    expect(await contentOf(models)).toBe('sha256:mounted');
  });

  it('is what its name means where the runtime does not tell what is mounted', async () => {
    const contentOf = contentMountedBy(
      { imageStatus: async () => image, mountedImages: async () => [] },
      'c1',
    );
    expect(await contentOf(models)).toBe('sha256:now');
  });

  it('cannot be told while the runtime is away', async () => {
    const away = async (): Promise<never> => {
      throw new RuntimeError('unreachable', 'no answer');
    };
    const contentOf = contentMountedBy({ imageStatus: away, mountedImages: away }, 'c1');
    expect(await contentOf(models)).toMatchObject({ verdict: 'unverifiable', reason: 'runtimeUnavailable' });
    expect(await contentNamed({ imageStatus: away }, 'x')).toMatchObject({ reason: 'runtimeUnavailable' });
  });
});
