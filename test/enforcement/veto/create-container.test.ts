import { describe, expect, it, vi } from 'vitest';
import { allowed, denied, unverifiable, type Verdict } from '../../../agent/access/verdict.ts';
import { PodSourceError, RuntimeError } from '../../../agent/errors.ts';
import { appContainer, CONTENT, IMAGE, imageOf, OTHER_CONTENT, vetoScene, webPod } from './scene.ts';

const refused = denied('registryRefused', 'team-a/pull-secret was refused');
const down = unverifiable('registryUnavailable', 'connection refused');

describe('a container that is about to be created', () => {
  it('is allowed when its pod may use the content that its image means now', async () => {
    const { create, asked, whoJudges, reported, veto } = vetoScene();
    const { id, refusal } = await create();
    expect(refusal).toBeUndefined();
    expect(asked).toEqual([{ pod: webPod, container: appContainer, imageRef: CONTENT, urgent: true }]);
    expect(await whoJudges(id)).toBe('judgedByVeto');
    veto.flush();
    expect(reported).toMatchObject([
      {
        judgement: {
          container: {
            id,
            podSandboxId: 'sandbox-1',
            containerName: 'app',
            imageRef: CONTENT,
            state: 'created',
          },
          preexisting: false,
          spec: { image: IMAGE },
          kind: 'container',
          imageRef: CONTENT,
          verdict: { reason: 'recordMatched' },
        },
        enforcement: undefined,
      },
    ]);
  });

  it('is reported by the guard alone when it turns out to use other content', async () => {
    const { create, whoJudges, reported, veto } = vetoScene();
    const { id } = await create();
    expect(await whoJudges(id, OTHER_CONTENT)).toBe('guardJudges');
    veto.flush();
    expect(reported).toEqual([]);
  });

  it('is refused when it may not, in the tenant`s words, and reported as refused', async () => {
    const { create, reported, veto, whoJudges } = vetoScene({ judge: () => refused });
    const { id, refusal } = await create();
    expect(refusal).toBe(
      `ContainerRefused: pullwarden: image "${IMAGE}": the registry refused the image pull secrets of this pod (registryRefused)`,
    );
    veto.flush();
    expect(reported).toMatchObject([{ enforcement: { action: 'veto', outcome: 'refused' } }]);
    expect(await whoJudges(id)).toBe('guardJudges');
  });

  it('is allowed without a look in audit mode, in an exempt namespace and in the agent`s own pod', async () => {
    const audit = vetoScene({ judge: () => refused, settings: { mode: 'audit' } });
    expect((await audit.create()).refusal).toBeUndefined();
    const { create, asked } = vetoScene({ judge: () => refused });
    expect((await create({ pod: { ...webPod, namespace: 'kube-system' } })).refusal).toBeUndefined();
    expect((await create({ pod: { ...webPod, uid: 'uid-agent' } })).refusal).toBeUndefined();
    expect([...asked, ...audit.asked]).toEqual([]);
  });

  it('is judged on the content, whatever name the runtime has for it', async () => {
    const { create, asked } = vetoScene({ imageStatus: async () => imageOf(CONTENT) });
    expect((await create({ image: 'mirror.example.com/app:9' })).refusal).toBeUndefined();
    expect((await create({ image: '' })).refusal).toBeUndefined();
    expect(asked.map(({ imageRef }) => imageRef)).toEqual([CONTENT, CONTENT]);
  });

  it('is judged also on what the runtime names when that is other content: the pod was changed since', async () => {
    const names = new Map([
      [IMAGE, CONTENT],
      ['reg.example.com/private:1', OTHER_CONTENT],
    ]);
    const { create, asked, whoJudges } = vetoScene({
      imageStatus: async (name) => (names.has(name) ? imageOf(names.get(name) ?? '') : undefined),
      judge: ({ imageRef }) =>
        imageRef === CONTENT ? allowed('recordMatched', '') : denied('imageMismatch', ''),
    });
    expect((await create({ image: 'reg.example.com/private:1' })).refusal).toMatch(/imageMismatch/);
    expect(asked.map(({ imageRef, container }) => [imageRef, container.image])).toEqual([
      [CONTENT, IMAGE],
      [OTHER_CONTENT, IMAGE],
    ]);
    // A name that the runtime itself cannot resolve says nothing.
    const { id, refusal } = await create({ image: 'reg.example.com/gone:1' });
    expect(refusal).toBeUndefined();
    expect(await whoJudges(id)).toBe('judgedByVeto');
  });

  it('is left to the guard to follow when it is let run only for the time being', async () => {
    const { create, whoJudges, reported, veto } = vetoScene({
      judge: async () => ({
        verdict: allowed('recordMatched', 'being verified'),
        doubt: 'standing',
        revision: Promise.resolve(refused),
      }),
    });
    const { id, refusal } = await create();
    expect(refusal).toBeUndefined();
    veto.flush();
    expect([await whoJudges(id), reported]).toEqual(['guardJudges', []]);
  });

  it('is judged with the image volumes that it mounts, and by the guard again where the mounts are not known', async () => {
    const volume = {
      name: 'model',
      image: 'reg.example.com/model:1',
      imagePullPolicy: 'IfNotPresent' as const,
    };
    const scene = (verdict: Verdict) =>
      vetoScene({
        getPod: async () => ({ ...webPod, containers: [{ ...appContainer, imageVolumes: [volume] }] }),
        imageStatus: async (name) => imageOf(name === IMAGE ? CONTENT : OTHER_CONTENT),
        judge: ({ imageRef }) => (imageRef === CONTENT ? allowed('recordMatched', '') : verdict),
      });
    expect((await scene(refused).create()).refusal).toMatch(
      /image "reg.example.com\/model:1".*registryRefused/,
    );
    const { create, whoJudges } = scene(allowed('repullSucceeded', ''));
    const { id, refusal } = await create();
    expect(refusal).toBeUndefined();
    expect(await whoJudges(id)).toBe('guardJudges');
  });
});

describe('who gets the benefit of the doubt', () => {
  it('is nobody by default: what could not be verified is refused', async () => {
    for (const doubt of ['standing', 'broughtByRegistry', 'none'] as const) {
      expect((await vetoScene({ judge: () => down, doubt }).create()).refusal).toMatch(/registryUnavailable/);
    }
  });

  it('is, with --on-unverifiable allow, who has standing, or names the registry that brought the content', async () => {
    const lenient = { settings: { onUnverifiable: 'allow' as const }, judge: () => down };
    for (const doubt of ['standing', 'broughtByRegistry'] as const) {
      const { create, whoJudges } = vetoScene({ ...lenient, doubt });
      const { id, refusal } = await create();
      // The guard follows it, and reports.
      expect([refusal, await whoJudges(id)]).toEqual([undefined, 'guardJudges']);
    }
    expect((await vetoScene({ ...lenient, doubt: 'none' }).create()).refusal).toMatch(/registryUnavailable/);
    const denying = vetoScene({ ...lenient, judge: () => refused, doubt: 'standing' });
    expect((await denying.create()).refusal).toMatch(/registryRefused/);
  });

  it('is, while the fuse is open, who has standing, and nobody else', async () => {
    const verdicts = new Map<string, 'standing' | 'none'>();
    const { create, whoJudges, reported, veto, fuse } = vetoScene({
      judge: async ({ pod }) => ({ verdict: refused, doubt: verdicts.get(pod.uid) ?? 'standing' }),
      fuseCount: 2,
    });
    const ask = (uid: string) => create({ pod: { ...webPod, uid } });
    const refusals = [];
    for (const uid of ['uid-1', 'uid-2', 'uid-3', 'uid-4']) refusals.push(await ask(uid));
    expect(refusals.map(({ refusal }) => refusal !== undefined)).toEqual([true, true, false, false]);
    expect(fuse.isOpen()).toBe(true);
    verdicts.set('uid-thief', 'none');
    expect((await ask('uid-thief')).refusal).toMatch(/registryRefused/);
    veto.flush();
    expect(reported).toHaveLength(3);
    const judges = await Promise.all(refusals.map(({ id }) => whoJudges(id)));
    expect(new Set(judges)).toEqual(new Set(['guardJudges']));
  });

  it('counts once for the fuse, however often kubelet tries', async () => {
    const { create, fuse } = vetoScene({ judge: () => refused, fuseCount: 2, doubt: 'standing' });
    for (let tries = 0; tries < 10; tries += 1) expect((await create()).refusal).toBeDefined();
    expect(fuse.isOpen()).toBe(false);
  });
});

describe('what cannot be found out about a container', () => {
  it('refuses it while the API server, the runtime or the image is away, or by a mistake of the agent`s', async () => {
    const broken = async (): Promise<never> => {
      throw new TypeError('a mistake');
    };
    const away = new PodSourceError('apiServerUnavailable', 'connection refused');
    const cases = [
      [{ getPod: () => Promise.reject(away) }, 'apiServerUnavailable'],
      [{ imageStatus: () => Promise.reject(new RuntimeError('deadline', '')) }, 'runtimeUnavailable'],
      [{ imageStatus: async () => undefined }, 'imageNotPresent'],
      [{ getPod: broken }, 'internalError'],
      [{ imageStatus: broken }, 'internalError'],
      [{ judge: broken }, 'internalError'],
    ] as const;
    for (const [options, reason] of cases) {
      expect((await vetoScene(options).create()).refusal).toMatch(new RegExp(`\\(${reason}\\)$`));
    }
  });

  it('is excused by standing with --on-unverifiable allow, also while the pods cannot be read', async () => {
    const away = new PodSourceError('apiServerUnavailable', 'connection refused');
    const create = (doubt: 'standing' | 'none') =>
      vetoScene({
        getPod: () => Promise.reject(away),
        settings: { onUnverifiable: 'allow' },
        doubt,
      }).create();
    expect((await create('standing')).refusal).toBeUndefined();
    expect((await create('none')).refusal).toMatch(/apiServerUnavailable/);
  });

  it('allows a container of no known pod, or refuses it with --unmanaged deny', async () => {
    const unknown = { getPod: async () => undefined };
    expect((await vetoScene(unknown).create()).refusal).toBeUndefined();
    const strict = vetoScene({ ...unknown, settings: { unmanaged: 'deny' } });
    expect((await strict.create()).refusal).toMatch(
      /the pod of this container is not known \(unmanagedPod\)/,
    );
    const nameless = { pod: { namespace: '', name: '', uid: '' }, containerName: '' };
    expect((await strict.create(nameless)).refusal).toMatch(/unmanagedPod/);
  });

  it('judges a static pod that nobody knows as one that has nothing of its own', async () => {
    const scene = (verdict: Verdict) =>
      vetoScene({ getPod: async () => undefined, configSource: 'file', judge: () => verdict });
    const { create, asked } = scene(refused);
    expect((await create()).refusal).toMatch(/registryRefused/);
    expect(asked[0]).toMatchObject({
      pod: { imagePullSecrets: [], serviceAccountName: '' },
      container: { image: IMAGE },
      imageRef: CONTENT,
    });
    expect((await scene(allowed('repullSucceeded', '')).create()).refusal).toBeUndefined();
  });

  it('refuses a container whose pod was deleted while it starts, whatever --unmanaged says', async () => {
    const { create } = vetoScene({ getPod: async () => undefined, configSource: 'api' });
    expect((await create()).refusal).toMatch(/\(podUnknown\)$/);
  });

  it('is looked for in vain once a minute, because looking takes longer than the runtime waits', async () => {
    let looked = 0;
    let known = false;
    const { create, veto } = vetoScene({
      configSource: 'api',
      async getPod() {
        looked += 1;
        return known ? webPod : undefined;
      },
    });
    await create();
    expect((await create({ patienceMs: 101 })).refusal).toMatch(/podUnknown/);
    expect(looked).toBe(1);
    await create({ pod: { ...webPod, uid: 'uid-2' } });
    expect(looked).toBe(2);
    // Unless the pod has become known since.
    known = true;
    veto.prepare(webPod);
    expect((await create()).refusal).toBeUndefined();
  });
});

describe('an image that is named by its id', () => {
  const absent = (image: string) =>
    `ContainerRefused: pullwarden: Container image "${image}" is not present with pull policy of Never`;
  const named = (image: string, present: boolean, judge: () => Promise<Verdict>) =>
    vetoScene({
      getPod: async () => ({ ...webPod, containers: [{ ...appContainer, image }] }),
      imageStatus: async () => (present ? imageOf(CONTENT) : undefined),
      judge,
    });

  it('is refused in the same words, and no sooner or later, whether it is there or not', async () => {
    const cases = [
      named('sha256:aaaa', true, async () => refused),
      named('sha256:aaaa', true, () => new Promise(() => undefined)),
      named('sha256:aaaa', true, async () => down),
      named('sha256:aaaa', false, async () => refused),
    ];
    const took: number[] = [];
    for (const { create } of cases) {
      const began = performance.now();
      expect((await create({ image: 'sha256:aaaa' })).refusal).toBe(absent('sha256:aaaa'));
      took.push(performance.now() - began);
    }
    // A timer of 50 ms may end up to one earlier; a refusal that needs no registry would be there after 5.
    for (const ms of took) expect(ms).toBeGreaterThanOrEqual(49);
  });

  it('is allowed to a pod that has a right to it', async () => {
    const { create, whoJudges } = named('sha256:aaaa', true, async () => allowed('recordMatched', ''));
    const { id, refusal } = await create({ image: 'sha256:aaaa' });
    expect([refusal, await whoJudges(id)]).toEqual([undefined, 'judgedByVeto']);
  });

  it('is verified in the background, so that a right that takes long to prove counts at the next try', async () => {
    const { promise, resolve } = Promise.withResolvers<Verdict>();
    const { create } = named(CONTENT, true, () => promise);
    expect((await create({ image: CONTENT })).refusal).toBe(absent(CONTENT));
    resolve(allowed('repullSucceeded', ''));
    expect((await create({ image: CONTENT })).refusal).toBeUndefined();
  });
});

describe('a refusal', () => {
  it('is reported once, and counted, however often kubelet tries: no tenant fills the audit trail by it', async () => {
    const { create, reported, refusedAgain, veto } = vetoScene({ judge: () => refused });
    for (let tries = 0; tries < 5; tries += 1) expect((await create()).refusal).toMatch(/registryRefused/);
    await create({ pod: { ...webPod, uid: 'uid-2' } });
    veto.flush();
    expect([reported.length, refusedAgain()]).toEqual([2, 4]);
  });

  it('is reported after the runtime has gone on, or when the agent ends, and once', async () => {
    const { create, reported, veto } = vetoScene({ judge: () => refused });
    await create();
    expect(reported).toHaveLength(0);
    await vi.waitFor(() => expect(reported).toHaveLength(1));
    await create({ pod: { ...webPod, uid: 'uid-2' } });
    veto.flush();
    veto.flush();
    expect(reported.map(({ enforcement }) => enforcement?.outcome)).toEqual(['refused', 'refused']);
  });

  it('is reported again for another reason, and after the container was allowed', async () => {
    const verdicts: Verdict[] = [refused, down, allowed('repullSucceeded', ''), down];
    const { create, reported, refusedAgain, veto } = vetoScene({ judge: () => verdicts.shift() ?? refused });
    for (let tries = 0; tries < 4; tries += 1) await create();
    veto.flush();
    expect(reported.map(({ judgement }) => judgement.verdict.reason)).toEqual([
      'registryRefused',
      'registryUnavailable',
      'repullSucceeded',
      'registryUnavailable',
    ]);
    expect(refusedAgain()).toBe(0);
  });
});
