import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { allowed, denied, unverifiable, type Verdict } from '../../../agent/access/verdict.ts';
import { PodSourceError } from '../../../agent/errors.ts';
import type { Pod } from '../../../agent/pods/pod-source.ts';
import type { RuntimeContainer } from '../../../agent/runtime/runtime.ts';
import { appContainer, guardScene, inTurn, notEnforced, webContainer, webPod } from './scene.ts';

const down = unverifiable('registryUnavailable', 'connection refused');
const refused = denied('registryRefused', '');
const granted = allowed('repullSucceeded', '');

describe('a container that the guard sees', () => {
  it('is judged by the content that it uses, not by its tag', async () => {
    const { see, asked, words } = guardScene();
    await see();
    expect(asked).toEqual([
      { pod: webPod, container: appContainer, imageRef: webContainer.imageRef, urgent: true },
    ]);
    expect(words()).toEqual(['recordMatched allowed']);
  });

  it('is reported with the pod`s spec, and with the standing that counts for it', async () => {
    const { see, reported } = guardScene({ judge: () => refused, doubt: 'standing' });
    await see();
    expect(reported).toMatchObject([
      {
        judgement: {
          container: webContainer,
          preexisting: false,
          spec: appContainer,
          kind: 'container',
          imageRef: webContainer.imageRef,
          verdict: refused,
          doubt: 'standing',
        },
        outcome: 'stopped',
      },
    ]);
  });

  it('is unmanaged without the labels of a pod, and where nobody knows its pod or its place in it', async () => {
    const strangers: RuntimeContainer[] = [
      { ...webContainer, id: 'c2', pod: { namespace: '', name: '', uid: '' } },
      { ...webContainer, id: 'c3', containerName: 'not-in-the-spec' },
    ];
    const { see, words, asked } = guardScene();
    for (const stranger of strangers) await see(stranger);
    expect(words()).toEqual(['unmanagedPod stopped', 'unmanagedPod stopped']);
    const unknown = guardScene({ getPod: async () => undefined });
    await unknown.see();
    expect(unknown.words()).toEqual(['unmanagedPod stopped']);
    expect([...asked, ...unknown.asked]).toEqual([]);
  });

  it('is judged by its content where kubelet took an unknown pod from a file', async () => {
    const { see, asked } = guardScene({ getPod: async () => undefined, configSource: 'file' });
    await see();
    expect(asked).toMatchObject([
      { container: { image: webContainer.imageRef }, pod: { imagePullSecrets: [] } },
    ]);
  });

  it('is of an unknown pod where kubelet took that from the API server', async () => {
    const { see, words } = guardScene({ getPod: async () => undefined, configSource: 'api' });
    await see();
    expect(words()).toEqual(['podUnknown stopped']);
  });

  it('cannot be judged while the pods cannot be read; its standing counts all the same', async () => {
    const { see, reported } = guardScene({
      getPod: async () => {
        throw new PodSourceError('apiServerUnavailable', 'connection refused');
      },
      doubt: 'standing',
    });
    await see();
    expect(reported).toMatchObject([
      { judgement: { verdict: { reason: 'apiServerUnavailable' }, doubt: 'standing' } },
    ]);
  });
});

describe('a container that the veto judged', () => {
  const contents = { own: webContainer.imageRef, volumes: [] };

  it('is neither judged nor reported again', async () => {
    const { see, handover, asked, words, guard } = guardScene();
    handover.judgedByVeto(webContainer.id, contents);
    await see();
    expect([asked, words(), guard.pending()]).toEqual([[], [], 0]);
  });

  it('is judged again when it uses other content', async () => {
    const { see, handover, words } = guardScene({ judge: () => refused });
    handover.judgedByVeto(webContainer.id, { ...contents, own: 'sha256:before-the-tag-was-moved' });
    await see();
    expect(words()).toEqual(['registryRefused stopped']);
  });

  it('is judged again by what it really mounts when the tag of an image volume was moved', async () => {
    const model = { image: 'reg.example.com/model:1', imageRef: 'sha256:model' };
    const imageVolumes = [{ name: 'model', image: model.image, imagePullPolicy: 'IfNotPresent' as const }];
    const { see, handover, asked, words } = guardScene({
      getPod: async () => ({ ...webPod, containers: [{ ...appContainer, imageVolumes }] }),
      mountedImages: async () => [{ ...model, imageRef: 'sha256:private' }],
      judge: ({ imageRef }) => (imageRef === 'sha256:private' ? refused : granted),
    });
    handover.judgedByVeto(webContainer.id, { ...contents, volumes: [model] });
    await see();
    expect(asked.map(({ imageRef }) => imageRef)).toEqual([webContainer.imageRef, 'sha256:private']);
    expect(words()).toEqual(['registryRefused stopped']);
  });
});

describe('what was unverifiable', () => {
  it('is tried again as soon as something changes', async () => {
    const { see, guard, words } = guardScene({
      judge: inTurn<Verdict>(down, refused),
      enforce: () => notEnforced('audit'),
    });
    await see();
    expect(guard.pending()).toBe(1);
    guard.retryNow();
    await vi.waitFor(() => expect(words()).toEqual(['registryUnavailable audit', 'registryRefused audit']));
    expect(guard.pending()).toBe(0);
    await guard.close(0);
  });

  it('is not tried again once the container is stopped or gone', async () => {
    const stopping = guardScene({ judge: () => down });
    await stopping.see();
    expect(stopping.guard.pending()).toBe(0);

    const gone = guardScene({ judge: () => down, enforce: () => notEnforced('ranBefore') });
    await gone.see();
    expect(gone.guard.pending()).toBe(1);
    gone.guard.containerGone(webContainer.id);
    expect(gone.guard.pending()).toBe(0);
  });

  it('is judged once the pod turns up', async () => {
    let known: Pod | undefined;
    const { see, guard, words } = guardScene({
      getPod: async () => known,
      enforce: () => notEnforced('unmanagedAudit'),
    });
    await see();
    known = webPod;
    guard.retryNow();
    await vi.waitFor(() => expect(words()).toEqual(['unmanagedPod unmanagedAudit', 'recordMatched allowed']));
    await guard.close(0);
  });

  it('counts as running already when it was left running before, and not at the first look', async () => {
    const { see, guard, enforced } = guardScene({
      judge: inTurn<Verdict>(down, unverifiable('runtimeUnavailable', '')),
      enforce: () => notEnforced('onUnverifiableAllow'),
    });
    await see();
    guard.retryNow();
    await vi.waitFor(() => expect(enforced.map(({ alreadyRuns }) => alreadyRuns)).toEqual([false, true]));
    await guard.close(0);
  });

  it('counts as running already from the start when it ran before the agent', async () => {
    const { see, enforced } = guardScene({ judge: () => down });
    await see(webContainer, true);
    await vi.waitFor(() => expect(enforced.map(({ alreadyRuns }) => alreadyRuns)).toEqual([true]));
  });
});

describe('containers that ran before the agent', () => {
  it('are judged a few at a time', async () => {
    let now = 0;
    let most = 0;
    const { guard, reported } = guardScene({
      async judge() {
        now += 1;
        most = Math.max(most, now);
        await sleep(5);
        now -= 1;
        return granted;
      },
    });
    for (let n = 0; n < 20; n += 1) {
      guard.containerSeen({ ...webContainer, id: `c${n}` }, { preexisting: true });
    }
    expect(guard.pending()).toBe(20);
    await vi.waitFor(() => expect(reported).toHaveLength(20), 5_000);
    expect([most, guard.pending()]).toEqual([2, 0]);
  });

  it('hold up no other namespace', async () => {
    const { guard, reported } = guardScene({
      getPod: async ({ namespace }) => ({ ...webPod, namespace }),
      judge: ({ pod: { namespace } }) => (namespace === 'tarpit' ? new Promise(() => undefined) : refused),
    });
    for (const [n, namespace] of ['tarpit', 'tarpit', 'team-a'].entries()) {
      const container = { ...webContainer, id: `c${n}`, pod: { ...webContainer.pod, namespace } };
      guard.containerSeen(container, { preexisting: true });
    }
    await vi.waitFor(() =>
      expect(reported.map(({ judgement }) => judgement.container.pod.namespace)).toEqual(['team-a']),
    );
    await guard.close(0);
  });

  it('do not hold up others of their own namespace for longer than their turn', async () => {
    const { guard, reported } = guardScene({
      judge: ({ imageRef }) => (imageRef === 'hangs' ? new Promise(() => undefined) : refused),
      turnMs: 20,
    });
    for (const [n, imageRef] of ['hangs', 'hangs', 'stolen'].entries()) {
      guard.containerSeen({ ...webContainer, id: `c${n}`, imageRef }, { preexisting: true });
    }
    await vi.waitFor(() => expect(reported.map(({ judgement }) => judgement.imageRef)).toEqual(['stolen']));
    await guard.close(0);
  });

  it('whose turn has not come are not judged any more when the guard is closed', async () => {
    const answer = Promise.withResolvers<Verdict>();
    const { guard, asked } = guardScene({ judge: () => answer.promise });
    for (let n = 0; n < 4; n += 1) {
      guard.containerSeen({ ...webContainer, id: `c${n}`, imageRef: `ref-${n}` }, { preexisting: true });
    }
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    expect(guard.pending()).toBe(4);
    await guard.close(0);
    answer.resolve(granted);
    await guard.idle();
    expect(asked).toHaveLength(2);
  });
});

describe('the patience with a new container', () => {
  const inProgress = 'verificationInProgress';

  it('ends, and it is stopped while the verification goes on; the outcome is reported of its successor', async () => {
    const answer = Promise.withResolvers<Verdict>();
    const { guard, words } = guardScene({ judge: () => answer.promise, patienceMs: 20 });
    guard.containerSeen(webContainer, { preexisting: false });
    await vi.waitFor(() => expect(words()).toEqual([`${inProgress} stopped`]));
    expect(guard.pending()).toBe(1);
    answer.resolve(refused);
    await guard.idle();
    expect(words()).toEqual([`${inProgress} stopped`]);
    expect(guard.pending()).toBe(0);
  });

  it.each([
    ['standing', ''],
    ['none', `${inProgress} stopped`],
  ] as const)('that ends while the agent does, with %s', async (doubt, said) => {
    const answer = Promise.withResolvers<Verdict>();
    const { guard, words } = guardScene({ judge: () => answer.promise, patienceMs: 20, doubt });
    guard.containerSeen(webContainer, { preexisting: false });
    await guard.close(200);
    expect(words().join()).toBe(said);
    answer.resolve(granted);
    await guard.idle();
  });

  it('ends with the spec and the standing that are known by then', async () => {
    const { guard, reported } = guardScene({
      judge: () => new Promise(() => undefined),
      patienceMs: 20,
      doubt: 'standing',
    });
    guard.containerSeen(webContainer, { preexisting: false });
    await vi.waitFor(() =>
      expect(reported).toMatchObject([
        { judgement: { spec: appContainer, doubt: 'standing', verdict: { verdict: 'unverifiable' } } },
      ]),
    );
    await guard.close(0);
  });

  it('leaves a container that may run on to be judged when the verification ends', async () => {
    const answer = Promise.withResolvers<Verdict>();
    const { guard, words, enforced } = guardScene({
      judge: () => answer.promise,
      enforce: () => notEnforced('fuseOpen'),
      patienceMs: 20,
    });
    guard.containerSeen(webContainer, { preexisting: false });
    await vi.waitFor(() => expect(words()).toEqual([`${inProgress} fuseOpen`]));
    expect(guard.pending()).toBe(1);
    answer.resolve(refused);
    await vi.waitFor(() => expect(words()).toEqual([`${inProgress} fuseOpen`, 'registryRefused fuseOpen']));
    await guard.idle();
    expect(enforced.map(({ alreadyRuns }) => alreadyRuns)).toEqual([false, true]);
    expect(guard.pending()).toBe(0);
  });

  it('has no end for one that ran before, nor where nothing is enforced', async () => {
    const answer = Promise.withResolvers<Verdict>();
    const before = guardScene({ judge: () => answer.promise, patienceMs: 20 });
    before.guard.containerSeen(webContainer, { preexisting: true });
    const audit = guardScene({ judge: () => answer.promise });
    audit.guard.containerSeen(webContainer, { preexisting: false });
    // Ends after the two would have.
    const probe = guardScene({ judge: () => new Promise(() => undefined), patienceMs: 60 });
    probe.guard.containerSeen(webContainer, { preexisting: false });
    await vi.waitFor(() => expect(probe.words()).toHaveLength(1));
    expect([...before.words(), ...audit.words()]).toEqual([]);
    answer.resolve(granted);
    await before.guard.idle();
    await audit.guard.idle();
    expect([...before.words(), ...audit.words()]).toEqual([
      'repullSucceeded allowed',
      'repullSucceeded allowed',
    ]);
    await probe.guard.close(0);
  });
});
