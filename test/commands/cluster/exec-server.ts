import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';

/** What the agent's container on a node does when `kubectl exec` runs something in it. */
export type ExecAnswer =
  | { readonly stdout: string; readonly exitCode: number }
  /** The connection stays open and nothing comes, as from a node that is gone. */
  | { readonly is: 'hanging' }
  /** Kubelet does not find the container. */
  | { readonly is: 'not found' }
  /** Kubelet breaks the connection in the middle. */
  | { readonly is: 'broken off' }
  /** Writes as long as somebody reads. */
  | { readonly is: 'flooding' }
  /** `decisions --watch`: each line as the test says it; the program ends with its standard input. */
  | { readonly is: 'followed' };

export type ExecServer = {
  readonly kubeconfig: string;
  /** What was run in the pods, as `pod: words`. */
  readonly executed: readonly string[];
  /** How many programs run in the pods. */
  running(): number;
  /** Once so many programs run that are followed. */
  followed(count: number): Promise<void>;
  /** All programs that are followed on this node write this line. */
  say(node: string, line: string): void;
  /** Breaks the connections to this node. */
  breakOff(node: string): void;
  stop(): Promise<void>;
};

/** Channels of `v5.channel.k8s.io`, the first byte of each message (KEP-4006). */
const STDOUT = 1;
const ERROR = 3;

const FORBIDDEN = {
  ...{ kind: 'Status', apiVersion: 'v1', status: 'Failure', reason: 'Forbidden', code: 403 },
  message: 'pods "x" is forbidden: User "ann" cannot create resource "pods/exec" in API group ""',
};

const POD_RESOURCES = {
  kind: 'APIResourceList',
  groupVersion: 'v1',
  resources: [
    {
      name: 'pods',
      singularName: 'pod',
      namespaced: true,
      kind: 'Pod',
      shortNames: ['po'],
      verbs: ['get', 'list', 'create'],
    },
    {
      name: 'pods/exec',
      singularName: '',
      namespaced: true,
      kind: 'PodExecOptions',
      verbs: ['create', 'get'],
    },
  ],
};

type ExecServerOptions = {
  /** Nobody may run anything in a pod. */
  readonly forbidden?: boolean;
  /** The first connection to each pod is refused by somebody on the way. */
  readonly refusesFirst?: boolean;
};

/**
 * An API server as far as `kubectl get pods` and `kubectl exec` need one: a pod of the agent on each node,
 * and the exec subresource over WebSocket. What a pod answers is not a kubelet's, but as one would pass it
 * on.
 */
export async function startExecServer(
  answers: ReadonlyMap<string, ExecAnswer>,
  { forbidden = false, refusesFirst = false }: ExecServerOptions = {},
): Promise<ExecServer> {
  const folder = await mkdtemp(join(tmpdir(), 'pullwarden-exec-'));
  const executed: string[] = [];
  const items = [...answers.keys()].map((node) => podOn(node));
  const server = createServer(({ url = '' }, response) => {
    const { pathname } = new URL(url, 'http://api');
    const pod = items.find(
      ({ metadata }) => pathname === `/api/v1/namespaces/pullwarden/pods/${metadata.name}`,
    );
    if (pathname === '/api') send(response, 200, { kind: 'APIVersions', versions: ['v1'] });
    else if (pathname === '/apis') send(response, 200, { kind: 'APIGroupList', groups: [] });
    else if (pathname === '/api/v1') send(response, 200, POD_RESOURCES);
    else if (pathname === '/api/v1/namespaces/pullwarden/pods')
      send(response, 200, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items });
    else if (pod !== undefined) send(response, 200, pod);
    else if (pathname.endsWith('/exec') && forbidden) send(response, 403, FORBIDDEN);
    else send(response, 404, { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 });
  });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v5.channel.k8s.io' });
  const streams = new Map<WebSocket, string>();
  const waiting = new Set<() => void>();
  const refused = new Set<string>();
  const followedOn = (node?: string): readonly WebSocket[] =>
    [...streams].filter(([, one]) => node === undefined || node === one).map(([stream]) => stream);
  server.on('upgrade', (request, socket, head) => {
    if (forbidden) return refuse(socket, '403 Forbidden', FORBIDDEN);
    const url = new URL(request.url ?? '', 'http://api');
    const name = url.pathname.split('/').at(-2) ?? '';
    executed.push(`${name}: ${url.searchParams.getAll('command').join(' ')}`);
    if (refusesFirst && !refused.has(name)) {
      refused.add(name);
      return refuse(socket, '502 Bad Gateway', {});
    }
    const node = name.replace(/^pullwarden-/, '');
    const answer = answers.get(node);
    sockets.handleUpgrade(request, socket, head, (stream) => {
      const isWatch = url.searchParams.getAll('command').includes('--watch');
      if (answer !== undefined && 'is' in answer && answer.is === 'followed') {
        if (!isWatch) return respond(stream, { stdout: '[]', exitCode: 0 });
        streams.set(stream, node);
        stream.on('close', () => streams.delete(stream));
        for (const look of waiting) look();
      } else respond(stream, answer);
    });
  });
  const port = await listen(server);
  const kubeconfig = join(folder, 'kubeconfig');
  const cluster = { name: 'test', cluster: { server: `http://127.0.0.1:${port}` } };
  const context = { name: 'test', context: { cluster: 'test', user: 'test' } };
  await writeFile(
    kubeconfig,
    JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'test' },
      ...{ clusters: [cluster], contexts: [context], users: [{ name: 'test', user: {} }] },
    }),
  );
  return {
    kubeconfig,
    executed,
    running: () => sockets.clients.size,
    followed: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (streams.size < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    say(node, line) {
      for (const stream of followedOn(node)) stream.send(message(STDOUT, `${line}\n`));
    },
    breakOff(node) {
      for (const stream of followedOn(node)) stream.terminate();
    },
    async stop() {
      for (const client of sockets.clients) client.terminate();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await rm(folder, { recursive: true });
    },
  };
}

function podOn(node: string) {
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name: `pullwarden-${node}`,
      namespace: 'pullwarden',
      labels: { 'app.kubernetes.io/name': 'pullwarden' },
    },
    spec: { nodeName: node, containers: [{ name: 'agent', image: 'pullwarden' }] },
    status: { phase: 'Running' },
  };
}

function respond(stream: WebSocket, answer: ExecAnswer | undefined): void {
  if (answer === undefined || ('is' in answer && answer.is === 'broken off')) stream.terminate();
  else if ('stdout' in answer) {
    stream.send(message(STDOUT, answer.stdout));
    end(stream, answer.exitCode === 0 ? { status: 'Success' } : exited(answer.exitCode));
  } else if (answer.is === 'flooding') flood(stream);
  else if (answer.is === 'not found') {
    end(stream, { status: 'Failure', message: 'container not found ("agent")', reason: 'InternalError' });
  }
}

function refuse(socket: Duplex, status: string, body: object): void {
  const text = JSON.stringify(body);
  const headers = `content-type: application/json\r\ncontent-length: ${text.length}`;
  socket.end(`HTTP/1.1 ${status}\r\n${headers}\r\n\r\n${text}`);
}

function flood(stream: WebSocket): void {
  const part = message(STDOUT, 'x'.repeat(1024 * 1024));
  const more = (): void => {
    if (stream.readyState === stream.OPEN) stream.send(part, more);
  };
  more();
}

function end(stream: WebSocket, status: object): void {
  stream.send(message(ERROR, JSON.stringify({ metadata: {}, ...status })));
  stream.close(1000);
}

/** As kubelet says it (k8s.io/kubelet, remotecommand). */
function exited(exitCode: number): object {
  return {
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

function message(channel: number, text: string): Buffer {
  return Buffer.concat([Buffer.from([channel]), Buffer.from(text)]);
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('not listening'));
      else resolve(address.port);
    });
  });
}
