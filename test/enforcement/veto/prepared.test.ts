import { describe, expect, it } from 'vitest';
import { createPreparedContainers } from '../../../agent/enforcement/veto/prepared.ts';

const pod = { namespace: 'team-a', name: 'web', uid: 'uid-1' };
const app = { pod, containerName: 'app', image: 'reg.example.com/app:1' };
const prepared = {
  pod,
  containerName: 'app',
  imageNames: ['reg.example.com/app:1', 'mirror.example.com/app:1'],
  areNamesKept: false,
  forMs: 10_000,
};

function containers() {
  const clock = { now: 5_000 };
  return { ...createPreparedContainers(() => clock.now), clock };
}

describe('containers that were judged ahead', () => {
  it('may be created once, and asked about from then on', () => {
    const { add, take } = containers();
    expect(take(app)).toBeUndefined();
    add(prepared);
    expect([take(app), take(app)]).toEqual(['toBeCompared', undefined]);
  });

  it('may be created as judged for as long as their images` names are sure to mean what was judged', () => {
    const { add, take, namesChanged } = containers();
    const kept = { ...prepared, areNamesKept: true };
    add(kept);
    expect(take(app)).toBe('asJudged');
    add(kept);
    namesChanged();
    expect(take(app)).toBe('toBeCompared');
    add(kept);
    expect([take({ ...app, image: 'reg.example.com/other:1' }), take(app)]).toEqual([undefined, undefined]);
  });

  it('may be created under every name of the content that was judged, and under no other', () => {
    const { add, take } = containers();
    add(prepared);
    expect(take({ ...app, image: 'mirror.example.com/app:1' })).toBe('toBeCompared');
    for (const image of ['reg.example.com/other:1', '']) {
      add(prepared);
      expect(take({ ...app, image })).toBeUndefined();
      // Not even under the right name afterwards: something has changed.
      expect(take(app)).toBeUndefined();
    }
  });

  it('are those of just this pod and name', () => {
    const { add, take } = containers();
    add(prepared);
    const others = [
      { ...app, containerName: 'sidecar' },
      { ...app, pod: { ...pod, uid: 'uid-2' } },
      { ...app, pod: { ...pod, name: 'other' } },
      { ...app, pod: { ...pod, namespace: 'team-b' } },
    ];
    expect(others.map(take)).toEqual([undefined, undefined, undefined, undefined]);
    expect(take(app)).toBe('toBeCompared');
  });

  it('are asked about when the verdict is too old', () => {
    const { add, take, clock } = containers();
    add(prepared);
    clock.now += 9_999;
    expect(take(app)).toBe('toBeCompared');
    add(prepared);
    clock.now += 10_000;
    expect(take(app)).toBeUndefined();
  });

  it('are as the last word on them says', () => {
    const { add, take } = containers();
    add(prepared);
    add({ ...prepared, imageNames: ['reg.example.com/app:2'] });
    expect(take(app)).toBeUndefined();
  });

  it('are kept in bounds: the oldest are asked about', () => {
    const { add, take } = containers();
    const nth = (n: number) => ({ ...pod, uid: `uid-${n}` });
    for (let n = 0; n < 2_100; n += 1) add({ ...prepared, pod: nth(n) });
    const kept = Array.from({ length: 2_100 }, (_, n) => take({ ...app, pod: nth(n) }));
    expect(kept.indexOf('toBeCompared')).toBe(100);
    expect(kept.filter(Boolean)).toHaveLength(2_000);
  });
});
