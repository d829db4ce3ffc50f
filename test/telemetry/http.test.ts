import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { ListenError } from '../../agent/errors.ts';
import type { ReadinessCheck } from '../../agent/telemetry/health.ts';
import { serveTelemetry, type TelemetryServer } from '../../agent/telemetry/http.ts';

const running: TelemetryServer[] = [];

async function serve(
  options: { checks?: ReadinessCheck[]; render?: () => Promise<string>; clientTimeoutMs?: number } = {},
): Promise<{ server: TelemetryServer; host: string; port: number; url: (path: string) => string }> {
  const server = await serveTelemetry({
    listen: { host: '127.0.0.1', port: 0 },
    metrics: {
      contentType: 'text/plain; version=0.0.4; charset=utf-8',
      render: options.render ?? (async () => 'pullwarden_up 1\n'),
    },
    checks: options.checks ?? [],
    ...(options.clientTimeoutMs === undefined ? {} : { clientTimeoutMs: options.clientTimeoutMs }),
  });
  running.push(server);
  const port = Number(server.address.split(':')[1]);
  return { server, host: '127.0.0.1', port, url: (path) => `http://${server.address}${path}` };
}

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close().catch(() => undefined)));
});

describe('the telemetry server', () => {
  it('says where it listens when any free port was asked for', async () => {
    const { server, port } = await serve();
    expect(server.address).toBe(`127.0.0.1:${port}`);
    expect(port).toBeGreaterThan(0);
  });

  it('serves metrics with the content type Prometheus expects', async () => {
    const { url } = await serve();
    const response = await fetch(url('/metrics'));
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect(await response.text()).toBe('pullwarden_up 1\n');
  });

  it('is healthy as long as it answers, whatever is not ready', async () => {
    const { url } = await serve({ checks: [{ name: 'runtime', problem: () => 'away' }] });
    const response = await fetch(url('/livez'));
    expect([response.status, await response.text()]).toEqual([200, 'ok\n']);
  });

  it('answers HEAD without a body, 404 elsewhere and 405 to other methods', async () => {
    const { url } = await serve();
    const head = await fetch(url('/metrics'), { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '16', '']);
    expect((await fetch(url('/'))).status).toBe(404);
    expect((await fetch(url('/metrics/..%2f'))).status).toBe(404);
    const post = await fetch(url('/metrics'), { method: 'POST', body: 'x' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
  });

  it('answers 500 without the cause when metrics fail, and goes on', async () => {
    const render = async () => {
      throw new Error('secret detail');
    };
    const { url } = await serve({ render });
    const response = await fetch(url('/metrics'));
    expect([response.status, await response.text()]).toEqual([500, 'internal error\n']);
    expect((await fetch(url('/healthz'))).status).toBe(200);
  });
});

describe('/readyz', () => {
  const checks: ReadinessCheck[] = [
    { name: 'runtime', problem: () => undefined },
    { name: 'pods', problem: () => 'directory\nis away' },
  ];

  it('is ok when every part is', async () => {
    const { url } = await serve({ checks: checks.slice(0, 1) });
    const response = await fetch(url('/readyz'));
    expect([response.status, await response.text()]).toEqual([200, 'ok\n']);
  });

  it('gives one line for each part that is not ready', async () => {
    const { url } = await serve({ checks });
    const response = await fetch(url('/readyz'));
    expect([response.status, await response.text()]).toEqual([503, 'pods: directory\\nis away\n']);
  });

  it("lists all parts with ?verbose, as Kubernetes' own health endpoints do", async () => {
    const { url } = await serve({ checks });
    const response = await fetch(url('/readyz?verbose'));
    expect(response.status).toBe(503);
    expect(await response.text()).toBe(
      '[+]runtime ok\n[-]pods failed: directory\\nis away\nreadyz check failed\n',
    );
  });

  it('takes a check that throws for not ready', async () => {
    const broken: ReadinessCheck = {
      name: 'store',
      problem: () => {
        throw new Error('closed');
      },
    };
    const { url } = await serve({ checks: [broken] });
    const response = await fetch(url('/readyz'));
    expect([response.status, await response.text()]).toEqual([503, 'store: unknown: closed\n']);
  });
});

describe('clients that mean no good', () => {
  it('are cut off when their headers do not come to an end', async () => {
    const { host, port, url } = await serve({ clientTimeoutMs: 200 });
    const slow = connect(port, host);
    slow.on('error', () => {});
    slow.write('GET /metrics HTTP/1.1\r\nHost: x\r\n');
    const dripping = setInterval(() => slow.write('X-A: b\r\n'), 50);
    slow.resume();
    await once(slow, 'close');
    clearInterval(dripping);
    expect((await fetch(url('/healthz'))).status).toBe(200);
  });

  it('are refused with more than 8 KiB of headers', async () => {
    const { url } = await serve();
    const response = await fetch(url('/metrics'), { headers: { 'x-long': 'a'.repeat(10_000) } });
    expect(response.status).toBe(431);
  });

  it('are not listened to when they send a body', async () => {
    const { host, port } = await serve();
    const client = connect(port, host);
    client.on('error', () => {});
    const chunks: string[] = [];
    client.on('data', (chunk) => chunks.push(String(chunk)));
    client.write('GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nsome');
    await once(client, 'close');
    expect(chunks.join('')).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('cannot hold more than 64 connections', async () => {
    const { host, port } = await serve();
    const clients = Array.from({ length: 80 }, () => connect(port, host));
    for (const client of clients) client.on('error', () => {}).resume();
    await Promise.all(
      clients.map((client) => Promise.race([once(client, 'connect'), once(client, 'close')])),
    );
    while (clients.filter((client) => client.closed).length < 16) await sleep(5);
    expect(clients.filter((client) => !client.closed)).toHaveLength(64);
    for (const client of clients) client.destroy();
  });
});

describe('ending', () => {
  it('does not wait for connections that are open', async () => {
    const { server, host, port, url } = await serve();
    const idle = connect(port, host).on('error', () => {});
    await once(idle, 'connect');
    await server.close();
    await expect(fetch(url('/healthz'))).rejects.toThrow();
    idle.destroy();
  });

  it('says why it cannot listen', async () => {
    const { port } = await serve();
    const again = serveTelemetry({
      listen: { host: '127.0.0.1', port },
      metrics: { contentType: '', render: async () => '' },
      checks: [],
    });
    await expect(again).rejects.toThrow(ListenError);
    await expect(again).rejects.toMatchObject({ reason: 'addressInUse' });
  });
});
