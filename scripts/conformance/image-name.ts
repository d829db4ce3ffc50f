import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { ImageNameError } from '../../agent/errors.ts';
import { parseImageName, trimImageName } from '../../agent/image/reference.ts';
import type { Difference, Vector } from './vector.ts';

const vector = z.object({
  image: z.string(),
  repository: z.string().nullish(),
  tag: z.string().nullish(),
  digest: z.string().nullish(),
  parseError: z.boolean().nullish(),
  trimmed: z.string().nullish(),
  trimError: z.boolean().nullish(),
});

type ImageNameVector = z.infer<typeof vector>;

const ERROR = 'error';

/** image-name.json: what kubelet's two parsers make of a text. @throws ZodError. */
export function imageNameVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded, position) => ({
      name: `image-name-${position} ${JSON.stringify(recorded.image.slice(0, 80))}`,
      differences: () => differences(recorded),
    }));
}

function differences(recorded: ImageNameVector): readonly Difference[] {
  const { image, repository = '', tag = '', digest = '', trimmed = '' } = recorded;
  return [
    {
      what: 'parsed',
      expected: recorded.parseError ? ERROR : { repository, tag, digest },
      actual: orError(() => ({ ...parseImageName(image) })),
    },
    {
      what: 'trimmed',
      expected: recorded.trimError ? ERROR : trimmed,
      actual: orError(() => trimImageName(image)),
    },
  ].filter(({ expected, actual }) => !isDeepStrictEqual(actual, expected));
}

function orError<Result>(parse: () => Result): Result | typeof ERROR {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ImageNameError) return ERROR;
    throw error;
  }
}
