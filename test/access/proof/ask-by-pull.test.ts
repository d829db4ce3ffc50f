import { describe, expect, it } from 'vitest';
import { askByPull, type PullingRuntime } from '../../../agent/access/proof/ask-by-pull.ts';
import { RuntimeError } from '../../../agent/errors.ts';
import type { PullOutcome, PullRequest, Sandbox } from '../../../agent/runtime/runtime.ts';
import { digest, imageRef, questionOf } from './scene.ts';

const second = `sha256:${'e'.repeat(64)}`;
const pulled: PullOutcome = { outcome: 'pulled', imageRef };
const notFound: PullOutcome = { outcome: 'notFound', speaker: 'registry', message: 'not found' };
const sandbox: Sandbox = {
  id: 'sandbox-1',
  metadata: { name: 'p', uid: 'u', namespace: 'team-a', attempt: 0 },
  labels: {},
  annotations: { a: 'b' },
  runtimeHandler: 'kata',
  configSource: 'api',
};

/** A runtime that gives these outcomes one after the other, and what it was asked for. */
function runtimeOf(outcomes: PullOutcome[], sandboxOf: PullingRuntime['sandbox'] = async () => sandbox) {
  const requests: PullRequest[] = [];
  const runtime: PullingRuntime = {
    sandbox: sandboxOf,
    async pullImage(request) {
      requests.push(request);
      return outcomes[requests.length - 1] ?? notFound;
    },
  };
  return { runtime, requests };
}

const nothing = () => undefined;
const withDigests = (...digests: string[]) => questionOf({ name: { ...questionOf().name, digests } });

describe('a pull that asks', () => {
  it("is by digest, with the pod's credential and sandbox, as kubelet's", async () => {
    const { runtime, requests } = runtimeOf([pulled]);
    const question = questionOf({ podSandboxId: 'sandbox-1' });
    expect(await askByPull(runtime, question, 5_000, nothing)).toEqual({ said: 'granted' });
    expect(requests).toEqual([
      {
        image: `reg.example/team-a/app@${digest}`,
        auth: { username: 'alice', password: 'of alice' },
        sandbox,
        runtimeHandler: 'kata',
        timeoutMs: 5_000,
      },
    ]);
  });

  it('is made without a sandbox where the runtime does not know it any more', async () => {
    const { runtime, requests } = runtimeOf([pulled], async () => {
      throw new RuntimeError('failed', 'gone');
    });
    await askByPull(runtime, questionOf({ podSandboxId: 'gone' }), 5_000, nothing);
    expect(requests[0]?.sandbox).toBeUndefined();
  });

  it('goes on to the next digest only where the registry does not have one', async () => {
    const lost = runtimeOf([notFound, pulled]);
    expect(await askByPull(lost.runtime, withDigests(digest, second), 1, nothing)).toEqual({
      said: 'granted',
    });
    expect(lost.requests.map(({ image }) => image)).toEqual([
      `reg.example/team-a/app@${digest}`,
      `reg.example/team-a/app@${second}`,
    ]);
    const refused = runtimeOf([{ outcome: 'refused', speaker: 'registry', message: '401' }]);
    await askByPull(refused.runtime, withDigests(digest, second), 1, nothing);
    expect(refused.requests).toHaveLength(1);
  });

  it('is never by tag: without a digest nothing is pulled', async () => {
    const { runtime, requests } = runtimeOf([pulled]);
    expect(await askByPull(runtime, withDigests(), 1, nothing)).toMatchObject({ said: 'nothing' });
    expect(requests).toEqual([]);
  });
});
