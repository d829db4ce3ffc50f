import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EndpointError } from '../../agent/errors.ts';
import { findRuntimeSocket, parseEndpoint, RUNTIME_SOCKETS } from '../../agent/runtime/endpoint.ts';

let folder: string;
const servers: Server[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'endpoint-'));
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))));
  rmSync(folder, { recursive: true });
});

async function socketAt(name: string): Promise<string> {
  const path = join(folder, name);
  const server = createServer();
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}

function reasonOf(find: () => unknown): [string, string] {
  try {
    find();
  } catch (error) {
    if (error instanceof EndpointError) return [error.reason, error.message];
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('finding the runtime socket', () => {
  it("looks for containerd, then k3s', k0s' and MicroK8s' own, then CRI-O, then cri-dockerd", () => {
    const order = ['run/containerd/', 'k3s', 'k0s', 'microk8s', 'crio', 'crio', 'cri-dockerd', 'cri-dockerd'];
    expect(RUNTIME_SOCKETS.map((path, at) => path.includes(order[at] ?? '?'))).not.toContain(false);
    expect(RUNTIME_SOCKETS).toHaveLength(order.length);
  });

  it('takes the first candidate that exists', async () => {
    const second = await socketAt('second.sock');
    const third = await socketAt('third.sock');
    expect(findRuntimeSocket(undefined, [join(folder, 'first.sock'), second, third])).toBe(second);
  });

  it('takes the endpoint that was asked for, as a URL of either spelling and as a path, before any candidate', async () => {
    const asked = await socketAt('asked.sock');
    const other = await socketAt('other.sock');
    expect(findRuntimeSocket(`unix://${asked}`, [other])).toBe(asked);
    expect(findRuntimeSocket(`unix:${asked}`, [other])).toBe(asked);
    expect(findRuntimeSocket(asked, [other])).toBe(asked);
  });

  it('says where it looked when there is none', () => {
    const places = [join(folder, 'a.sock'), join(folder, 'b.sock')];
    const [reason, message] = reasonOf(() => findRuntimeSocket(undefined, places));
    expect(reason).toBe('notFound');
    for (const place of places) expect(message).toContain(place);
  });

  it('refuses a file that is no socket instead of trying the next candidate', async () => {
    const file = join(folder, 'file.sock');
    writeFileSync(file, '');
    const socket = await socketAt('real.sock');
    expect(reasonOf(() => findRuntimeSocket(undefined, [file, socket]))[0]).toBe('notASocket');
  });

  it('tells a socket that may not be opened from one that is missing', async () => {
    const socket = await socketAt('shut.sock');
    // Root, as whom tests may run, is refused nothing: the answer of access(2) is played.
    const refuse = () => {
      throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
    };
    expect(reasonOf(() => findRuntimeSocket(socket, [], refuse))[0]).toBe('permissionDenied');
  });

  it.each([
    '',
    'run/x.sock',
    'tcp://127.0.0.1:2375',
    'npipe:////./pipe/x',
    'unix://x.sock',
    'unix:x.sock',
    '/run/\0x',
    `/${'x'.repeat(107)}`,
  ])('refuses the endpoint %j', (endpoint) => {
    expect(reasonOf(() => parseEndpoint(endpoint))[0]).toBe('invalid');
  });
});
