import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { AccessRequest } from '../../../agent/access/request.ts';
import { allowed, denied, unverifiable, type Verdict } from '../../../agent/access/verdict.ts';
import { PodSourceError, RuntimeError } from '../../../agent/errors.ts';
import { appContainer, CONTENT, IMAGE, imageOf, OTHER_CONTENT, vetoScene, webPod } from './scene.ts';

const refused = denied('registryRefused', 'team-a/pull-secret was refused');
const down = unverifiable('registryUnavailable', 'connection refused');
const IN_PROGRESS = 'ContainerRefused: pullwarden: verification in progress';

/** A verification that ends when it is told to. */
function heldVerification() {
  const { promise, resolve } = Promise.withResolvers<Verdict>();
  return { judge: async () => ({ verdict: await promise }), finish: resolve };
}

describe('a container that is about to be created', () => {
  it('is let by when its pod may use the content that its image means now', async () => {
    const { create, asked, veto, told } = vetoScene();
    const { id, refusal } = await create();
    expect(refusal).toBeUndefined();
    expect(asked).toEqual([{ pod: webPod, container: appContainer, imageRef: CONTENT, urgent: true }]);
    expect(veto.hasJudged(id, CONTENT)).toBe(true);
    await vi.waitFor(() => expect(told).toHaveLength(1));
    expect(told).toMatchObject([
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

  it('is refused when it may not, in the tenant`s words, and told as refused', async () => {
    const { create, told, veto } = vetoScene({ judge: () => refused });
    const { id, refusal } = await create();
    expect(refusal).toBe(
      `ContainerRefused: pullwarden: image "${IMAGE}": the registry refused the image pull secrets of this pod (registryRefused)`,
    );
    await vi.waitFor(() => expect(told).toHaveLength(1));
    expect(told).toMatchObject([{ enforcement: { action: 'veto', outcome: 'refused' } }]);
    expect(veto.hasJudged(id, CONTENT)).toBe(false);
  });

  it('is refused when that cannot be told, unless --on-unverifiable is allow', async () => {
    expect((await vetoScene({ judge: () => down }).create()).refusal).toMatch(/registryUnavailable/);
    const lenient = vetoScene({ judge: () => down, settings: { onUnverifiable: 'allow' } });
    const { id, refusal } = await lenient.create();
    expect(refusal).toBeUndefined();
    // The guard follows it, and tells.
    expect(lenient.veto.hasJudged(id, CONTENT)).toBe(false);
    const denying = vetoScene({ judge: () => refused, settings: { onUnverifiable: 'allow' } });
    expect((await denying.create()).refusal).toMatch(/registryRefused/);
  });

  it('is let by without a look in audit mode, in an exempt namespace and in the agent`s own pod', async () => {
    const audit = vetoScene({ judge: () => refused, settings: { mode: 'audit' } });
    expect((await audit.create()).refusal).toBeUndefined();
    const { create, asked } = vetoScene({ judge: () => refused });
    expect((await create({ pod: { ...webPod, namespace: 'kube-system' } })).refusal).toBeUndefined();
    expect((await create({ pod: { ...webPod, uid: 'uid-agent' } })).refusal).toBeUndefined();
    expect([...asked, ...audit.asked]).toEqual([]);
  });

  it('is let by once the fuse is open, and left to the guard', async () => {
    const { create, veto, told, fuse } = vetoScene({ judge: () => refused, fuseCount: 2 });
    const refusals = [];
    for (const uid of ['uid-1', 'uid-2', 'uid-3', 'uid-4']) {
      refusals.push(await create({ pod: { ...webPod, uid } }));
    }
    expect(refusals.map(({ refusal }) => refusal !== undefined)).toEqual([true, true, false, false]);
    expect(fuse.isOpen()).toBe(true);
    await vi.waitFor(() => expect(told).toHaveLength(2));
    expect(refusals.map(({ id }) => veto.hasJudged(id, CONTENT))).toEqual([false, false, false, false]);
  });

  it('counts once for the fuse, however often kubelet tries', async () => {
    const { create, fuse } = vetoScene({ judge: () => refused, fuseCount: 2 });
    for (let tries = 0; tries < 10; tries += 1) expect((await create()).refusal).toBeDefined();
    expect(fuse.isOpen()).toBe(false);
  });

  it('is judged on the content, whatever name the runtime has for it', async () => {
    const byOtherName = { image: 'mirror.example.com/app:9' };
    const { create, asked } = vetoScene({ imageStatus: async () => imageOf(CONTENT) });
    expect((await create(byOtherName)).refusal).toBeUndefined();
    expect((await create({ image: '' })).refusal).toBeUndefined();
    expect(asked.map(({ imageRef }) => imageRef)).toEqual([CONTENT, CONTENT]);
  });

  it('is judged also on what the runtime names when that is other content: the pod was changed since', async () => {
    const names = new Map([
      [IMAGE, CONTENT],
      ['reg.example.com/private:1', OTHER_CONTENT],
    ]);
    const { create, asked, veto } = vetoScene({
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
    expect(veto.hasJudged(id, CONTENT)).toBe(true);
  });

  it('is the guard`s when it turns out to use other content than was judged', async () => {
    const { create, veto } = vetoScene();
    const { id } = await create();
    expect(veto.hasJudged(id, OTHER_CONTENT)).toBe(false);
    expect(veto.hasJudged(id, CONTENT)).toBe(true);
    // CRI-O writes ids without the algorithm.
    expect(veto.hasJudged(id, CONTENT.slice('sha256:'.length))).toBe(true);
    expect(veto.hasJudged('never asked about', CONTENT)).toBe(false);
  });

  it('is the guard`s to follow when it is let run only for the time being', async () => {
    const { create, veto, told } = vetoScene({
      judge: async () => ({
        verdict: allowed('recordMatched', 'being verified'),
        revision: Promise.resolve(refused),
      }),
    });
    const { id, refusal } = await create();
    expect(refusal).toBeUndefined();
    await sleep(150);
    expect([veto.hasJudged(id, CONTENT), told]).toEqual([false, []]);
  });

  it('is judged with the image volumes that it mounts', async () => {
    const volume = {
      name: 'model',
      image: 'reg.example.com/model:1',
      imagePullPolicy: 'IfNotPresent' as const,
    };
    const mounting = { ...webPod, containers: [{ ...appContainer, imageVolumes: [volume] }] };
    const { create } = vetoScene({
      getPod: async () => mounting,
      imageStatus: async (name) => imageOf(name === IMAGE ? CONTENT : OTHER_CONTENT),
      judge: ({ imageRef }) => (imageRef === CONTENT ? allowed('recordMatched', '') : refused),
    });
    expect((await create()).refusal).toMatch(/image "reg.example.com\/model:1".*registryRefused/);
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
      const lenient = vetoScene({ ...options, settings: { onUnverifiable: 'allow' } });
      expect((await lenient.create()).refusal).toBeUndefined();
    }
  });

  it('lets a container of no known pod by, or refuses it with --unmanaged deny', async () => {
    const unknown = { getPod: async () => undefined };
    expect((await vetoScene(unknown).create()).refusal).toBeUndefined();
    const strict = vetoScene({ ...unknown, settings: { unmanaged: 'deny' } });
    expect((await strict.create()).refusal).toMatch(
      /the pod of this container is not known \(unmanagedPod\)/,
    );
    const nameless = { pod: { namespace: '', name: '', uid: '' }, containerName: '' };
    expect((await strict.create(nameless)).refusal).toMatch(/unmanagedPod/);
  });

  it('looks for a pod in vain once a minute, because looking takes longer than the runtime waits', async () => {
    let looked = 0;
    const { create } = vetoScene({
      settings: { unmanaged: 'deny' },
      async getPod() {
        looked += 1;
        return undefined;
      },
    });
    await create();
    expect((await create({ patienceMs: 101 })).refusal).toMatch(/unmanagedPod/);
    expect(looked).toBe(1);
    await create({ pod: { ...webPod, uid: 'uid-2' } });
    expect(looked).toBe(2);
  });
});

describe('a verdict that is not there in time', () => {
  it('refuses as in progress, goes on, and is the answer at the next try', async () => {
    const { judge, finish } = heldVerification();
    const { create, asked, inProgress, told } = vetoScene({ judge });
    expect((await create({ patienceMs: 150 })).refusal).toBe(IN_PROGRESS);
    expect([inProgress(), told]).toEqual([1, []]);
    const second = create();
    finish(refused);
    expect((await second).refusal).toMatch(/registryRefused/);
    expect(asked).toHaveLength(1);
    await vi.waitFor(() => expect(told).toHaveLength(1));
  });

  it('is the same one for every question about this container while it is being found', async () => {
    const { judge, finish } = heldVerification();
    const { create, asked } = vetoScene({ judge });
    const both = [create(), create(), create({ containerName: 'app', pod: { ...webPod, uid: 'uid-2' } })];
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    finish(allowed('repullSucceeded', ''));
    expect((await Promise.all(both)).map(({ refusal }) => refusal)).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    // And afterwards it is asked anew.
    await create();
    expect(asked).toHaveLength(3);
  });

  it('lets by with --on-unverifiable allow, and where the fuse is open; the guard goes on with it', async () => {
    const { judge } = heldVerification();
    const lenient = vetoScene({ judge, settings: { onUnverifiable: 'allow' } });
    const { id, refusal } = await lenient.create({ patienceMs: 150 });
    expect([refusal, lenient.inProgress(), lenient.veto.hasJudged(id, CONTENT)]).toEqual([
      undefined,
      0,
      false,
    ]);

    const open = vetoScene({ judge, fuseCount: 0 });
    open.fuse.permits({ namespace: 'team-b', key: 'x' }, 1);
    expect([(await open.create({ patienceMs: 150 })).refusal, open.inProgress()]).toEqual([undefined, 0]);
  });

  it('is not acted on when it comes after somebody else has answered', async () => {
    const { create, told, veto } = vetoScene({ judge: () => refused });
    const { id, refusal } = await create({ patienceMs: -1 });
    await sleep(150);
    expect([refusal, told, veto.hasJudged(id, CONTENT)]).toEqual([undefined, [], false]);
  });

  it('shortens the patience with its namespace alone, so that one registry does not hold up the node', async () => {
    const { judge, finish } = heldVerification();
    const hanging = (request: AccessRequest) =>
      request.pod.uid === 'uid-record' ? allowed('recordMatched', '') : judge();
    const { create } = vetoScene({ judge: hanging });
    const inTeamA = (uid: string) => create({ pod: { ...webPod, uid } });
    expect((await create({ patienceMs: 400 })).refusal).toBe(IN_PROGRESS);
    const began = performance.now();
    for (let n = 0; n < 10; n += 1) expect((await inTeamA(`uid-${n}`)).refusal).toBe(IN_PROGRESS);
    // Ten times 5 s otherwise.
    expect(performance.now() - began).toBeLessThan(5_000);
    // What is on record is answered all the same, ...
    expect((await inTeamA('uid-record')).refusal).toBeUndefined();
    // ... others are waited for as ever, ...
    const other = create({ pod: { ...webPod, uid: 'uid-b', namespace: 'team-b' } });
    expect(await Promise.race([other, sleep(300)])).toBeUndefined();
    // ... and so is the namespace once its verifications are over.
    finish(refused);
    expect((await other).refusal).toMatch(/registryRefused/);
    expect((await create()).refusal).toMatch(/registryRefused/);
  });

  it('keeps its patience where what is late would be let by: there is no next try', async () => {
    const late = heldVerification();
    const soon = heldVerification();
    const { create } = vetoScene({
      settings: { onUnverifiable: 'allow' },
      judge: ({ pod }) => (pod.uid === 'uid-late' ? late.judge() : soon.judge()),
    });
    expect((await create({ pod: { ...webPod, uid: 'uid-late' }, patienceMs: 150 })).refusal).toBeUndefined();
    const second = create();
    await sleep(150);
    soon.finish(refused);
    expect((await second).refusal).toMatch(/registryRefused/);
  });
});

describe('a refusal', () => {
  it('is told once, and counted, however often kubelet tries: no tenant fills the audit trail by it', async () => {
    const { create, told, refusedAgain } = vetoScene({ judge: () => refused });
    for (let tries = 0; tries < 5; tries += 1) expect((await create()).refusal).toMatch(/registryRefused/);
    await create({ pod: { ...webPod, uid: 'uid-2' } });
    await vi.waitFor(() => expect(told).toHaveLength(2));
    await sleep(150);
    expect([told.length, refusedAgain()]).toEqual([2, 4]);
  });

  it('is told at the latest when the agent ends, and once', async () => {
    const { create, told, veto } = vetoScene({ judge: () => refused });
    await create();
    expect(told).toHaveLength(0);
    veto.flush();
    expect(told.map(({ enforcement }) => enforcement?.outcome)).toEqual(['refused']);
    await sleep(150);
    expect(told).toHaveLength(1);
  });

  it('is told again for another reason, and after the container was let by', async () => {
    const verdicts = [refused, down, allowed('repullSucceeded', ''), down];
    const { create, told, refusedAgain } = vetoScene({ judge: () => verdicts.shift() ?? refused });
    for (let tries = 0; tries < 4; tries += 1) await create();
    await vi.waitFor(() => expect(told).toHaveLength(4));
    expect(told.map(({ judgement }) => judgement.verdict.reason)).toEqual([
      'registryRefused',
      'registryUnavailable',
      'repullSucceeded',
      'registryUnavailable',
    ]);
    expect(refusedAgain()).toBe(0);
  });
});

describe('what the veto remembers', () => {
  it('is bounded: the oldest containers are the guard`s', async () => {
    const { create, veto } = vetoScene();
    const first = await create();
    for (let n = 0; n < 10_000; n += 1) await create();
    const last = await create();
    expect([veto.hasJudged(first.id, CONTENT), veto.hasJudged(last.id, CONTENT)]).toEqual([false, true]);
  });
});
