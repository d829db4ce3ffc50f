import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { lookup, makeKeyring } from '../../agent/credentials/keyring.ts';
import { DockerConfigError } from '../../agent/errors.ts';
import { parseImageName } from '../../agent/image/reference.ts';
import type { Difference, Vector } from './vector.ts';

const coordinates = z.object({ namespace: z.string(), name: z.string(), uid: z.string() });
const vector = z.object({
  name: z.string(),
  secrets: z.array(coordinates.extend({ type: z.string(), key: z.string(), dataUtf8: z.string() })).nullish(),
  image: z.string(),
  error: z.boolean().nullish(),
  credentials: z
    .array(
      z.object({
        username: z.string(),
        password: z.string(),
        email: z.string(),
        secret: coordinates,
        credentialHash: z.string(),
      }),
    )
    .nullish(),
});

type KeyringVector = z.infer<typeof vector>;

/**
 * keyring.json: which credentials a pod's secrets offer for an image, and in which order. @throws ZodError.
 */
export function keyringVectors(content: unknown): readonly Vector[] {
  return z
    .array(vector)
    .parse(content)
    .map((recorded) => ({ name: recorded.name, differences: () => differences(recorded) }));
}

function differences(recorded: KeyringVector): readonly Difference[] {
  const expected = recorded.error ? 'error' : (recorded.credentials ?? []);
  const actual = offered(recorded);
  return isDeepStrictEqual(actual, expected)
    ? []
    : [{ what: `credentials for ${recorded.image}`, expected, actual }];
}

function offered({ secrets, image }: KeyringVector): object[] | 'error' {
  const podSecrets = (secrets ?? []).map(({ key, dataUtf8, ...secret }) => ({
    ...secret,
    data: new Map([[key, Buffer.from(dataUtf8)]]),
  }));
  try {
    return lookup(makeKeyring(podSecrets), parseImageName(image).repository).map(
      ({ credential, secret, credentialHash }) => ({ ...credential, secret: { ...secret }, credentialHash }),
    );
  } catch (error) {
    if (error instanceof DockerConfigError) return 'error';
    throw error;
  }
}
