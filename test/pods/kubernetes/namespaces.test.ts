import { afterEach, describe, expect, it } from 'vitest';
import { NODE_USER, openScene, type Scene } from './scene.ts';

let scene: Scene;

afterEach(() => scene.close());

const AGENT = 'system:serviceaccount:pullwarden:agent';

/** What the source says of team-a, which is there, and team-b, which is not. */
async function isThere(user: string): Promise<readonly (boolean | 'unknown')[]> {
  scene = await openScene({
    user,
    start: false,
    given: (server) => {
      server.putNamespace('team-a');
      server.grant(AGENT, { verbs: ['get'], resources: ['namespaces'] });
    },
  });
  const { namespaces } = scene.source;
  return [await namespaces.isThere('team-a'), await namespaces.isThere('team-b')];
}

describe('a namespace', () => {
  it('is there or not, for an agent that may look', async () => {
    expect(await isThere(AGENT)).toEqual([true, false]);
  });

  it('is unknown to a node, which may not look', async () => {
    expect(await isThere(NODE_USER)).toEqual(['unknown', 'unknown']);
  });

  it('is unknown while the API server is away', async () => {
    await isThere(AGENT);
    await scene.server.stop();
    expect(await scene.source.namespaces.isThere('team-b')).toBe('unknown');
  });
});
