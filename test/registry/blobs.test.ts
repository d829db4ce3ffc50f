import { describe, expect, it } from 'vitest';
import { clientFor, digestOf, fake, fakeTcp, manifestDigest, plainHttp, says, unavailable } from './scene.ts';
import { endlessly, everyMs, megabyte, ok } from './socket-scene.ts';

describe('a blob', () => {
  const question = (
    host: string,
    digest: string,
  ): { registry: string; repository: string; digest: string } => ({
    registry: host,
    repository: 'team/app',
    digest,
  });
  const ignore = (): void => {};

  it('is streamed, and right only with the right digest', async () => {
    const { host, heard } = await fake(says(200, megabyte.toString()));
    const client = await clientFor(plainHttp(host));
    let size = 0;
    const right = await client.blob(question(host, digestOf(megabyte)), (piece) => {
      size += piece.byteLength;
    });
    expect(right).toMatchObject({
      answer: 'granted',
      size: megabyte.length,
      spent: { bytes: megabyte.length },
    });
    expect(size).toBe(megabyte.length);
    expect(heard[0]?.path).toBe(`/v2/team/app/blobs/${digestOf(megabyte)}`);
    expect(await client.blob(question(host, manifestDigest), ignore)).toMatchObject(
      unavailable('digestMismatch'),
    );
  });

  it('by SHA-512 as well', async () => {
    const { host } = await fake(says(200, 'a'));
    const client = await clientFor(plainHttp(host));
    const digest =
      'sha512:1f40fc92da241694750979ee6cf582f2d5d7d28e18335de05abc54d0560e0f5302860c652bf08d560252aa5e74210546f369fbbbce8c12cfc7957b2652fe9a75';
    expect(await client.blob(question(host, digest), ignore)).toMatchObject({ answer: 'granted', size: 1 });
  });

  it('of more bytes than asked for ends there', async () => {
    const host = await fakeTcp((socket) => {
      socket.write(`${ok}\r\n`);
      endlessly(socket, megabyte);
    });
    const client = await clientFor(plainHttp(host));
    let size = 0;
    const answer = await client.blob(
      { ...question(host, digestOf(megabyte)), maxBytes: 100_000 },
      (piece) => {
        size += piece.byteLength;
      },
    );
    expect(answer).toMatchObject(unavailable('tooLarge'));
    expect(size).toBeLessThanOrEqual(100_000);
  });

  it('that is too slow ends in time', async () => {
    const host = await fakeTcp((socket) => {
      socket.write(`${ok}\r\n`);
      everyMs(socket, 50, 'x');
    });
    const client = await clientFor(plainHttp(host));
    const answer = await client.blob({ ...question(host, digestOf(megabyte)), timeoutMs: 300 }, ignore);
    expect(answer).toMatchObject(unavailable('timeout'));
  });

  it('waits for its sink', async () => {
    let sent = 0;
    const host = await fakeTcp((socket) => {
      socket.write(`${ok}\r\n`);
      const more = (): void => {
        while (socket.writable && sent < 64 * 2 ** 20) {
          sent += megabyte.length;
          if (!socket.write(megabyte)) return;
        }
        socket.end();
      };
      socket.on('drain', more);
      more();
    });
    const client = await clientFor(plainHttp(host));
    const held = Promise.withResolvers<void>();
    const first = Promise.withResolvers<void>();
    const answer = client.blob({ ...question(host, digestOf(megabyte)), maxBytes: 2 ** 30 }, () => {
      first.resolve();
      return held.promise;
    });
    await first.promise;
    // Whatever fits into the buffers of both ends is sent; not all of it.
    let before = -1;
    while (before !== sent) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(sent).toBeLessThan(64 * 2 ** 20);
    held.resolve();
    expect(await answer).toMatchObject(unavailable('digestMismatch'));
    expect(sent).toBe(64 * 2 ** 20);
  });

  it('throws what its sink throws, and lets go of the connection', async () => {
    const { host } = await fake(says(200, megabyte.toString()));
    const client = await clientFor(plainHttp(host));
    const broken = new Error('no gzip');
    const answer = client.blob(question(host, digestOf(megabyte)), () => {
      throw broken;
    });
    await expect(answer).rejects.toBe(broken);
    expect(await client.blob(question(host, digestOf(megabyte)), ignore)).toMatchObject({
      answer: 'granted',
    });
  });
});
