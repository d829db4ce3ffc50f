import { accessSync, constants, type Stats, statSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { EndpointError } from '../errors.ts';

/**
 * Where runtimes put their CRI socket, in the order they are tried; a runtime's other spelling stands
 * behind its first.
 */
export const RUNTIME_SOCKETS: readonly string[] = [
  '/run/containerd/containerd.sock',
  // k3s and RKE2
  '/run/k3s/containerd/containerd.sock',
  '/run/k0s/containerd.sock',
  // MicroK8s
  '/var/snap/microk8s/common/run/containerd.sock',
  '/var/run/crio/crio.sock',
  '/run/crio/crio.sock',
  '/var/run/cri-dockerd.sock',
  '/run/cri-dockerd.sock',
];

/** sockaddr_un.sun_path holds 108 bytes with its closing zero (unix(7)). */
const MAX_SOCKET_PATH_BYTES = 107;

/**
 * The path of a CRI endpoint as kubelet and crictl take it: `unix:///run/x.sock`, gRPC's other spelling
 * `unix:/run/x.sock`, or the bare path.
 *
 * @throws EndpointError `invalid`
 */
export function parseEndpoint(endpoint: string): string {
  const path = endpoint.replace(/^unix:(?:\/\/(?=\/)|(?=\/(?!\/)))/, '');
  if (!isAbsolute(path) || /\p{Cc}/u.test(path)) {
    throw new EndpointError(
      'invalid',
      `the runtime endpoint must be unix:///path or /path, got ${JSON.stringify(endpoint.slice(0, 200))}`,
    );
  }
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new EndpointError('invalid', `the path of a socket has at most ${MAX_SOCKET_PATH_BYTES} bytes`);
  }
  return path;
}

/**
 * The socket to talk to: the endpoint that was asked for, else the first candidate that exists. One that
 * exists but cannot be used ends the search: going on could find the socket of a runtime that kubelet does
 * not use. `access` throws where a path may not be opened, as access(2) says.
 *
 * @throws EndpointError
 */
export function findRuntimeSocket(
  endpoint: string | undefined,
  candidates: readonly string[] = RUNTIME_SOCKETS,
  access: (path: string, mode: number) => void = accessSync,
): string {
  const paths = endpoint === undefined ? candidates : [parseEndpoint(endpoint)];
  const found = paths.find((path) => isUsableSocket(path, access));
  if (found !== undefined) return found;
  throw new EndpointError('notFound', `no container runtime socket at ${paths.join(', ')}`);
}

/** False where there is nothing at that path. */
function isUsableSocket(path: string, access: (path: string, mode: number) => void): boolean {
  const stats = statOf(path);
  if (stats === undefined) return false;
  if (!stats.isSocket()) throw new EndpointError('notASocket', `${path} is not a socket`);
  try {
    access(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    throw new EndpointError('permissionDenied', `${path} may not be opened by this user`, { cause: error });
  }
  return true;
}

function statOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw new EndpointError('permissionDenied', `${path} may not be looked at by this user`, {
      cause: error,
    });
  }
}
