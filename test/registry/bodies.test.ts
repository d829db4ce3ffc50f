import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  byDigest,
  clientFor,
  fake,
  fakeTcp,
  grants,
  manifest,
  plainHttp,
  says,
  shortLimits,
  unavailable,
} from './scene.ts';
import { endlessly, everyMs, megabyte, ok } from './socket-scene.ts';

const granted = { answer: 'granted' };

/** Waits for the request, then writes this; and ends the connection, or does not. */
function raw(text: string | Buffer, end = true): (socket: Socket) => void {
  return (socket) => {
    socket.once('data', () => {
      if (end) socket.end(text);
      else socket.write(text);
    });
  };
}

const length = `content-length: ${manifest.length}\r\n`;
const body = manifest.toString();
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;

type Row = {
  name: string;
  registry: (socket: Socket) => void;
  expected: object;
  /** Of the body; at most. */
  bytes?: number;
};

const rows: Row[] = [
  { name: 'HTTP/1.0', registry: raw(`HTTP/1.0 200 OK\r\n\r\n${body}`), expected: granted },
  {
    name: 'no length, ended by the end of the connection',
    registry: raw(`${ok}connection: close\r\n\r\n${body}`),
    expected: granted,
  },
  {
    name: 'chunks',
    registry: raw(
      `${ok}transfer-encoding: chunked\r\n\r\n${chunk(body.slice(0, 9))}${chunk(body.slice(9))}0\r\n\r\n`,
    ),
    expected: granted,
  },
  {
    name: 'chunks with a trailer',
    registry: raw(`${ok}transfer-encoding: chunked\r\ntrailer: x\r\n\r\n${chunk(body)}0\r\nx: y\r\n\r\n`),
    expected: granted,
  },
  {
    name: 'an early hint before the answer',
    registry: raw(`HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n${ok}${length}\r\n${body}`),
    expected: granted,
  },
  {
    name: 'a length that is too long',
    registry: raw(`${ok}content-length: 100000\r\n\r\n${body}`),
    expected: unavailable('disconnected'),
  },
  {
    name: 'a length that is too short',
    registry: raw(`${ok}content-length: 10\r\n\r\n${body}`),
    expected: unavailable('digestMismatch'),
    bytes: 10,
  },
  {
    name: 'a length of nothing',
    registry: raw(`${ok}content-length: 0\r\n\r\n${body}`),
    expected: unavailable('digestMismatch'),
    bytes: 0,
  },
  {
    name: 'a length that is none',
    registry: raw(`${ok}content-length: many\r\n\r\n${body}`),
    expected: unavailable('notHttp'),
  },
  {
    name: 'two lengths',
    registry: raw(`${ok}content-length: 1\r\ncontent-length: 2\r\n\r\n${body}`),
    expected: unavailable('notHttp'),
  },
  {
    name: 'length and chunks',
    registry: raw(`${ok}${length}transfer-encoding: chunked\r\n\r\n${chunk(body)}0\r\n\r\n`),
    expected: unavailable('notHttp'),
  },
  {
    name: 'a length of more than may be',
    registry: raw(`${ok}content-length: 9999999999\r\n\r\n${body}`, false),
    expected: unavailable('tooLarge'),
    bytes: 0,
  },
  {
    name: 'chunks that are none',
    registry: raw(`${ok}transfer-encoding: chunked\r\n\r\nzz\r\n${body}`),
    expected: unavailable('notHttp'),
  },
  {
    name: 'chunks that stop',
    registry: raw(`${ok}transfer-encoding: chunked\r\n\r\n${chunk(body)}`),
    expected: unavailable('disconnected'),
  },
  {
    name: 'a body without end',
    registry: (socket) => {
      socket.write(`${ok}\r\n`);
      endlessly(socket, megabyte);
    },
    expected: unavailable('tooLarge'),
    bytes: 9 * 2 ** 20,
  },
  {
    name: 'headers without end',
    registry: (socket) => {
      socket.write(ok);
      endlessly(socket, `x: ${'a'.repeat(1_000)}\r\n`);
    },
    expected: unavailable('tooLarge'),
  },
  {
    name: 'one header without end',
    registry: (socket) => {
      socket.write(`${ok}x: `);
      endlessly(socket, 'a'.repeat(1_000));
    },
    expected: unavailable('tooLarge'),
  },
  {
    name: 'an error without end',
    registry: (socket) => {
      socket.write('HTTP/1.1 403 Forbidden\r\n\r\n{"errors":[{"code":"');
      endlessly(socket, megabyte);
    },
    expected: unavailable('notDistribution'),
    bytes: 0,
  },
  {
    name: 'a body in drops',
    registry: (socket) => {
      socket.write(`${ok}${length}\r\n`);
      everyMs(socket, 100, '{');
    },
    expected: unavailable('timeout'),
    bytes: 100,
  },
  {
    name: 'a body that does not come',
    registry: raw(`${ok}${length}\r\n`, false),
    expected: unavailable('timeout'),
  },
  {
    name: 'headers in drops',
    registry: (socket) => {
      socket.write(ok);
      everyMs(socket, 100, 'x: y\r\n');
    },
    expected: unavailable('timeout'),
  },
  { name: 'no answer', registry: (socket) => void socket.resume(), expected: unavailable('timeout') },
  {
    name: 'an error in drops',
    registry: (socket) => {
      socket.write('HTTP/1.1 401 Unauthorized\r\n\r\n');
      everyMs(socket, 100, 'x');
    },
    expected: unavailable('notDistribution'),
  },
  {
    name: 'gzip that nobody asked for',
    registry: raw(
      Buffer.concat([
        Buffer.from(`${ok}content-encoding: gzip\r\nconnection: close\r\n\r\n`),
        gzipSync(manifest),
      ]),
    ),
    expected: unavailable('digestMismatch'),
  },
  {
    name: 'the right bytes under the name of gzip',
    registry: raw(`${ok}content-encoding: gzip\r\n${length}\r\n${body}`),
    expected: granted,
  },
  {
    name: 'a connection that ends at once',
    registry: (socket) => void socket.end(),
    expected: unavailable('disconnected'),
  },
  {
    name: 'a reset',
    registry: (socket) => void socket.once('data', () => socket.resetAndDestroy()),
    expected: unavailable('disconnected'),
  },
  {
    name: 'a reset after the headers',
    registry: (socket) => {
      socket.write(`${ok}${length}\r\n{`);
      socket.once('data', () => setImmediate(() => socket.resetAndDestroy()));
    },
    expected: unavailable('disconnected'),
  },
  { name: 'noise', registry: raw('\u0000\u0001\u0002 what?\r\n\r\n'), expected: unavailable('notHttp') },
  {
    name: 'SSH',
    registry: (socket) => void socket.write('SSH-2.0-OpenSSH_9.2\r\n'),
    expected: unavailable('notHttp'),
  },
  {
    name: 'HTTP/2',
    registry: raw(Buffer.from('000012040000000000000300000064', 'hex')),
    expected: unavailable('notHttp'),
  },
  { name: 'HTTP/0.9', registry: raw(body), expected: unavailable('notHttp') },
  {
    name: 'a status that is none',
    registry: raw('HTTP/1.1 2OO OK\r\n\r\n'),
    expected: unavailable('notHttp'),
  },
  {
    name: 'a status of four digits',
    registry: raw('HTTP/1.1 2000 OK\r\n\r\n'),
    expected: unavailable('notHttp'),
  },
  {
    name: 'a header with a zero byte',
    registry: raw(`${ok}x: a\u0000b\r\n${length}\r\n${body}`),
    expected: unavailable('notHttp'),
  },
  {
    name: 'a change of protocols',
    registry: raw('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    expected: unavailable('disconnected'),
  },
];

describe('how a registry sends it', () => {
  it.each(rows)('$name', async ({ registry, expected, bytes = manifest.length }) => {
    const host = await fakeTcp(registry);
    const client = await clientFor(plainHttp(host), { limits: shortLimits });
    const answer = await client.manifest(byDigest(host));
    expect(answer).toMatchObject({ ...expected, spent: { requests: 1 } });
    expect(answer.spent.bytes).toBeLessThanOrEqual(bytes);
  });

  it('as a manifest by tag that is too large to be parsed', async () => {
    const { host } = await fake(says(200, manifest.toString() + ' '.repeat(600_000)));
    const client = await clientFor(plainHttp(host));
    expect(await client.manifest(byDigest(host, { reference: 'v1' }))).toMatchObject(unavailable('tooLarge'));
  });

  it('over IPv6', async () => {
    const { host } = await fake(grants, { address: '::1' });
    const client = await clientFor(plainHttp(host));
    expect(await client.manifest(byDigest(host))).toMatchObject(granted);
  });

  it('and is asked no more when the question is given up', async () => {
    const asked = Promise.withResolvers<void>();
    const { host } = await fake(() => asked.resolve());
    const client = await clientFor(plainHttp(host));
    const controller = new AbortController();
    const answer = client.manifest(byDigest(host, { signal: controller.signal }));
    await asked.promise;
    controller.abort(new Error('no longer wanted'));
    expect(await answer).toMatchObject(unavailable('aborted'));
    expect(await client.manifest(byDigest(host, { signal: controller.signal }))).toMatchObject(
      unavailable('aborted'),
    );
  });

  it('and goes on to answer others after one that was cut off', async () => {
    let first = true;
    const { host } = await fake((request, response) => {
      if (!first) return grants(request, response);
      first = false;
      response.writeHead(200, { 'content-length': '5000' }).write('half');
      return setImmediate(() => response.destroy());
    });
    const client = await clientFor(plainHttp(host));
    expect(await client.manifest(byDigest(host))).toMatchObject(unavailable('disconnected'));
    expect(await client.manifest(byDigest(host))).toMatchObject(granted);
  });
});
