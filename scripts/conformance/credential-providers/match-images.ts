import { z } from 'zod';
import { parseSchemeless, toByteString } from '../../../agent/credentials/go-url.ts';
import { matchesImage } from '../../../agent/credentials/match-images.ts';
import type { Vector } from '../vector.ts';
import { compare } from './compare.ts';

const vector = z.object({
  matchImage: z.string(),
  configValid: z.boolean(),
  images: z.record(z.string(), z.boolean()),
});

/** match-images.json: which repositories a pattern selects a plugin for. @throws ZodError. */
export function matchImagesVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map(({ matchImage, configValid, images }) => ({
      name: JSON.stringify(matchImage),
      differences: () => [
        ...compare('configValid', configValid, parseSchemeless(toByteString(matchImage)) !== undefined),
        ...Object.entries(images).flatMap(([image, expected]) =>
          compare(image, expected, matchesImage([matchImage], image)),
        ),
      ],
    }));
}
