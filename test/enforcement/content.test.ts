import { describe, expect, it } from 'vitest';
import { contentMountedBy, contentNamed } from '../../agent/enforcement/content.ts';
import { RuntimeError } from '../../agent/errors.ts';
import type { ImageVolume } from '../../agent/pods/pod-source.ts';
import type { RuntimeImage } from '../../agent/runtime/runtime.ts';

const models: ImageVolume = {
  name: 'models',
  image: 'registry.example/team-a/models:1',
  imagePullPolicy: 'IfNotPresent',
};
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

  it('is not known while the runtime is away', async () => {
    const away = async (): Promise<never> => {
      throw new RuntimeError('unreachable', 'no answer');
    };
    const contentOf = contentMountedBy({ imageStatus: away, mountedImages: away }, 'c1');
    expect(await contentOf(models)).toMatchObject({ verdict: 'unverifiable', reason: 'runtimeUnavailable' });
    expect(await contentNamed(away, 'x')).toMatchObject({ reason: 'runtimeUnavailable' });
  });
});
