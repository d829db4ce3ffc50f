import { describe, expect, it } from 'vitest';
import { namesOfContent } from '../../agent/access/names.ts';

const digest = (n: number): string => `sha256:${String(n).repeat(64)}`;

describe('under which names content may be verified', () => {
  it('is its digest in the repository that the spec names', () => {
    const listed = {
      repoTags: ['reg.example.com/team-a/app:1'],
      repoDigests: [`reg.example.com/copy@${digest(1)}`, `reg.example.com/team-a/app@${digest(1)}`],
    };
    expect(namesOfContent('reg.example.com/team-a/app:1', listed)).toEqual({
      kind: 'spec',
      name: {
        image: 'reg.example.com/team-a/app:1',
        repository: 'reg.example.com/team-a/app',
        digests: [digest(1)],
        tag: '1',
      },
    });
  });

  it('matches short names with the full ones that runtimes list', () => {
    const listed = { repoTags: [], repoDigests: [`docker.io/library/busybox@${digest(1)}`] };
    expect(namesOfContent('busybox', listed)).toMatchObject({
      kind: 'spec',
      name: { image: 'busybox', repository: 'docker.io/library/busybox', tag: 'latest' },
    });
  });

  it('tries the digest that the spec names first, and none of another repository', () => {
    const listed = {
      repoTags: ['reg.example.com/app:1'],
      repoDigests: [1, 2, 3].map((n) => `reg.example.com/app@${digest(n)}`),
    };
    expect(namesOfContent(`reg.example.com/app@${digest(2)}`, listed)).toMatchObject({
      name: {
        digests: [2, 1, 3].map(digest),
        tag: '1',
      },
    });
  });

  it('is the tag of the spec where the runtime lists the repository without a digest: only the registry is asked', () => {
    const listed = { repoTags: ['reg.example.com/app:1'], repoDigests: [] };
    expect(namesOfContent('reg.example.com/app:2', listed)).toMatchObject({
      kind: 'spec',
      name: { digests: [], tag: '2' },
    });
  });

  it('is any listed name when the spec names another repository, or the image by its id', () => {
    const listed = {
      repoTags: ['reg.example.com/team-a/app:1'],
      repoDigests: [`reg.example.com/team-a/app@${digest(1)}`, `reg.example.com/copy@${digest(1)}`],
    };
    const others = {
      kind: 'others',
      names: [
        {
          image: 'reg.example.com/team-a/app:1',
          repository: 'reg.example.com/team-a/app',
          digests: [digest(1)],
          tag: '1',
        },
        {
          image: `reg.example.com/copy@${digest(1)}`,
          repository: 'reg.example.com/copy',
          digests: [digest(1)],
          tag: undefined,
        },
      ],
    };
    expect(namesOfContent('reg.example.com/edited:1', listed)).toEqual(others);
    expect(namesOfContent(digest(7), listed)).toEqual(others);
    expect(namesOfContent('7'.repeat(64), listed)).toEqual(others);
    expect(namesOfContent('777777777777', listed)).toEqual(others);
  });

  it('is nothing for content without a name', () => {
    expect(namesOfContent('reg.example.com/app:1', { repoTags: [], repoDigests: [] })).toEqual({
      kind: 'others',
      names: [],
    });
    expect(
      namesOfContent('reg.example.com/app:1', {
        repoTags: ['<none>:<none>'],
        repoDigests: ['<none>@<none>'],
      }),
    ).toEqual({
      kind: 'others',
      names: [],
    });
  });

  it('says so of a name that no parser accepts', () => {
    expect(namesOfContent('UPPER/x:::', { repoTags: [], repoDigests: [] })).toMatchObject({
      kind: 'invalid',
    });
  });

  it('never asks a registry about more than a handful of digests and names', () => {
    const many = Array.from({ length: 50 }, (_, n) => `sha256:${n.toString(16).padStart(64, '0')}`);
    const oneRepository = { repoTags: [], repoDigests: many.map((d) => `reg.example.com/app@${d}`) };
    const manyRepositories = {
      repoTags: [],
      repoDigests: many.map((d, n) => `reg.example.com/app${n}@${d}`),
    };
    const spec = namesOfContent('reg.example.com/app:1', oneRepository);
    const others = namesOfContent('reg.example.com/other:1', manyRepositories);
    expect(spec.kind === 'spec' && spec.name.digests.length).toBe(5);
    expect(others.kind === 'others' && others.names.length).toBe(10);
  });

  it('are digests and one tag for content that the spec does not name', () => {
    const listed = { repoTags: ['reg.example.com/app:1', 'reg.example.com/app:2'], repoDigests: [] };
    expect(namesOfContent('reg.example.com/edited:1', listed)).toMatchObject({
      names: [{ image: 'reg.example.com/app:1', digests: [], tag: '1' }],
    });
    const repoDigests = [1, 2, 3, 4, 5, 6].map((n) => `reg.example.com/app@${digest(n)}`);
    expect(namesOfContent('reg.example.com/edited:1', { repoTags: [], repoDigests })).toMatchObject({
      names: [{ digests: [1, 2, 3, 4, 5].map(digest) }],
    });
  });
});
