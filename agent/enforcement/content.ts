import { unverifiable, type Verdict } from '../access/verdict.ts';
import { RuntimeError } from '../errors.ts';
import type { ImageVolume } from '../pods/pod-source.ts';
import type { MountedImage, Runtime } from '../runtime/runtime.ts';

/**
 * The image id that a name means to the runtime now; undefined when nothing present has that name. May answer
 * from a cache that is kept up to date with the runtime.
 *
 * @throws RuntimeError
 */
export type ContentOf = (image: string) => Promise<string | undefined>;

/** The content of an image volume; a verdict where it cannot be found out. */
export type VolumeContent = (volume: ImageVolume) => Promise<string | Verdict>;

/** What a container that exists really mounts, whatever the volume's tag means by now. */
export function contentMountedBy(
  runtime: Pick<Runtime, 'imageStatus' | 'mountedImages'>,
  containerId: string,
): VolumeContent {
  let mounted: Promise<readonly MountedImage[]> | undefined;
  return (volume) =>
    orVerdict(async () => {
      mounted ??= runtime.mountedImages(containerId);
      const known = (await mounted).find(({ image }) => image === volume.image);
      return known?.imageRef ?? (await runtime.imageStatus(volume.image))?.id;
    });
}

/** What a name means to the runtime now; kubelet has just resolved it as well. */
export function contentNamed(contentOf: ContentOf, image: string): Promise<string | Verdict> {
  return orVerdict(() => contentOf(image));
}

async function orVerdict(find: () => Promise<string | undefined>): Promise<string | Verdict> {
  try {
    return (await find()) ?? unverifiable('imageNotPresent', 'the runtime does not have the image');
  } catch (error) {
    if (error instanceof RuntimeError) return unverifiable('runtimeUnavailable', error.message);
    throw error;
  }
}
