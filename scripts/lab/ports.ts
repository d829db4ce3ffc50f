import { once } from 'node:events';
import { createServer } from 'node:net';
import { LabError } from './errors.ts';

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/**
 * A loopback TCP port that is free now, below the range from which the kernel picks ports for connections, so
 * that it is still free when its registry is stopped and started again.
 * @throws {LabError} when none was found in 100 tries.
 */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    if (await isFree(port)) return port;
  }
  throw new LabError('found no free loopback port');
}
