import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeKeyPair } from '../../scripts/lab/signing.ts';
import { offers } from './scene.ts';
import { openWordScene, type WordScene } from './word-scene.ts';

/** Reached through the proxy alone: no such name exists. */
const REGISTRY = 'registry.test';

/** An HTTP proxy for CONNECT, which leads to one place, or answers with a status instead. */
async function startProxy() {
  const state = { target: '', status: 200 };
  const server = createServer();
  server.on('connect', (_request, client, head) => {
    client.on('error', () => undefined);
    if (state.status !== 200) {
      client.end(`HTTP/1.1 ${state.status} No\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const [host = '', port = ''] = state.target.split(':');
    const onward = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.write(head);
      client.pipe(onward).pipe(client);
    });
    onward.on('error', () => client.destroy());
    client.on('close', () => onward.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return { state, url: `http://127.0.0.1:${port}`, close: () => void server.close() };
}

for (const { containerd, available, reason } of offers) {
  const title = `a proxy before the registry, on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 120_000 }, () => {
    let word: WordScene;
    let proxy: Awaited<ReturnType<typeof startProxy>>;
    let folder: string;
    const before = process.env.HTTPS_PROXY;

    beforeAll(async () => {
      proxy = await startProxy();
      // As on nodes, where the runtime's service and the agent are given the same proxy.
      process.env.HTTPS_PROXY = proxy.url;
      folder = await mkdtemp(join(tmpdir(), 'pullwarden-proxy-'));
      word = await openWordScene(containerd, { name: REGISTRY, keyPair: await makeKeyPair(folder, 'proxy') });
      proxy.state.target = word.front.host;
    }, 180_000);

    afterAll(async () => {
      if (before === undefined) delete process.env.HTTPS_PROXY;
      else process.env.HTTPS_PROXY = before;
      await word.stop();
      proxy.close();
      await rm(folder, { recursive: true });
    }, 60_000);

    it('that lets everything through changes nothing: D is granted, C denied', async () => {
      const ofD = await word.ranBefore();
      await word.agentComes();
      expect(await word.judged(ofD)).toBe('allowed repullSucceeded');
      const ofC = await word.run(word.scene.tenants.c);
      expect(await word.judged(ofC.id)).toBe('denied registryRefused');
      await word.left(ofD);
    });

    it.each([407, 403, 502, 504])(
      'that answers CONNECT with %i is an outage, and what ran runs on',
      async (status) => {
        proxy.state.status = 200;
        const ofD = await word.ranBefore();
        proxy.state.status = status;
        await word.agentComes();
        expect(await word.judged(ofD)).toBe('unverifiable registryUnavailable');
        const ofC = await word.run(word.scene.tenants.c);
        expect(await word.judged(ofC.id)).toBe('unverifiable registryUnavailable');
        await word.scene.ended(ofC.id);
        await word.left(ofD);
      },
    );
  });
}
