import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { type CriClient, createCriClient } from '../../agent/runtime/cri-client.ts';
import { parseEndpoint } from '../../agent/runtime/endpoint.ts';
import { keepImageNames } from '../../agent/runtime/image-names.ts';
import type { PullOutcome, RegistryAuth } from '../../agent/runtime/runtime.ts';
import { always, type FaultServer, startFaultServer } from '../../scripts/lab/fault-server.ts';
import { buildImage, digestOf } from '../../scripts/lab/image.ts';
import { type LabNode, startNode } from '../../scripts/lab/node.ts';
import { freePort } from '../../scripts/lab/ports.ts';
import { containerdVersions } from '../../scripts/lab/programs.ts';
import { type PushedImage, pushImage } from '../../scripts/lab/push.ts';

const pod = { namespace: 'team-a', name: 'web', uid: 'uid-of-web', containers: [] };
const offers = await containerdVersions();

describe.each(offers.filter(({ available }) => available))(
  'containerd $containerd',
  { timeout: 120_000 },
  (offer) => {
    const servers: FaultServer[] = [];
    let node: LabNode;
    let client: CriClient;
    let pushed: PushedImage;
    let alice: RegistryAuth;
    let image: string;

    beforeAll(async () => {
      node = await startNode({ containerd: offer.containerd });
      client = createCriClient({ socketPath: parseEndpoint(node.endpoint) });
      const { htpasswd } = node.registries;
      pushed = await pushImage(htpasswd, 'team-a/app', '1', { salt: 'pieces' });
      alice = { username: 'alice', password: htpasswd.users.alice ?? '' };
      image = `${htpasswd.host}/team-a/app:1`;
    }, 120_000);
    afterAll(async () => {
      client?.close();
      await Promise.all(servers.map((server) => server.close()));
      await node?.stop();
    });

    const pull = (name: string, auth?: RegistryAuth) =>
      client.pullImage({ image: name, auth, timeoutMs: 30_000 });
    const wordOf = (outcome: PullOutcome) =>
      outcome.outcome === 'pulled' ? outcome.outcome : `${outcome.outcome} ${outcome.speaker}`;

    async function piecesOf(imageId: string) {
      const { pieces } = await client.imagePieces(imageId);
      if (pieces === undefined) throw new Error(`${imageId} does not tell its pieces`);
      return pieces;
    }

    /** A registry that is asked through a mirror first; gives the name of an image in it. */
    async function mirrored(mirror: string, registry: string): Promise<string> {
      // A name of its own for each pair, because containerd keeps nothing between pulls but what the name
      // says.
      const name = `127.0.0.1:${await freePort()}`;
      await mkdir(join(node.root, 'certs.d', name), { recursive: true });
      await writeFile(
        join(node.root, 'certs.d', name, 'hosts.toml'),
        `server = "http://${registry}"\n[host."http://${mirror}"]\n  capabilities = ["pull", "resolve"]\n`,
      );
      return `${name}/team-a/app:1`;
    }

    async function answering(status: number): Promise<string> {
      const server = await startFaultServer(always(status, 'DENIED'));
      servers.push(server);
      return server.host;
    }

    it('takes a pull for a pod and names what it is made of', async () => {
      const sandboxId = await node.kubelet.runSandbox(pod);
      const sandbox = await client.sandbox(sandboxId);
      expect(sandbox).toMatchObject({
        metadata: { name: 'web', uid: 'uid-of-web', namespace: 'team-a', attempt: 0 },
        labels: { 'io.kubernetes.pod.name': 'web' },
        configSource: 'api',
      });
      const outcome = await client.pullImage({
        image,
        auth: alice,
        sandbox,
        runtimeHandler: sandbox?.runtimeHandler,
        timeoutMs: 30_000,
      });
      expect(outcome).toEqual({ outcome: 'pulled', imageRef: pushed.configDigest });
      const { config, layer } = await buildImage('pieces', 'pieces');
      expect(config.digest).toBe(pushed.configDigest);
      const { pieces } = await client.imagePieces(pushed.configDigest);
      expect(pieces?.config).toBe(pushed.configDigest);
      expect(pieces?.layers).toHaveLength(1);
      // The layer's own digest is that of the compressed one.
      expect(pieces?.layers[0]).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(pieces?.layers[0]).not.toBe(layer.digest);
      expect(JSON.parse(config.content.toString()).rootfs.diff_ids).toEqual(pieces?.layers);
      await node.kubelet.removePod(sandboxId);
      expect(await client.sandbox(sandboxId)).toBeUndefined();
    });

    it('says when a name has come to mean other content, so that it need not be asked each time', async () => {
      const { htpasswd } = node.registries;
      const name = `${htpasswd.host}/team-a/names:1`;
      const other = `${htpasswd.host}/team-a/names:other`;
      await pushImage(htpasswd, 'team-a/names', '1', { salt: 'first' });
      await pushImage(htpasswd, 'team-a/names', 'other', { salt: 'other' });
      for (const image of [name, other]) await pull(image, alice);
      let asked = 0;
      const names = keepImageNames({
        runtime: {
          subscribeToImages: client.subscribeToImages,
          imageStatus(image) {
            asked += 1;
            return client.imageStatus(image);
          },
        },
        onChange: () => undefined,
        timing: { settleMs: 500, keepMs: 3_600_000 },
      });
      const content = async () => (await names.imageStatus(name))?.id;
      const isKept = () =>
        vi.waitFor(async () => {
          await content();
          const before = asked;
          await content();
          expect(asked).toBe(before);
        }, 20_000);
      try {
        await isKept();
        await node.tagImage(other, name);
        const tagged = (await client.imageStatus(other))?.id;
        await vi.waitFor(async () => expect(await content()).toBe(tagged), 20_000);
        await isKept();
        const pushedAnew = await pushImage(htpasswd, 'team-a/names', '1', { salt: 'second' });
        await pull(name, alice);
        await vi.waitFor(async () => expect(await content()).toBe(pushedAnew.configDigest), 20_000);
      } finally {
        names.close();
      }
    });

    it('tells whose pulls had the pieces of an image in their hands, of one and of all content', async () => {
      const repository = image.slice(0, image.lastIndexOf(':')).replace(/:\d+/, '');
      const { config, layers } = await piecesOf(pushed.configDigest);
      const layerBlob = (await buildImage('pieces', 'pieces')).layer.digest;
      const absent = Array.from({ length: 101 }, (_, n) => `sha256:${n.toString(16).padStart(64, '0')}`);
      for (const others of [[], absent]) {
        const blobs = await client.blobsOfPieces([config, ...layers, ...others]);
        expect([...(blobs ?? [])].sort()).toEqual(
          [
            [config, [{ digest: config, pulledFor: [repository] }]],
            ...layers.map((of) => [of, [{ digest: layerBlob, pulledFor: [repository] }]]),
          ].sort(),
        );
      }
      const { anonymous } = node.registries;
      await pushImage(anonymous, 'copied/app', '1', { salt: 'pieces' });
      expect(wordOf(await pull(`${anonymous.host}/copied/app:1`))).toBe('pulled');
      const blobs = await client.blobsOfPieces([config, ...layers]);
      const [kept] = blobs?.get(config) ?? [];
      expect([...(kept?.pulledFor ?? [])].sort()).toEqual(['127.0.0.1/copied/app', repository]);
      // The unpacked layer was there, so that the second pull never touched the blob.
      for (const layer of layers)
        expect(blobs?.get(layer)).toEqual([{ digest: layerBlob, pulledFor: [repository] }]);
    });

    it('gives out a blob by its digest, whole or not at all', async () => {
      const manifest = await client.blob(pushed.manifestDigest, 2 ** 20);
      expect(digestOf(manifest ?? Buffer.alloc(0))).toBe(pushed.manifestDigest);
      const size = manifest?.byteLength ?? 0;
      expect(await client.blob(pushed.manifestDigest, size)).toEqual(manifest);
      expect(await client.blob(pushed.manifestDigest, size - 1)).toBeUndefined();
      expect(await client.blob(`sha256:${'0'.repeat(64)}`, size)).toBeUndefined();
    });

    it('has no pieces of what is not there, nor of a name', async () => {
      expect(await client.imagePieces(`sha256:${'0'.repeat(64)}`)).toEqual({
        pieces: undefined,
        reason: 'imageAbsent',
      });
      expect(await client.imagePieces(image)).toEqual({ pieces: undefined, reason: 'imageAbsent' });
    });

    it('names the registry where it refused a wrong password, and nobody where there was none', async () => {
      expect(wordOf(await pull(image, { username: 'alice', password: 'wrong' }))).toBe('refused registry');
      expect(wordOf(await pull(image))).toMatch(/^refused (?:registry|unstated)$/);
    });

    it('never has a mirror that refuses for the registry that is down', async () => {
      const down = `127.0.0.1:${await freePort()}`;
      for (const status of [401, 403, 404]) {
        const word = wordOf(await pull(await mirrored(await answering(status), down), alice));
        expect([status, word]).not.toEqual([status, expect.stringMatching(/registry|pulled/)]);
      }
    });

    it('never has an answer of a mirror that fails for a refusal', async () => {
      const { host } = node.registries.htpasswd;
      const word = wordOf(
        await pull(await mirrored(await answering(500), host), { username: 'alice', password: 'no' }),
      );
      expect(word).not.toMatch(/^pulled|registry$/);
    });

    it('says that a registry forbids content to everybody', async () => {
      for (const status of [412, 451]) {
        const host = await answering(status);
        await node.addRegistry(host);
        expect(wordOf(await pull(`${host}/team-a/app:1`, alice))).toBe('forbiddenByPolicy registry');
      }
    });

    it('says that what answers with a page is no registry', async () => {
      const page = await startFaultServer((_, response) => {
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>');
      });
      servers.push(page);
      await node.addRegistry(page.host);
      expect(wordOf(await pull(`${page.host}/team-a/app:1`, alice))).toBe('unavailable unstated');
    });
  },
);
