import type { ListedContainer } from './cri-messages.ts';
import type { Runtime, RuntimeContainer } from './runtime.ts';

const IMAGE_ID = /^(?:sha256:)?[0-9a-f]{64}$/;

/**
 * containerd names the content in image_ref, CRI-O in image_id, and both repeat what kubelet asked for in
 * image.image.
 */
function imageIdOf({ imageId, imageRef, image }: ListedContainer): string | undefined {
  return [imageId, imageRef, image?.image ?? ''].find((candidate) => IMAGE_ID.test(candidate));
}

/**
 * The containers of a list, each with the id of its image.
 *
 * @throws RuntimeError when an image has to be looked up and cannot be
 */
export async function toRuntimeContainers(
  listed: readonly ListedContainer[],
  imageStatus: Runtime['imageStatus'],
): Promise<readonly RuntimeContainer[]> {
  const imageIds = await resolveImageIds(listed, imageStatus);
  return listed.map((container) => toRuntimeContainer(container, imageIds));
}

/** Old CRI-O names an image by repository and digest alone; the image store knows its id. By image_ref. */
async function resolveImageIds(
  containers: readonly ListedContainer[],
  imageStatus: Runtime['imageStatus'],
): Promise<ReadonlyMap<string, string>> {
  const unknown = new Set(
    containers.filter((c) => imageIdOf(c) === undefined && c.imageRef !== '').map((c) => c.imageRef),
  );
  const ids = new Map<string, string>();
  for (const imageRef of unknown) {
    const image = await imageStatus(imageRef);
    if (image !== undefined) ids.set(imageRef, image.id);
  }
  return ids;
}

function toRuntimeContainer(
  container: ListedContainer,
  imageIds: ReadonlyMap<string, string>,
): RuntimeContainer {
  const label = (name: string) => container.labels[`io.kubernetes.${name}`] ?? '';
  return {
    id: container.id,
    podSandboxId: container.podSandboxId,
    state: container.state,
    createdAt: container.createdAt,
    // An image that is gone keeps the name it has: no record will match it.
    imageRef: imageIdOf(container) ?? imageIds.get(container.imageRef) ?? container.imageRef,
    containerName: label('container.name'),
    pod: { namespace: label('pod.namespace'), name: label('pod.name'), uid: label('pod.uid') },
    attempt: container.metadata?.attempt ?? 0,
  };
}
