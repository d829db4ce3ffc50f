import { z } from 'zod';
import { hasAtMostValues } from '../json-values.ts';
import type { ImagePiecesAnswer } from './runtime.ts';

/**
 * Longest text about an image that is read, in characters; it holds the image's config, which whoever built
 * the image wrote. Configs of real images have 2 to 60 KiB.
 */
const MAX_INFO = 512 * 1024;
/**
 * JSON values in it, as `[`, `{` and `,` count them, within texts as well: it is they that cost time. A
 * config with 1,000 layers and as many steps has some 8,000.
 */
const MAX_VALUES = 10_000;
/** Layers of one image; overlayfs mounts no more than 500, and runtimes stop at 128. */
const MAX_LAYERS = 1_000;

const BARE_ID = /^[0-9a-f]{64}$/;
const DIGEST = /^sha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})$/;

const imageInfo = z.object({
  imageSpec: z.object({
    rootfs: z.object({ diff_ids: z.array(z.string().regex(DIGEST)).max(MAX_LAYERS) }),
  }),
});

/**
 * The pieces of an image, from what a verbose ImageStatus tells of it. `imageId` as the runtime writes it.
 *
 * containerd (internal/cri/server/images/image_status.go, toCRIImageInfo) and CRI-O
 * (server/image_status.go) put the config as JSON text under the key `info`, at `imageSpec`; recorded alike
 * on containerd 1.6, 1.7, 2.1 and CRI-O 1.37.
 */
export function readImagePieces(imageId: string, info: Readonly<Record<string, string>>): ImagePiecesAnswer {
  const config = BARE_ID.test(imageId) ? `sha256:${imageId}` : imageId;
  const text = info.info;
  if (text === undefined || text === '') return { pieces: undefined, reason: 'infoMissing' };
  if (text.length > MAX_INFO || !hasAtMostValues(text, MAX_VALUES))
    return { pieces: undefined, reason: 'infoTooLarge' };
  const parsed = imageInfo.safeParse(jsonOf(text));
  if (!parsed.success || !DIGEST.test(config)) return { pieces: undefined, reason: 'infoMalformed' };
  return { pieces: { config, layers: parsed.data.imageSpec.rootfs.diff_ids } };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
