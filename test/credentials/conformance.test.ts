import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DockerConfigError } from '../../agent/credentials/docker-config.ts';
import { lookup, makeKeyring } from '../../agent/credentials/keyring.ts';
import { parseImageName } from '../../agent/image/reference.ts';

/** Recorded from kubelet v1.36.2's keyring (KEYRING_VECTORS names another file of the same kind). */
type Vector = {
  name: string;
  secrets: { type: string; namespace: string; name: string; uid: string; key: string; dataUtf8: string }[];
  image: string;
  error: boolean;
  credentials: {
    username: string;
    password: string;
    email: string;
    secret: { namespace: string; name: string; uid: string };
    credentialHash: string;
  }[];
};

const file = process.env.KEYRING_VECTORS ?? join(import.meta.dirname, '../conformance/keyring.json');
// The recording is the contract; a vector that is not of this shape fails its test.
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vector[];

describe("kubelet's keyring", () => {
  it.each(vectors.map((vector) => [vector.name, vector] as const))('%s', (_, vector) => {
    const secrets = vector.secrets.map(({ key, dataUtf8, ...secret }) => ({
      ...secret,
      data: new Map([[key, Buffer.from(dataUtf8)]]),
    }));
    if (vector.error) {
      expect(() => makeKeyring(secrets)).toThrow(DockerConfigError);
      return;
    }
    const found = lookup(makeKeyring(secrets), parseImageName(vector.image).repository);
    expect(found.map(({ credential, ...rest }) => ({ ...credential, ...rest }))).toEqual(vector.credentials);
  });
});
