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

/**
 * A node on which each row of a test has a registry of its own, behind a front. D has a good secret, and its
 * containers run before the agent comes to the node for the first time, in enforce mode; B has no secret, C
 * one with a wrong password, and theirs are new.
 */
export type WordScene = {
  readonly scene: Scene;
  /** D's container of an image of this row's registry runs; the registry answers as it should until then. */
  row(tls?: RegistryOverTls): Promise<Row>;
  agentComes(): Promise<void>;
  /** What the agent says of a container, and why. */
  judged(id: string): Promise<string>;
  /** The tenant starts a container of the row's image: what the agent says. It must not run if that is no grant. */
  run(row: Row, tenant: Tenant): Promise<string>;
  /** Ends the agent in order; what ran before must not have been stopped by then. */
  left(rows: readonly Row[]): Promise<void>;
  stop(): Promise<void>;
};

export type Row = {
  readonly image: string;
  readonly front: Front;
  readonly ofD: string;
  /** Puts a mirror (`127.0.0.1:PORT`) before the registry. */
  mirrorBy(mirror: string): Promise<void>;
  /** What the registry answers from now on. */
  answers(listener: RequestListener): void;
};

export type RegistryOverTls = {
  /** The registry's host as the images' names have it; that of the front unless it is given. */
  readonly name?: string;
  /** The front speaks TLS with it. */
  readonly keyPair: KeyPair;
  readonly start?: (target: string, keyPair: KeyPair) => Promise<Front>;
};

/**
 * Takes the runtime's events, as the agent of an earlier time would have. containerd keeps those that nobody
 * has taken for whoever subscribes next, and the agent would hear that D's containers were created just now.
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
    async takenOf(ids: readonly string[]): Promise<void> {
      await vi.waitFor(() => expect(hasEnded || ids.every((id) => started.has(id))).toBe(true), 20_000);
      end();
      client.close();
    },
  };
}

export async function openWordScene(containerd: ContainerdSeries): Promise<WordScene> {
  const scene = await openScene(containerd);
  const { htpasswd } = scene.node.registries;
  const events = listenToEvents(scene.node.endpoint);
  const rows: Row[] = [];
  let begun = 0;

  /** In a namespace of its own for each image: a tenant's secret is for one registry. */
  const runPod = (tenant: Tenant, image: string): Promise<StartedContainer> => {
    const [host = '', , path = ''] = image.split('/');
    const namespace = `${tenant.namespace}-${path.slice(0, path.indexOf(':'))}`;
    return scene.run({
      tenant: { ...tenant, namespace },
      image,
      imagePullPolicy: 'IfNotPresent',
      registry: { ...htpasswd, host },
    });
  };

  /** As on real nodes, the registry has a section of its own, behind that of its mirror. */
  async function writeHosts(name: string, scheme: 'http' | 'https', mirror?: string): Promise<void> {
    const folder = join(scene.node.root, 'certs.d', name);
    await mkdir(folder, { recursive: true });
    const mirrored =
      mirror === undefined ? '' : `[host."http://${mirror}"]\n  capabilities = ["pull", "resolve"]\n`;
    const itself = `[host."${scheme}://${name}"]\n  capabilities = ["pull", "resolve"]\n  skip_verify = true\n`;
    await writeFile(join(folder, 'hosts.toml'), `server = "${scheme}://${name}"\n${mirrored}${itself}`);
  }

  async function judged(id: string): Promise<string> {
    const { verdict, reason } = await scene.agent().verdictOf(id, 60_000);
    return `${verdict} ${reason}`;
  }

  return {
    scene,
    judged,
    async row(tls) {
      begun += 1;
      const repository = `team-a/row-${begun}`;
      const salt = `row ${begun}`;
      const start = tls?.start ?? startFront;
      const front = tls ? await start(htpasswd.host, tls.keyPair) : await startFront(htpasswd.host);
      const name = tls?.name ?? front.host;
      const scheme = tls ? 'https' : 'http';
      const image = `${name}/${repository}:1`;
      await writeHosts(name, scheme);
      await pushImage(htpasswd, repository, '1', { salt });
      const { id: ofD } = await runPod(scene.tenants.d, image);
      const row: Row = {
        image,
        front,
        ofD,
        mirrorBy: (mirror) => writeHosts(name, scheme, mirror),
        answers: front.answer,
      };
      rows.push(row);
      return row;
    },
    async agentComes() {
      await events.takenOf(rows.map(({ ofD }) => ofD));
      await scene.startAgent(
        ...['--mode', 'enforce', '--existing-images', 'verify', '--bytes', 'off'],
        ...['--pull-timeout', '10s', '--fuse-count', '100000'],
      );
    },
    async run({ image }, tenant) {
      const { id } = await runPod(tenant, image);
      const said = await judged(id);
      if (!said.startsWith('allowed')) await scene.ended(id);
      return said;
    },
    async left(those) {
      await scene.agent().stop();
      for (const { image, ofD } of those) {
        expect(await scene.isRunning(ofD), `${image}\n${scene.agent().log()}`).toBe(true);
      }
    },
    async stop() {
      await Promise.all(rows.map(({ front }) => front.close()));
      await scene.stop();
    },
  };
}
