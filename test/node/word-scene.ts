import { mkdir, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { expect, vi } from 'vitest';
import { createCriClient } from '../../agent/runtime/cri-client.ts';
import { parseEndpoint } from '../../agent/runtime/endpoint.ts';
import type { StartedContainer } from '../../scripts/lab/kubelet.ts';
import type { ContainerdSeries } from '../../scripts/lab/programs.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import type { KeyPair } from '../../scripts/lab/signing.ts';
import type { Tenant } from '../../scripts/story/tenants.ts';
import { type Front, startFront } from './front.ts';
import { openScene, type Scene } from './scene.ts';

/** A node whose private registry stands behind a front, and images of it that tenants run. */
export type WordScene = {
  readonly scene: Scene;
  readonly front: Front;
  /** The image is on the node, and D's container runs. */
  ranBefore(): Promise<string>;
  /** The agent comes to the node for the first time, in enforce mode. */
  agentComes(): Promise<void>;
  /** D's container runs; then the registry answers so, there is such a mirror, and the agent comes. */
  given(registry: RequestListener | undefined, mirror?: string): Promise<{ readonly ofD: string }>;
  /** The tenant starts a container from that image. */
  run(tenant: Tenant): Promise<StartedContainer>;
  /** What the agent says of a container, and why. */
  judged(id: string): Promise<string>;
  /** Ends the agent in order, and the container must not have been stopped by then. */
  left(id: string): Promise<void>;
  stop(): Promise<void>;
};

export type RegistryByName = {
  readonly name: string;
  /** The front speaks TLS with it. */
  readonly keyPair: KeyPair;
};

/**
 * Takes the runtime's events, as the agent of an earlier time would have. containerd keeps those that nobody
 * has taken for whoever subscribes next, and the agent would hear that D's container was created just now.
 */
function listenToEvents(endpoint: string) {
  const client = createCriClient({ socketPath: parseEndpoint(endpoint) });
  const started = new Set<string>();
  let hasEnded = false;
  const end = client.subscribe({
    onEvent: ({ type, containerId }) => {
      if (type === 'started') started.add(containerId);
    },
    onMalformed: () => undefined,
    // containerd 1.6 has none.
    onEnd: () => {
      hasEnded = true;
    },
  });
  return {
    async takenOf(id: string): Promise<void> {
      await vi.waitFor(() => expect(hasEnded || started.has(id)).toBe(true), 20_000);
      end();
      client.close();
    },
  };
}

/** @param named the registry's host as the images' names have it; that of the front unless it is given */
export async function openWordScene(
  containerd: ContainerdSeries,
  named?: RegistryByName,
): Promise<WordScene> {
  const scene = await openScene(containerd);
  const { htpasswd } = scene.node.registries;
  const front = await startFront(htpasswd.host, named?.keyPair);
  const name = named?.name ?? front.host;
  const server = named ? `server = "https://${name}"\nskip_verify = true\n` : `server = "http://${name}"\n`;
  let rows = 0;
  let image = '';

  async function writeHosts(mirror?: string): Promise<void> {
    const folder = join(scene.node.root, 'certs.d', name);
    await mkdir(folder, { recursive: true });
    const table = mirror === undefined ? '' : `[host."http://${mirror}"]\n`;
    await writeFile(join(folder, 'hosts.toml'), `${server}${table}`);
  }

  const run = (tenant: Tenant): Promise<StartedContainer> =>
    scene.run({ tenant, image, imagePullPolicy: 'IfNotPresent', registry: { ...htpasswd, host: name } });

  async function ranBefore(): Promise<string> {
    rows += 1;
    front.answer(undefined);
    await writeHosts();
    const repository = `team-a/row-${rows}`;
    await pushImage(htpasswd, repository, '1', { salt: `row ${rows}` });
    image = `${name}/${repository}:1`;
    await scene.node.kubelet.pullImage(image, scene.tenants.a.login);
    const events = listenToEvents(scene.node.endpoint);
    const { id } = await run(scene.tenants.d);
    await events.takenOf(id);
    return id;
  }

  async function agentComes(): Promise<void> {
    await scene.startAgent(
      ...['--mode', 'enforce', '--state-dir', join(scene.node.root, `state-${rows}`)],
      ...['--existing-images', 'verify', '--bytes', 'off', '--pull-timeout', '10s'],
    );
  }

  return {
    scene,
    front,
    run,
    ranBefore,
    agentComes,
    async given(registry, mirror) {
      const ofD = await ranBefore();
      front.answer(registry);
      await writeHosts(mirror);
      await agentComes();
      return { ofD };
    },
    async judged(id) {
      const { verdict, reason } = await scene.agent().verdictOf(id, 60_000);
      return `${verdict} ${reason}`;
    },
    async left(id) {
      await scene.agent().stop();
      expect(await scene.isRunning(id), scene.agent().log()).toBe(true);
    },
    async stop() {
      await front.close();
      await scene.stop();
    },
  };
}
