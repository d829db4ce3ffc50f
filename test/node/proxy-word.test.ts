import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeKeyPair } from '../../scripts/lab/signing.ts';
import { startFront } from './front.ts';
import { offers } from './scene.ts';
import { openWordScene, type Row, type WordScene } from './word-scene.ts';

/** Statuses that the proxy answers CONNECT with, 200 letting through; each to a registry of a name that does not exist. */
const STATUSES = [200, 407, 403, 502, 504] as const;
const nameFor = (status: number) => `behind-${status}.test`;

/** An HTTP proxy for CONNECT: leads names to where they are, or answers with a status instead. */
async function startProxy() {
  const ways = new Map<string, { target: string; status: number }>();
  const server = createServer();
  server.on('connect', ({ url = '' }, client, head) => {
    client.on('error', () => undefined);
    const way = ways.get(url.replace(/:443$/, ''));
    if (way?.status !== 200) {
      client.end(`HTTP/1.1 ${way?.status ?? 502} No\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    const [host = '', port = ''] = way.target.split(':');
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
  return { ways, url: `http://127.0.0.1:${port}`, close: () => void server.close() };
}

for (const { containerd, available, reason } of offers) {
  const title = `a proxy before the registry, on containerd ${containerd}${available ? '' : ` (cannot be had here: ${reason})`}`;
  describe.skipIf(!available)(title, { timeout: 60_000 }, () => {
    let word: WordScene;
    let proxy: Awaited<ReturnType<typeof startProxy>>;
    let folder: string;
    const rows = new Map<number, Row>();
    const before = process.env.HTTPS_PROXY;
    const row = (status: number): Row => {
      const found = rows.get(status);
      if (found === undefined) throw new Error(`no row for ${status}`);
      return found;
    };

    beforeAll(async () => {
      proxy = await startProxy();
      // As on nodes, where the runtime's service and the agent are given the same proxy.
      process.env.HTTPS_PROXY = proxy.url;
      folder = await mkdtemp(join(tmpdir(), 'pullwarden-proxy-'));
      const keyPair = await makeKeyPair(folder, 'proxy');
      word = await openWordScene(containerd);
      for (const status of STATUSES) {
        const name = nameFor(status);
        const start: typeof startFront = async (target, pair) => {
          const front = await startFront(target, pair);
          proxy.ways.set(name, { target: front.host, status: 200 });
          return front;
        };
        rows.set(status, await word.row({ name, keyPair, start }));
      }
      for (const status of STATUSES) {
        proxy.ways.set(nameFor(status), { target: row(status).front.host, status });
      }
      await word.agentComes();
    }, 180_000);

    afterAll(async () => {
      if (before === undefined) delete process.env.HTTPS_PROXY;
      else process.env.HTTPS_PROXY = before;
      await word?.stop();
      proxy.close();
      await rm(folder, { recursive: true });
    }, 60_000);

    it('that lets everything through changes nothing: D is granted, C denied', async () => {
      expect(await word.judged(row(200).ofD)).toBe('allowed repullSucceeded');
      expect(await word.run(row(200), word.scene.tenants.c)).toBe('denied registryRefused');
    });

    it.each(STATUSES.filter((status) => status !== 200))(
      'that answers CONNECT with %i is an outage, also for who comes new',
      async (status) => {
        expect(await word.judged(row(status).ofD)).toBe('unverifiable registryUnavailable');
        expect(await word.run(row(status), word.scene.tenants.c)).toBe('unverifiable registryUnavailable');
      },
    );

    it('and of what ran before, nothing was stopped', async () => {
      await word.left([...rows.values()]);
    });
  });
}
