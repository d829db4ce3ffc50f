import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { allowed, denied, unverifiable, type Verdict } from '../../agent/access/verdict.ts';
import { createJudge, type Enforcement, type Judgement } from '../../agent/enforcement/judge.ts';
import { type Pod, PodSourceError } from '../../agent/pods/source.ts';
import type { RuntimeContainer } from '../../agent/runtime/runtime.ts';

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
    });
    for (let n = 0; n < 20; n += 1) judge.containerSeen({ ...container, id: `c${n}` }, { preexisting: true });
    await vi.waitFor(() => expect(judge.pending()).toBe(0));
    expect(most).toBe(2);
  });
});
