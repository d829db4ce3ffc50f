import { describe, expect, it } from 'vitest';
import { forgetGoneNamespaces } from '../../../agent/access/renewal/gone-namespaces.ts';
import { createPace } from '../../../agent/access/renewal/pace.ts';
import { openStanding } from '../../../agent/records/standing.ts';
import { makeRowsInMemory } from '../../records/store-in-memory.ts';

/** Which namespaces have standing after a sweep, and what was said to be forgotten. */
async function sweep(isThere: (namespace: string) => boolean | 'unknown') {
  const standing = openStanding(makeRowsInMemory());
  for (const namespace of ['team-a', 'team-b']) {
    for (const name of ['app', 'data']) {
      const trimmedImage = `reg.example.com/${name}`;
      standing.add({
        namespace,
        imageRef: `sha256:${'a'.repeat(64)}`,
        trimmedImage,
        since: 0,
        by: 'granted',
      });
    }
  }
  const forgotten: [string, number][] = [];
  const pace = createPace(60_000);
  await forgetGoneNamespaces({
    standing: {
      namespaces: () => [...new Set(standing.list().map(({ namespace }) => namespace))],
      forgetNamespace: (namespace) => standing.forget({ namespace }),
    },
    isThere: async (namespace) => isThere(namespace),
    pace,
    onForgotten: (namespace, count) => forgotten.push([namespace, count]),
  });
  pace.close();
  return { left: standing.list().map(({ namespace }) => namespace), forgotten };
}

describe('a sweep over the namespaces that have standing', () => {
  it('forgets what a namespace has that is gone, under all names', async () => {
    expect(await sweep((namespace) => namespace !== 'team-a')).toEqual({
      left: ['team-b', 'team-b'],
      forgotten: [['team-a', 2]],
    });
  });

  it('leaves what is there, and what this agent may not look at', async () => {
    const { left, forgotten } = await sweep((namespace) => namespace === 'team-a' || 'unknown');
    expect([left.length, forgotten]).toEqual([4, []]);
  });
});
