import { describe, expect, it } from 'vitest';
import { type AskOptions, createAsking } from '../../../agent/access/proof/ask.ts';
import type { PullingRuntime } from '../../../agent/access/proof/ask-by-pull.ts';
import type { RegistryToAsk } from '../../../agent/access/proof/ask-registry.ts';
import type { Question } from '../../../agent/access/proof/question.ts';
import type { PullOutcome } from '../../../agent/runtime/runtime.ts';
import { imageRef, questionOf } from './scene.ts';

type ManifestAnswer = Awaited<ReturnType<RegistryToAsk['manifest']>>;

const spent = { requests: 1, tokenRequests: 0, bytes: 0 };
const grants: ManifestAnswer = {
  answer: 'granted',
  asked: 'withCredential',
  manifest: { digest: `sha256:${'d'.repeat(64)}`, bytes: Buffer.from('{}') },
  spent,
};
const refuses: ManifestAnswer = { answer: 'unauthorized', by: 'registry', status: 401, spent };
const forbids: ManifestAnswer = { answer: 'forbiddenByPolicy', status: 412, spent };
const isDown: ManifestAnswer = { answer: 'unavailable', seen: 'connect', message: 'no connection', spent };

const pulled: PullOutcome = { outcome: 'pulled', imageRef };
const otherContent: PullOutcome = { outcome: 'pulled', imageRef: `sha256:${'2'.repeat(64)}` };
const failed = (
  outcome: Exclude<PullOutcome['outcome'], 'pulled'>,
  speaker: 'registry' | 'other' | 'unstated',
) => ({ outcome, speaker, message: 'text' }) satisfies PullOutcome;

type Setup = Partial<Pick<AskOptions, 'proof' | 'runtimeGrants' | 'mayHaveOwnWay'>>;

/**
 * Registry and runtime as doubles: each says what it is told to, and who was asked is written down in order.
 */
function sceneOf(registry: ManifestAnswer, pull: PullOutcome, setup: Setup = {}) {
  const says = { registry, pull };
  const asked: string[] = [];
  const clock = { now: 0 };
  const runtime: PullingRuntime = {
    sandbox: async () => undefined,
    async pullImage() {
      asked.push('runtime');
      return says.pull;
    },
  };
  const asking = createAsking({
    runtime,
    registry: {
      async manifest() {
        asked.push('registry');
        return says.registry;
      },
    },
    proof: 'pull',
    runtimeGrants: 'allow',
    pulls: { take: async (_turn, work) => work() },
    mayHaveOwnWay: async () => false,
    pullTimeoutMs: 1_000,
    now: () => clock.now,
    onPull: () => undefined,
    onSecondOpinion: () => undefined,
    ...setup,
  });
  const answer = async (question: Question = questionOf()) => {
    asked.length = 0;
    const given = await asking.ask(question);
    return [answerText(given), ...asked];
  };
  return { says, clock, answer, onlyReachedByRuntime: asking.onlyReachedByRuntime };
}

type Given = Awaited<ReturnType<ReturnType<typeof createAsking>['ask']>>;

function answerText(given: Given): string {
  if (given.answer === 'granted') return `granted to ${given.to}`;
  return given.answer === 'refused' ? 'refused' : given.reason;
}

const nobodys = questionOf({ credential: undefined });

describe("the registry's own word is final", () => {
  it.each<[string, ManifestAnswer, string]>([
    ['granted', grants, 'granted to credential'],
    ['refused', refuses, 'refused'],
    ['kept from everybody', forbids, 'registryForbidsImage'],
  ])('%s, and no pull is made', async (_what, registry, expected) => {
    expect(await sceneOf(registry, pulled).answer()).toEqual([expected, 'registry']);
  });
});

describe('a registry that the agent cannot reach: the runtime is asked', () => {
  it.each<[string, PullOutcome, string]>([
    ['it pulled', pulled, 'granted to credential'],
    ['it pulled other content', otherContent, 'registryUnavailable'],
    ['the registry itself refused it', failed('refused', 'registry'), 'refused'],
    ['the registry itself does not have it', failed('notFound', 'registry'), 'refused'],
    ['a mirror refused it', failed('refused', 'other'), 'registryUnavailable'],
    ['a mirror does not have it', failed('notFound', 'other'), 'registryUnavailable'],
    ['somebody refused it, and it is not known who', failed('refused', 'unstated'), 'registryUnavailable'],
    ['nobody answered it either', failed('unavailable', 'unstated'), 'registryUnavailable'],
    ['a text that no row knows', failed('unknown', 'unstated'), 'registryUnavailable'],
    ['a policy keeps it from everybody', failed('forbiddenByPolicy', 'unstated'), 'registryForbidsImage'],
    ['the disk is full', failed('nodeTrouble', 'unstated'), 'nodeTrouble'],
    ['the runtime is away', failed('runtimeUnavailable', 'unstated'), 'runtimeUnavailable'],
  ])('%s', async (_what, pull, expected) => {
    expect(await sceneOf(isDown, pull).answer()).toEqual([expected, 'registry', 'runtime']);
  });

  it('is named, and not tried again directly for five minutes where the runtime gets through', async () => {
    const scene = sceneOf(isDown, pulled);
    await scene.answer();
    expect(scene.onlyReachedByRuntime()).toEqual(['reg.example']);
    scene.clock.now = 299_999;
    expect(await scene.answer()).toEqual(['granted to credential', 'runtime']);
    scene.clock.now = 300_000;
    expect(scene.onlyReachedByRuntime()).toEqual([]);
    expect(await scene.answer()).toEqual(['granted to credential', 'registry', 'runtime']);
  });

  it('is asked itself all the same before what the runtime heard refuses anybody', async () => {
    const scene = sceneOf(isDown, pulled);
    await scene.answer();
    scene.says.pull = failed('refused', 'registry');
    scene.says.registry = grants;
    expect(await scene.answer()).toEqual(['granted to credential', 'runtime', 'registry']);
  });

  it('is just down where a mirror, and nobody else, was heard', async () => {
    const scene = sceneOf(isDown, failed('refused', 'other'));
    await scene.answer();
    expect(scene.onlyReachedByRuntime()).toEqual([]);
    scene.says.registry = refuses;
    expect(await scene.answer()).toEqual(['refused', 'registry']);
  });
});

describe('a registry that sends other bytes than it is asked for', () => {
  it.each([questionOf(), nobodys])(
    'has granted nothing, though a pull found no fault: %#',
    async (question) => {
      const scene = sceneOf({ ...isDown, seen: 'digestMismatch' }, pulled);
      expect((await scene.answer(question))[0]).toBe('registryUnavailable');
      expect(scene.onlyReachedByRuntime()).toEqual([]);
    },
  );
});

describe('a registry that tells the agent of its trouble', () => {
  it.each(['redirect', 'serverError', 'tooManyRequests', 'tokenServer'] as const)(
    '(%s) has refused nobody, whatever the runtime heard in its name',
    async (seen) => {
      const scene = sceneOf({ ...isDown, seen }, failed('refused', 'registry'));
      expect(await scene.answer()).toEqual(['registryUnavailable', 'registry', 'runtime']);
      expect(scene.onlyReachedByRuntime()).toEqual([]);
    },
  );
});

describe('a pull through a mirror, which may ask nobody, or with credentials of the runtime', () => {
  const hasMirror: Setup = { mayHaveOwnWay: async () => true };

  it("is no grant of the pod's own credential while the registry has no word", async () => {
    expect(await sceneOf(isDown, pulled, hasMirror).answer()).toEqual([
      'granted to runtime',
      'registry',
      'runtime',
    ]);
    const notCounted = sceneOf(isDown, pulled, { ...hasMirror, runtimeGrants: 'deny' });
    expect((await notCounted.answer())[0]).toBe('registryUnavailable');
  });

  it('leaves the registry to be asked the next time: the mirror is not how it is reached', async () => {
    const scene = sceneOf(isDown, pulled, hasMirror);
    await scene.answer();
    expect(scene.onlyReachedByRuntime()).toEqual([]);
    scene.says.registry = refuses;
    expect(await scene.answer()).toEqual(['refused', 'registry']);
  });

  it('counts for less than what the registry, out of reach before, says now', async () => {
    const node = { hasMirror: false };
    const scene = sceneOf(isDown, pulled, { mayHaveOwnWay: async () => node.hasMirror });
    await scene.answer();
    node.hasMirror = true;
    scene.says.registry = refuses;
    expect(await scene.answer()).toEqual(['refused', 'runtime', 'registry']);
  });
});

describe("nobody's credentials, refused by the registry", () => {
  it('may be granted to the runtime itself, and that is kept apart', async () => {
    const hasOwnWay = { mayHaveOwnWay: async () => true };
    expect(await sceneOf(refuses, pulled, hasOwnWay).answer(nobodys)).toEqual([
      'granted to runtime',
      'registry',
      'runtime',
    ]);
  });

  it('stay refused where the runtime gets nothing either', async () => {
    const [answer] = await sceneOf(refuses, failed('refused', 'registry')).answer(nobodys);
    expect(answer).toBe('refused');
  });

  it('cost no pull where the runtime has no way of its own, or where it would not count', async () => {
    const noWay = sceneOf(refuses, pulled);
    expect(await noWay.answer(nobodys)).toEqual(['refused', 'registry']);
    const notCounted = sceneOf(refuses, pulled, { runtimeGrants: 'deny' });
    expect(await notCounted.answer(nobodys)).toEqual(['refused', 'registry']);
  });

  it('are no grant of the registry where only the runtime could be asked', async () => {
    expect((await sceneOf(isDown, pulled).answer(nobodys))[0]).toBe('granted to runtime');
    const notCounted = sceneOf(isDown, pulled, { runtimeGrants: 'deny' });
    expect((await notCounted.answer(nobodys))[0]).toBe('registryUnavailable');
  });
});

describe('--proof registry', () => {
  it.each<[ManifestAnswer, string]>([
    [grants, 'granted to credential'],
    [refuses, 'refused'],
    [isDown, 'registryUnavailable'],
  ])('never pulls: %#', async (registry, expected) => {
    expect(await sceneOf(registry, pulled, { proof: 'registry' }).answer()).toEqual([expected, 'registry']);
  });
});
