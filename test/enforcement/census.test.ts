import { describe, expect, it } from 'vitest';
import { createCensus } from '../../agent/enforcement/census.ts';
import type { RuntimeContainer } from '../../agent/runtime/runtime.ts';

function containerOf(id: string, namespace: string, imageRef: string): RuntimeContainer {
  return {
    ...{ id, podSandboxId: 's', state: 'running', createdAt: 1n, imageRef, containerName: 'app' },
    ...{ pod: { namespace, name: 'p', uid: id }, attempt: 0 },
  };
}

describe('the census of a node', () => {
  it('counts the containers with standing that exist, each once', () => {
    const { seen, gone, withStanding } = createCensus(({ namespace, imageRef }) =>
      namespace === 'team-a' && imageRef === 'sha256:granted' ? 'standing' : 'none',
    );
    seen(containerOf('c1', 'team-a', 'sha256:granted'));
    seen(containerOf('c1', 'team-a', 'sha256:granted'));
    seen(containerOf('c2', 'team-a', 'sha256:granted'));
    seen(containerOf('c3', 'team-a', 'sha256:stolen'));
    seen(containerOf('c4', 'team-b', 'sha256:granted'));
    expect(withStanding()).toBe(2);
    gone('c1');
    gone('c4');
    expect(withStanding()).toBe(1);
  });

  it('follows what is granted meanwhile', () => {
    let doubt: 'standing' | 'none' = 'none';
    const { seen, withStanding } = createCensus(() => doubt);
    seen(containerOf('c1', 'team-a', 'sha256:app'));
    expect(withStanding()).toBe(0);
    doubt = 'standing';
    expect(withStanding()).toBe(1);
  });
});
