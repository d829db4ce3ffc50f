import { describe, expect, it } from 'vitest';
import { type Contents, createHandover } from '../../agent/enforcement/handover.ts';
import { RuntimeError } from '../../agent/errors.ts';
import type { MountedImage } from '../../agent/runtime/runtime.ts';

const OWN = `sha256:${'a'.repeat(64)}`;
const MODEL = `sha256:${'b'.repeat(64)}`;
const OTHER = `sha256:${'c'.repeat(64)}`;
const model = { image: 'reg.example.com/model:1', imageRef: MODEL };
const plain: Contents = { own: OWN, volumes: [] };
const withModel: Contents = { own: OWN, volumes: [model] };

const mounts =
  (...mounted: readonly MountedImage[]) =>
  async () =>
    mounted;
const neverAsked = async (): Promise<never> => {
  throw new TypeError('the runtime was asked what is mounted');
};

describe('a container that the veto judged before it existed', () => {
  it('is not judged by the guard when it uses just the content that was judged', async () => {
    const handover = createHandover();
    expect(handover.judgedByVeto('c1', plain)).toBe(true);
    const claim = () => handover.claimForGuard({ id: 'c1', imageRef: OWN, mountedImages: neverAsked });
    expect([await claim(), await claim()]).toEqual(['judgedByVeto', 'judgedByVeto']);
  });

  it('is recognized whichever way the runtime writes image ids: containerd with the algorithm, CRI-O without', async () => {
    const handover = createHandover();
    handover.judgedByVeto('c1', plain);
    const imageRef = OWN.slice('sha256:'.length);
    expect(await handover.claimForGuard({ id: 'c1', imageRef, mountedImages: neverAsked })).toBe(
      'judgedByVeto',
    );
  });

  it('is judged by the guard when its tag was moved, so that it uses other content', async () => {
    const handover = createHandover();
    handover.judgedByVeto('c1', plain);
    expect(handover.isWithGuard('c1')).toBe(false);
    expect(await handover.claimForGuard({ id: 'c1', imageRef: OTHER, mountedImages: neverAsked })).toBe(
      'guardJudges',
    );
    expect(handover.isWithGuard('c1')).toBe(true);
  });

  it('is judged by the guard when the content was not known, which is equal to no other unknown one', async () => {
    const handover = createHandover();
    handover.judgedByVeto('c1', { own: '', volumes: [] });
    expect(await handover.claimForGuard({ id: 'c1', imageRef: '', mountedImages: neverAsked })).toBe(
      'guardJudges',
    );
  });
});

describe('a container with image volumes that the veto judged', () => {
  async function claimWith(judged: Contents, mountedImages: () => Promise<readonly MountedImage[]>) {
    const handover = createHandover();
    handover.judgedByVeto('c1', judged);
    return handover.claimForGuard({ id: 'c1', imageRef: OWN, mountedImages });
  }

  it('is not judged again when it mounts just what was judged', async () => {
    expect(await claimWith(withModel, mounts(model))).toBe('judgedByVeto');
    // Twice in one pod, at two paths.
    expect(await claimWith(withModel, mounts(model, model))).toBe('judgedByVeto');
  });

  it('is judged by the guard when the tag of a volume was moved before it was mounted', async () => {
    expect(await claimWith(withModel, mounts({ ...model, imageRef: OTHER }))).toBe('guardJudges');
    expect(await claimWith(withModel, mounts(model, { ...model, imageRef: OTHER }))).toBe('guardJudges');
  });

  it('is judged by the guard when it mounts an image that was not judged', async () => {
    expect(await claimWith(withModel, mounts(model, { image: 'x/private:1', imageRef: MODEL }))).toBe(
      'guardJudges',
    );
  });

  it('is judged by the guard when the runtime does not tell what is mounted, or under which name', async () => {
    expect(await claimWith(withModel, mounts())).toBe('guardJudges');
    expect(await claimWith(withModel, mounts({ image: '', imageRef: MODEL }))).toBe('guardJudges');
    const away = async (): Promise<never> => {
      throw new RuntimeError('unreachable', 'connection refused');
    };
    expect(await claimWith(withModel, away)).toBe('guardJudges');
  });
});

describe('who is first', () => {
  it('judges: a container that the guard has seen is not reported by the veto', async () => {
    const handover = createHandover();
    const claim = handover.claimForGuard({ id: 'c1', imageRef: OWN, mountedImages: neverAsked });
    // The claim counts from the call, not from its answer.
    expect(handover.judgedByVeto('c1', plain)).toBe(false);
    expect(await claim).toBe('guardJudges');
    expect(await handover.claimForGuard({ id: 'c1', imageRef: OWN, mountedImages: neverAsked })).toBe(
      'guardJudges',
    );
  });

  it('is remembered for each container by itself, and for the last 10,000 of them', async () => {
    const handover = createHandover();
    for (let n = 0; n <= 10_000; n += 1) handover.judgedByVeto(`c${n}`, plain);
    const claim = (id: string) => handover.claimForGuard({ id, imageRef: OWN, mountedImages: neverAsked });
    expect(await claim('c10000')).toBe('judgedByVeto');
    // Forgotten is not allowed: the guard judges.
    expect(await claim('c0')).toBe('guardJudges');
    expect(await claim('never asked about')).toBe('guardJudges');
  });
});
