import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { allowed, denied, unverifiable, type Verdict } from '../../../agent/access/verdict.ts';
import { createJudge, type Judge } from '../../../agent/enforcement/guard/judge.ts';
import type { Enforcement, Judgement } from '../../../agent/enforcement/judgement.ts';
import { PodSourceError } from '../../../agent/errors.ts';
import type { Pod } from '../../../agent/pods/pod-source.ts';
import type { RuntimeContainer } from '../../../agent/runtime/runtime.ts';

const pod: Pod = {
  namespace: 'team-a',
  name: 'web',
  uid: 'uid-web',
  serviceAccountName: 'default',
  imagePullSecrets: [],
  containers: [
    {
      name: 'app',
      image: 'reg.example.com/app:1',
      imagePullPolicy: 'IfNotPresent',
      kind: 'container',
      imageVolumes: [],
    },
  ],
};

const container: RuntimeContainer = {
  id: 'c1',
  podSandboxId: 's1',
  state: 'running',
  createdAt: 1n,
  imageRef: 'sha256:aaa1',
  containerName: 'app',
  pod: { namespace: 'team-a', name: 'web', uid: 'uid-web' },
  attempt: 0,
};

/** Answers with the given verdicts in turn, the last one for ever. */
function judgeWith(
  verdicts: Verdict[],
  enforcement?: Enforcement,
  findPod: () => Promise<Pod | undefined> = async () => pod,
) {
  const settled: Judgement[] = [];
  const asked: string[] = [];
  const judge = createJudge({
    pods: { getPod: findPod },
    runtime: { imageStatus: async () => undefined, mountedImages: async () => [] },
    ensureAccess: async (question) => {
      asked.push(question.imageRef);
      return { verdict: (verdicts.length > 1 ? verdicts.shift() : verdicts[0]) ?? allowed('preloaded', '') };
    },
    enforce: async ({ verdict }) => (verdict.verdict === 'allowed' ? undefined : enforcement),
    onVerdict: () => undefined,
    onSettled: (judgement) => settled.push(judgement),
    existingContainersDelayMs: 0,
    existingContainersAtOnce: 2,
    patienceMs: undefined,
  });
  return { judge, settled, asked };
}

const down = unverifiable('registryUnavailable', 'connection refused');

describe('judging a container', () => {
  it('asks about the content that the container uses, not about its tag', async () => {
    const { judge, asked, settled } = judgeWith([allowed('recordMatched', '')]);
    judge.containerSeen(container, { preexisting: false });
    await judge.idle();
    expect(asked).toEqual(['sha256:aaa1']);
    expect(settled.map(({ verdict }) => verdict.reason)).toEqual(['recordMatched']);
  });

  it('calls a container without pod labels, of an unknown pod, or unknown to its pod unmanaged', async () => {
    const strangers: RuntimeContainer[] = [
      { ...container, id: 'c2', pod: { namespace: '', name: '', uid: '' } },
      { ...container, id: 'c3', containerName: 'not-in-the-spec' },
    ];
    const { judge, settled, asked } = judgeWith([allowed('recordMatched', '')]);
    for (const stranger of strangers) judge.containerSeen(stranger, { preexisting: false });
    await judge.idle();
    const unknownPod = judgeWith([allowed('recordMatched', '')], undefined, async () => undefined);
    unknownPod.judge.containerSeen(container, { preexisting: false });
    await unknownPod.judge.idle();
    expect([...settled, ...unknownPod.settled].map(({ verdict }) => verdict.reason)).toEqual([
      'unmanagedPod',
      'unmanagedPod',
      'unmanagedPod',
    ]);
    expect([...asked, ...unknownPod.asked]).toEqual([]);
  });

  it('cannot tell while the pods cannot be read', async () => {
    const { judge, settled } = judgeWith(
      [allowed('recordMatched', '')],
      { action: 'stop', outcome: 'stopped' },
      async () => {
        throw new PodSourceError('apiServerUnavailable', 'connection refused');
      },
    );
    judge.containerSeen(container, { preexisting: false });
    await judge.idle();
    expect(settled[0]?.verdict).toMatchObject({ verdict: 'unverifiable', reason: 'apiServerUnavailable' });
    await judge.close(0);
  });

  it('tries again what could not be told, as soon as something changes', async () => {
    const { judge, settled } = judgeWith([down, denied('registryRefused', '')], {
      action: 'none',
      outcome: 'audit',
    });
    judge.containerSeen(container, { preexisting: false });
    await judge.idle();
    expect(judge.pending()).toBe(1);
    judge.retryNow();
    await vi.waitFor(() =>
      expect(settled.map(({ verdict }) => verdict.reason)).toEqual([
        'registryUnavailable',
        'registryRefused',
      ]),
    );
    expect(judge.pending()).toBe(0);
    await judge.close(0);
  });

  it('does not try again once the container is stopped or gone', async () => {
    const stopped = judgeWith([down], { action: 'stop', outcome: 'stopped' });
    stopped.judge.containerSeen(container, { preexisting: false });
    await stopped.judge.idle();
    expect(stopped.judge.pending()).toBe(0);

    const gone = judgeWith([down], { action: 'none', outcome: 'onUnverifiableAllow' });
    gone.judge.containerSeen(container, { preexisting: false });
    await gone.judge.idle();
    gone.judge.containerGone('c1');
    expect(gone.judge.pending()).toBe(0);
  });

  it('finds the pod that turned up late', async () => {
    let known: Pod | undefined;
    const { judge, settled } = judgeWith(
      [allowed('recordMatched', '')],
      { action: 'none', outcome: 'unmanagedAudit' },
      async () => known,
    );
    judge.containerSeen(container, { preexisting: false });
    await judge.idle();
    known = pod;
    judge.retryNow();
    await vi.waitFor(() =>
      expect(settled.map(({ verdict }) => verdict.reason)).toEqual(['unmanagedPod', 'recordMatched']),
    );
    await judge.close(0);
  });

  it('judges what ran before the agent a few at a time', async () => {
    let now = 0;
    let most = 0;
    const judge = createJudge({
      pods: { getPod: async () => pod },
      runtime: { imageStatus: async () => undefined, mountedImages: async () => [] },
      ensureAccess: async () => {
        now += 1;
        most = Math.max(most, now);
        await sleep(5);
        now -= 1;
        return { verdict: allowed('recordMatched', '') };
      },
      enforce: async () => undefined,
      onVerdict: () => undefined,
      onSettled: () => undefined,
      existingContainersDelayMs: 5,
      existingContainersAtOnce: 2,
      patienceMs: undefined,
    });
    for (let n = 0; n < 20; n += 1) judge.containerSeen({ ...container, id: `c${n}` }, { preexisting: true });
    await vi.waitFor(() => expect(judge.pending()).toBe(0));
    expect(most).toBe(2);
  });

  it('lets no namespace hold up the judging of what ran before in another', async () => {
    const judged: string[] = [];
    const judge = createJudge({
      pods: { getPod: async ({ namespace }) => ({ ...pod, namespace }) },
      runtime: { imageStatus: async () => undefined, mountedImages: async () => [] },
      ensureAccess: ({ pod: { namespace } }) =>
        namespace === 'tarpit'
          ? new Promise(() => undefined)
          : Promise.resolve({ verdict: denied('registryRefused', '') }),
      enforce: async () => ({ action: 'stop', outcome: 'stopped' }),
      onVerdict: () => undefined,
      onSettled: (judgement) => judged.push(judgement.container.pod.namespace),
      existingContainersDelayMs: 0,
      existingContainersAtOnce: 2,
      patienceMs: undefined,
    });
    for (const [n, namespace] of ['tarpit', 'tarpit', 'team-a'].entries()) {
      const of = { ...container, id: `c${n}`, pod: { ...container.pod, namespace } };
      judge.containerSeen(of, { preexisting: true });
    }
    await vi.waitFor(() => expect(judged).toEqual(['team-a']));
    await judge.close(0);
  });

  it('begins nothing that is still waiting when it is closed, and comes to an end', async () => {
    const asked: string[] = [];
    let answer: () => void = () => undefined;
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const judge = createJudge({
      pods: { getPod: async () => pod },
      runtime: { imageStatus: async () => undefined, mountedImages: async () => [] },
      ensureAccess: async ({ imageRef }) => {
        asked.push(imageRef);
        await answered;
        return { verdict: allowed('recordMatched', '') };
      },
      enforce: async () => undefined,
      onVerdict: () => undefined,
      onSettled: () => undefined,
      existingContainersDelayMs: 0,
      existingContainersAtOnce: 2,
      patienceMs: undefined,
    });
    for (let n = 0; n < 4; n += 1) {
      judge.containerSeen({ ...container, id: `c${n}`, imageRef: `ref-${n}` }, { preexisting: true });
    }
    await vi.waitFor(() => expect(asked).toHaveLength(2));
    await vi.waitFor(() => expect(judge.pending()).toBe(6));
    await judge.close(0);
    answer();
    await judge.idle();
    expect(asked).toHaveLength(2);
  });

  it('does not leave a namespace waiting for its own containers that take long, either', async () => {
    const judged: string[] = [];
    const judge = createJudge({
      pods: { getPod: async () => pod },
      runtime: { imageStatus: async () => undefined, mountedImages: async () => [] },
      ensureAccess: ({ imageRef }) =>
        imageRef === 'hangs'
          ? new Promise(() => undefined)
          : Promise.resolve({ verdict: denied('registryRefused', '') }),
      enforce: async () => ({ action: 'stop', outcome: 'stopped' }),
      onVerdict: () => undefined,
      onSettled: (judgement) => judged.push(judgement.imageRef),
      existingContainersDelayMs: 0,
      existingContainersAtOnce: 2,
      existingContainerTurnMs: 20,
      patienceMs: undefined,
    });
    for (const [n, imageRef] of ['hangs', 'hangs', 'stolen'].entries()) {
      judge.containerSeen({ ...container, id: `c${n}`, imageRef }, { preexisting: true });
    }
    await vi.waitFor(() => expect(judged).toEqual(['stolen']));
    await judge.close(0);
  });
});

describe('the patience with a new container', () => {
  function judgeThatWaits(enforcement: Enforcement, patienceMs: number | undefined) {
    const told: string[] = [];
    let answer: (verdict: Verdict) => void = () => undefined;
    const judge = createJudge({
      pods: { getPod: async () => pod },
      runtime: { imageStatus: async () => undefined, mountedImages: async () => [] },
      ensureAccess: () =>
        new Promise((resolve) => {
          answer = (verdict) => resolve({ verdict });
        }),
      enforce: async ({ verdict }) => (verdict.verdict === 'allowed' ? undefined : enforcement),
      onVerdict: () => undefined,
      onSettled: ({ verdict }) => told.push(`${verdict.reason} ${verdict.message}`),
      existingContainersDelayMs: 0,
      existingContainersAtOnce: 2,
      patienceMs,
    });
    return { judge, told, answer: (verdict: Verdict) => answer(verdict) };
  }
  const stopped: Enforcement = { action: 'stop', outcome: 'stopped' };
  const inProgress = 'registryUnavailable verification in progress';

  it('ends, and it is stopped while the verification goes on; what comes of that is told of its successor', async () => {
    const { judge, told, answer } = judgeThatWaits(stopped, 20);
    judge.containerSeen(container, { preexisting: false });
    await vi.waitFor(() => expect(told).toEqual([inProgress]));
    expect(judge.pending()).toBe(1);
    answer(denied('registryRefused', ''));
    await judge.idle();
    expect(told).toEqual([inProgress]);
    expect(judge.pending()).toBe(0);
  });

  it('leaves a container that may run on to be judged when the verification ends', async () => {
    const { judge, told, answer } = judgeThatWaits({ action: 'none', outcome: 'fuseOpen' }, 20);
    judge.containerSeen(container, { preexisting: false });
    await vi.waitFor(() => expect(told).toEqual([inProgress]));
    expect(judge.pending()).toBe(1);
    answer(allowed('repullSucceeded', ''));
    await vi.waitFor(() => expect(told).toEqual([inProgress, 'repullSucceeded ']));
    await judge.idle();
    expect(judge.pending()).toBe(0);
  });

  it('has no end for one that ran before, nor where nothing would be stopped for it', async () => {
    const before = judgeThatWaits(stopped, 20);
    before.judge.containerSeen(container, { preexisting: true });
    const endless = judgeThatWaits(stopped, undefined);
    endless.judge.containerSeen(container, { preexisting: false });
    await sleep(100);
    expect([...before.told, ...endless.told]).toEqual([]);
    for (const { judge, answer } of [before, endless]) {
      answer(allowed('recordMatched', ''));
      await judge.idle();
    }
    expect([...before.told, ...endless.told]).toEqual(['recordMatched ', 'recordMatched ']);
  });
});

describe('what is told of a container that is judged again', () => {
  function judgeThatTells(verdicts: Verdict[], enforcements: (Enforcement | undefined)[]) {
    const told: string[] = [];
    let judgements = 0;
    const judge = createJudge({
      pods: { getPod: async () => pod },
      runtime: { imageStatus: async () => undefined, mountedImages: async () => [] },
      ensureAccess: async () => {
        judgements += 1;
        return { verdict: (verdicts.length > 1 ? verdicts.shift() : verdicts[0]) ?? down };
      },
      enforce: async () => (enforcements.length > 1 ? enforcements.shift() : enforcements[0]),
      onVerdict: ({ verdict }) => told.push(verdict.reason),
      onSettled: (_judgement, enforcement) => told.push(enforcement?.outcome ?? ''),
      existingContainersDelayMs: 0,
      existingContainersAtOnce: 2,
      patienceMs: undefined,
    });
    return { judge, told, judgements: () => judgements };
  }
  const audit: Enforcement = { action: 'none', outcome: 'audit' };

  async function judgeAgain(judge: Judge, judgements: () => number): Promise<void> {
    const before = judgements();
    judge.retryNow();
    await vi.waitFor(() => expect(judgements()).toBe(before + 1), 3_000);
    await judge.idle();
  }

  it('is nothing while verdict, reason and outcome are the same', async () => {
    const { judge, told, judgements } = judgeThatTells([down], [audit]);
    judge.containerSeen(container, { preexisting: false });
    await judge.idle();
    await judgeAgain(judge, judgements);
    await judgeAgain(judge, judgements);
    expect(told).toEqual(['registryUnavailable', 'audit']);
    await judge.close(0);
  });

  it('is the verdict once more where another reason, or another outcome, comes of it', async () => {
    const fuseOpen: Enforcement = { action: 'none', outcome: 'fuseOpen' };
    const away = unverifiable('apiServerUnavailable', '');
    const { judge, told, judgements } = judgeThatTells([down, away, away], [audit, audit, fuseOpen]);
    judge.containerSeen(container, { preexisting: false });
    await judge.idle();
    await judgeAgain(judge, judgements);
    await judgeAgain(judge, judgements);
    expect(told).toEqual([
      ...['registryUnavailable', 'audit'],
      ...['apiServerUnavailable', 'audit'],
      ...['apiServerUnavailable', 'fuseOpen'],
    ]);
    await judge.close(0);
  });
});
