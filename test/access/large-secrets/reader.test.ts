import { describe, expect, it } from 'vitest';
import { createLargeSecretReader } from '../../../agent/access/large-secrets/reader.ts';
import { type KeyringSecret, lookup, makeKeyring } from '../../../agent/credentials/keyring.ts';

function secretWith(config: string, namespace = 'team-a'): KeyringSecret {
  return {
    namespace,
    name: 'large',
    uid: 'uid-large',
    type: 'kubernetes.io/dockerconfigjson',
    data: new Map([['.dockerconfigjson', Buffer.from(config)]]),
  };
}

function entries(count: number): string {
  const all = Array.from({ length: count }, (_, n) => [
    `reg.example/app-${n}`,
    { username: `user-${n}`, password: 'é'.repeat(200) },
  ]);
  return JSON.stringify({ auths: Object.fromEntries(all) });
}

describe('a docker config of 1 MiB', { timeout: 60_000 }, () => {
  it('offers what it would if the main thread read it', async () => {
    const secrets = [secretWith(entries(1_900))];
    const repository = 'reg.example/app-17';
    const found = await createLargeSecretReader().find('team-a', secrets, repository);
    expect(found).toEqual({ offered: lookup(makeKeyring(secrets), repository) });
  });

  it('that is malformed is said to be, by its name and by nothing that stands in it', async () => {
    const reader = createLargeSecretReader();
    const found = await reader.find(
      'team-a',
      [secretWith(`{"auths":${'x'.repeat(20_000)}`)],
      'reg.example/app',
    );
    expect(found).toEqual({ malformed: 'secret team-a/large: .dockerconfigjson is not JSON' });
  });

  it('that takes longer than it may offers nothing, and the next one is read all the same', async () => {
    const hurried = createLargeSecretReader(1);
    const secrets = [secretWith(entries(1_900))];
    await expect(hurried.find('team-a', secrets, 'reg.example/app-1')).resolves.toHaveProperty('malformed');
    const reader = createLargeSecretReader();
    const answers = await Promise.all([
      reader.find('team-a', secrets, 'reg.example/app-1'),
      reader.find('team-b', [secretWith(entries(1), 'team-b')], 'reg.example/app-0'),
    ]);
    expect(answers).toEqual([
      { offered: [expect.objectContaining({ secret: expect.objectContaining({ namespace: 'team-a' }) })] },
      { offered: [expect.objectContaining({ secret: expect.objectContaining({ namespace: 'team-b' }) })] },
    ]);
  });

  it('of a namespace with too much waiting is refused at once', async () => {
    const reader = createLargeSecretReader();
    const secrets = [secretWith(entries(1))];
    const asked = Array.from({ length: 60 }, () => reader.find('team-a', secrets, 'reg.example/app-0'));
    const answers = await Promise.all(asked);
    expect(answers.filter((found) => 'malformed' in found)).toHaveLength(60 - 51);
  });
});
