import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Attack } from '../../scripts/lab/claimed-image.ts';
import { ContainerNotStarted } from '../../scripts/lab/kubelet.ts';
import { type LyingRegistry, startLyingRegistry } from '../../scripts/lab/lying-registry.ts';
import { podOf, type Tenant, type Wanted, writeManifests } from '../../scripts/story/tenants.ts';
import { nameRegistry } from './named-registry.ts';
import { newest, openScene, type Scene } from './scene.ts';
import {
  buildSlowImage,
  pushSlowImage,
  type SlowFront,
  type SlowImage,
  startSlowFront,
} from './slow-pull.ts';

const VICTIM = 'victim.test';
const ATTACKER = 'attacker.test';

/** `RACE_ROUNDS=200 RACE_SEED=7 vitest run test/node/bytes-race.test.ts` runs more of them, or others. */
const ROUNDS = Number(process.env.RACE_ROUNDS ?? 20);
const SEED = Number(process.env.RACE_SEED ?? 1);
/** The last is after the victim's own image has arrived, whatever happened before. */
const TRIES = 3;

/** What becomes of the agent while victim and attacker pull. */
const FATES = ['stays', 'stays', 'stays', 'stays', 'stays', 'isRestarted', 'isKilled', 'comesLate'] as const;
type Fate = (typeof FATES)[number];

/** mulberry32: the same rounds for the same seed. */
function randomsFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What one try of a pod came to. */
type Try = { readonly sandboxId: string } & (
  | { readonly containerId: string }
  | { readonly refusal: ContainerNotStarted }
);

describe(`the victim's pull and the attacker's claim within one second, ${ROUNDS} times (seed ${SEED})`, () => {
  let scene: Scene;
  let front: SlowFront;
  let liar: LyingRegistry;
  /** Is an agent there that has registered with the runtime, and will it stay? */
  let hasVeto = false;
  const random = randomsFrom(SEED);
  const pick = <Item>(items: readonly [Item, ...Item[]]): Item =>
    items[Math.floor(random() * items.length)] ?? items[0];
  const counts = { reads: 0, tries: 0, ranWithoutVeto: 0, refused: 0 };

  const FLAGS = ['--mode', 'enforce', '--existing-images', 'verify', '--pull-timeout', '5s'];

  async function agentComes(): Promise<void> {
    await scene.startAgent(...FLAGS, '--fuse-count', '100000');
    hasVeto = true;
  }

  async function agentGoes(how: 'stop' | 'kill'): Promise<void> {
    hasVeto = false;
    await scene.agent()[how]();
  }

  async function run(name: string, tenant: Tenant, host: string, reference: string): Promise<Try> {
    const registry = { ...scene.node.registries.htpasswd, host };
    const wanted: Wanted = {
      name,
      tenant,
      image: `${host}/${reference}`,
      imagePullPolicy: 'IfNotPresent',
      registry,
    };
    const pod = podOf(wanted);
    await writeManifests(scene.podsDirectory, wanted, pod);
    try {
      const { sandboxId, containers } = await scene.node.kubelet.runPod(pod, tenant.login);
      return { sandboxId, containerId: containers[0]?.id ?? '' };
    } catch (error) {
      if (!(error instanceof ContainerNotStarted)) throw error;
      return { sandboxId: error.sandboxId, refusal: error };
    }
  }

  /** One try of the attacker; his container runs only if the victim's program was read. */
  async function attack(name: string, image: string): Promise<void> {
    const before = hasVeto;
    const tried = await run(name, scene.tenants.c, ATTACKER, image);
    counts.tries += 1;
    if ('refusal' in tried) {
      if (tried.refusal.reason === 'CreateContainerError') counts.refused += 1;
    } else if (before && hasVeto) {
      counts.reads += 1;
      throw new Error(`${name} reads the victim's file:\n${scene.agent().log().slice(-3_000)}`);
    } else {
      counts.ranWithoutVeto += 1;
      await agentIsThere();
      await scene.ended(tried.containerId, 30_000);
    }
    await scene.node.kubelet.removePod(tried.sandboxId);
  }

  async function agentIsThere(): Promise<void> {
    while (!hasVeto) await sleep(50);
  }

  /** The victim's own container must run in the end: kubelet tries again when it is told to wait. */
  async function victimRuns(name: string, image: string): Promise<void> {
    for (let tries = 1; ; tries += 1) {
      const tried = await run(`${name}-${tries}`, scene.tenants.a, VICTIM, image);
      await scene.node.kubelet.removePod(tried.sandboxId);
      if ('containerId' in tried) return;
      if (tries === 20) throw tried.refusal;
      await sleep(250);
    }
  }

  async function befalls(fate: Fate, after: number): Promise<void> {
    if (fate === 'stays') return;
    await sleep(after);
    if (fate === 'comesLate' || fate === 'isRestarted') await agentGoes('stop');
    else await agentGoes('kill');
    if (fate === 'comesLate') await sleep(1_000);
    await agentComes();
  }

  async function round(number: number): Promise<void> {
    const victim: SlowImage = await buildSlowImage(`race ${SEED} ${number}`);
    const repository = `team-a/race-${number}`;
    await pushSlowImage(scene.node.registries.htpasswd, repository, victim);
    const way = pick<Attack>([
      'layerDigest',
      'diffIds',
      'diffIdsBelowTool',
      'configDigest',
      'manifestDigest',
    ]);
    const claimed = await liar.claim(way, victim);
    const [victimAfter, attackerAfter, upperAfter, fateAfter] = [400, 600, 500, 800].map(
      (ms) => random() * ms,
    );
    const fate = pick(FATES);
    front.hold(victim.upper.digest);
    const image = `${claimed.repository}@${claimed.digest}`;
    const name = `round-${number}`;
    await Promise.all([
      befalls(fate, fateAfter ?? 0),
      sleep(victimAfter).then(() =>
        scene.node.kubelet.pullImage(`${VICTIM}/${repository}:1`, scene.tenants.a.login),
      ),
      sleep((victimAfter ?? 0) + (upperAfter ?? 0)).then(front.release),
      sleep(attackerAfter).then(async () => {
        for (let tries = 1; tries < TRIES; tries += 1)
          await attack(`${name}-${way.toLowerCase()}-${tries}`, image);
      }),
    ]);
    await attack(`${name}-${way.toLowerCase()}-${TRIES}`, image);
    await victimRuns(`${name}-victim`, `${repository}:1`);
  }

  beforeAll(async () => {
    scene = await openScene(newest(), true);
    front = await startSlowFront(scene.node.registries.htpasswd.host);
    liar = await startLyingRegistry();
    await nameRegistry(scene.node, VICTIM, front.host);
    await nameRegistry(scene.node, ATTACKER, liar.host);
    await agentComes();
  }, 180_000);

  afterAll(async () => {
    await liar?.close();
    await front?.close();
    await scene?.stop();
  }, 60_000);

  it('no container of the attacker reads the victim’s file while the veto is there', {
    timeout: ROUNDS * 30_000,
  }, async () => {
    for (let number = 1; number <= ROUNDS; number += 1) await round(number);
    process.stdout.write(`races: ${JSON.stringify(counts)}\n`);
    expect(counts.reads).toBe(0);
    // It was tried in earnest: most pulls of the attacker came so far that only the veto stood in the way.
    expect(counts.refused).toBeGreaterThan(ROUNDS);
  });
});
