import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { allowed, denied } from '../../../agent/access/verdict.ts';
import { RuntimeError } from '../../../agent/errors.ts';
import { appContainer, CONTENT, IMAGE, imageOf, OTHER_CONTENT, vetoScene, webPod } from './scene.ts';

const { namespace, name, uid } = webPod;
const request = {
  id: 'container-of-web',
  podSandboxId: 'sandbox-1',
  pod: { namespace, name, uid },
  containerName: 'app',
  image: IMAGE,
};

/** Nothing is to be prepared; long enough for it to have happened. */
const aMoment = () => sleep(30);

describe('a pod that was bound to the node', () => {
  it('is judged before the runtime asks, not urgently, and its container need not be asked about', async () => {
    const { veto, asked, prepared } = vetoScene({
      imageStatus: async () => imageOf(CONTENT, IMAGE, 'mirror.example.com/app:1'),
    });
    veto.prepare(webPod);
    await vi.waitFor(() => expect(prepared).toHaveLength(1));
    expect(asked).toEqual([{ pod: webPod, container: appContainer, imageRef: CONTENT, urgent: false }]);
    expect(prepared).toEqual([
      {
        pod: { namespace, name, uid },
        containerName: 'app',
        imageNames: [IMAGE, IMAGE, 'mirror.example.com/app:1'],
        areNamesKept: false,
        forMs: 10_000,
      },
    ]);
  });

  it('need not even be looked at while its image`s name is sure to mean what was judged', async () => {
    const kept = (id: string) => vetoScene({ isKept: (name, image) => name === IMAGE && image.id === id });
    for (const [id, areNamesKept] of [
      [CONTENT, true],
      [OTHER_CONTENT, false],
    ] as const) {
      const { veto, prepared } = kept(id);
      veto.prepare(webPod);
      await vi.waitFor(() => expect(prepared).toMatchObject([{ areNamesKept }]));
    }
  });

  it('is known by ten names at most, its own first', async () => {
    const tags = Array.from({ length: 300 }, (_, n) => `reg.example.com/team-a/app:${n}`);
    const { veto, prepared } = vetoScene({ imageStatus: async () => imageOf(CONTENT, ...tags) });
    veto.prepare(webPod);
    await vi.waitFor(() => expect(prepared).toMatchObject([{ imageNames: [IMAGE, ...tags.slice(0, 9)] }]));
  });

  it('is judged whatever pods of another namespace wait for', async () => {
    const { veto, prepared } = vetoScene({
      judge: ({ pod }) =>
        pod.namespace === 'team-b' ? new Promise(() => undefined) : allowed('recordMatched', ''),
    });
    for (let n = 0; n < 20; n += 1) veto.prepare({ ...webPod, namespace: 'team-b', uid: `uid-${n}` });
    veto.prepare(webPod);
    await vi.waitFor(() => expect(prepared.map(({ pod }) => pod.namespace)).toEqual(['team-a']));
  });

  it('has one verdict reported for the container that was created without a question', async () => {
    const { veto, prepared, reported, whoJudges } = vetoScene();
    veto.prepare(webPod);
    await vi.waitFor(() => expect(prepared).toHaveLength(1));
    veto.createdAsPrepared(request);
    expect(await whoJudges(request.id)).toBe('judgedByVeto');
    await vi.waitFor(() => expect(reported).toHaveLength(1));
    expect(reported).toMatchObject([
      {
        judgement: { container: { id: request.id }, imageRef: CONTENT, verdict: { reason: 'recordMatched' } },
        enforcement: undefined,
      },
    ]);
  });

  it('leaves its container to the guard when that turns out to use other content', async () => {
    const { veto, prepared, whoJudges } = vetoScene();
    veto.prepare(webPod);
    await vi.waitFor(() => expect(prepared).toHaveLength(1));
    veto.createdAsPrepared(request);
    expect(await whoJudges(request.id, OTHER_CONTENT)).toBe('guardJudges');
  });

  it('leaves its container to the guard when the guard saw it first, and reports nothing more', async () => {
    const { veto, prepared, reported, whoJudges } = vetoScene();
    veto.prepare(webPod);
    await vi.waitFor(() => expect(prepared).toHaveLength(1));
    expect(await whoJudges(request.id)).toBe('guardJudges');
    veto.createdAsPrepared(request);
    veto.flush();
    expect(reported).toEqual([]);
  });

  it('says nothing about a container that nothing was prepared for', async () => {
    const { veto, reported, whoJudges } = vetoScene();
    veto.createdAsPrepared(request);
    veto.flush();
    expect([await whoJudges(request.id), reported]).toEqual(['guardJudges', []]);
  });

  it('has its question answered by what was prepared, once, while the image still means that content', async () => {
    const { veto, create, prepared, asked, whoJudges } = vetoScene();
    veto.prepare(webPod);
    await vi.waitFor(() => expect(prepared).toHaveLength(1));
    const { id, refusal } = await create();
    expect([refusal, await whoJudges(id), asked.length]).toEqual([undefined, 'judgedByVeto', 1]);
    await create();
    expect(asked).toHaveLength(2);
  });

  it('is judged anew when the tag was moved before the container is created', async () => {
    let content = CONTENT;
    const { veto, create, prepared, asked } = vetoScene({
      imageStatus: async () => imageOf(content),
      judge: ({ imageRef }) =>
        imageRef === CONTENT ? allowed('recordMatched', '') : denied('imageMismatch', ''),
    });
    veto.prepare(webPod);
    await vi.waitFor(() => expect(prepared).toHaveLength(1));
    content = OTHER_CONTENT;
    expect((await create()).refusal).toMatch(/imageMismatch/);
    expect(asked.map(({ imageRef }) => imageRef)).toEqual([CONTENT, OTHER_CONTENT]);
  });

  it('is asked about when it may not, or may only for the time being', async () => {
    for (const answer of [
      { verdict: denied('registryRefused', ''), doubt: 'none' as const },
      {
        verdict: allowed('recordMatched', ''),
        doubt: 'standing' as const,
        revision: Promise.resolve(denied('registryRefused', '')),
      },
    ]) {
      const { veto, asked, prepared } = vetoScene({ judge: async () => answer });
      veto.prepare(webPod);
      await vi.waitFor(() => expect(asked).toHaveLength(1));
      await aMoment();
      expect(prepared).toEqual([]);
    }
  });

  it('is not judged ahead where the image is absent, nor while the runtime does not answer', async () => {
    for (const imageStatus of [
      async () => undefined,
      () => Promise.reject(new RuntimeError('unreachable', 'connection refused')),
    ]) {
      const { veto, asked, prepared } = vetoScene({ imageStatus });
      veto.prepare(webPod);
      await aMoment();
      expect([asked, prepared]).toEqual([[], []]);
    }
  });

  it('is not judged ahead with Always, which pulls first; with Never it is, and nothing is asked of a registry', async () => {
    const withPolicy = (imagePullPolicy: 'Always' | 'Never') => ({
      ...webPod,
      containers: [{ ...appContainer, imagePullPolicy }],
    });
    const { veto, asked, prepared } = vetoScene();
    veto.prepare(withPolicy('Always'));
    veto.prepare(withPolicy('Never'));
    await vi.waitFor(() => expect(prepared).toHaveLength(1));
    expect(asked.map(({ container }) => container.imagePullPolicy)).toEqual(['Never']);
  });

  it('has the images of its volumes judged ahead as well, and is asked about for their content', async () => {
    const volume = {
      name: 'model',
      image: 'reg.example.com/model:1',
      imagePullPolicy: 'IfNotPresent' as const,
    };
    const { veto, asked, prepared } = vetoScene({ imageStatus: async () => imageOf(CONTENT) });
    veto.prepare({ ...webPod, containers: [{ ...appContainer, imageVolumes: [volume] }] });
    await vi.waitFor(() => expect(asked.map(({ container }) => container.name)).toEqual(['app', 'model']));
    await aMoment();
    expect(prepared).toEqual([]);
  });

  it('is judged ahead two images at a time, so that a hundred pods at once are no storm', async () => {
    let now = 0;
    let most = 0;
    const { veto, asked } = vetoScene({
      async judge() {
        now += 1;
        most = Math.max(most, now);
        await sleep(1);
        now -= 1;
        return allowed('recordMatched', '');
      },
    });
    for (let n = 0; n < 100; n += 1) veto.prepare({ ...webPod, uid: `uid-${n}` });
    await vi.waitFor(() => expect(asked).toHaveLength(100), 5_000);
    expect(most).toBe(2);
  });

  it('is judged ahead however many namespaces have pods that wait for what does not come', async () => {
    vi.useFakeTimers();
    try {
      const { veto, asked } = vetoScene({
        judge: ({ pod }) =>
          pod.namespace === 'team-a' ? allowed('recordMatched', '') : new Promise(() => undefined),
      });
      for (let n = 0; n < 100; n += 1) veto.prepare({ ...webPod, namespace: `slow-${n}`, uid: `uid-${n}` });
      veto.prepare(webPod);
      await vi.advanceTimersByTimeAsync(0);
      expect(asked).toHaveLength(8);
      await vi.advanceTimersByTimeAsync(1_000 * Math.ceil(100 / 8));
      expect(asked.map(({ pod }) => pod.namespace)).toContain('team-a');
    } finally {
      vi.useRealTimers();
    }
  });

  it('may fail to be judged ahead: a mistake there ends nothing, and the question is asked', async () => {
    const { veto, create, prepared } = vetoScene({
      judge: vi
        .fn()
        .mockRejectedValueOnce(new TypeError('a mistake'))
        .mockResolvedValue(allowed('recordMatched', '')),
    });
    veto.prepare(webPod);
    await aMoment();
    expect(prepared).toEqual([]);
    expect((await create()).refusal).toBeUndefined();
  });
});
