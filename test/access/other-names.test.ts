import { describe, expect, it } from 'vitest';
import { namesOfContent } from '../../agent/access/names.ts';

const digest = (n: number): string => `reg.example/app@sha256:${String(n).repeat(64)}`;

function pullsOf(listed: { repoTags: string[]; repoDigests: string[] }): readonly (readonly string[])[] {
  const names = namesOfContent('reg.example/edited:1', listed);
  return names.kind === 'others' ? names.names.map(({ pulls }) => pulls) : [];
}

describe('content that the spec does not name', () => {
  it('is verified by its digests, of which at most five are tried', () => {
    const repoDigests = [1, 2, 3, 4, 5, 6].map(digest);
    expect(pullsOf({ repoTags: ['reg.example/app:1'], repoDigests })).toEqual([repoDigests.slice(0, 5)]);
  });

  it('is verified by one tag where no digest is known', () => {
    const repoTags = ['reg.example/app:1', 'reg.example/app:2'];
    expect(pullsOf({ repoTags, repoDigests: [] })).toEqual([['reg.example/app:1']]);
  });
});
