import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { byDigest, clientFor, fakeTcp, manifest, plainHttp } from './scene.ts';

const ANSWER =
  'HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json\r\n' +
  `content-length: ${manifest.length}\r\n\r\n`;

/** Answers the first question on each connection, and breaks off at the second. */
async function forgetful() {
  const connections: Socket[] = [];
  const host = await fakeTcp((socket) => {
    connections.push(socket);
    socket.once('data', () => {
      socket.write(Buffer.concat([Buffer.from(ANSWER), manifest]));
      socket.once('data', () => socket.resetAndDestroy());
    });
  });
  return { host, connections };
}

it('a connection that was kept and turns out to be closed is replaced by another', async () => {
  const { host, connections } = await forgetful();
  const client = await clientFor(plainHttp(host));
  const answers = [await client.manifest(byDigest(host)), await client.manifest(byDigest(host))];
  expect(answers.map(({ answer }) => answer)).toEqual(['granted', 'granted']);
  expect(connections).toHaveLength(2);
});
