import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type WebSocket, WebSocketServer } from 'ws';

/** What the agent's container on a node does when `kubectl exec` runs something in it. */
export type ExecAnswer =
  | { readonly stdout: string; readonly exitCode: number }
  /** The connection stays open and nothing comes, as from a node that is gone. */
  | { readonly is: 'hanging' }
  /** Kubelet does not find the container. */
  | { readonly is: 'not found' }
  /** Kubelet breaks the connection in the middle. */
  | { readonly is: 'broken off' };

export type ExecServer = {
  readonly kubeconfig: string;
  /** What was run in the pods, as `pod: words`. */
  readonly executed: readonly string[];
  stop(): Promise<void>;
};

/** Channels of `v5.channel.k8s.io`, the first byte of each message (KEP-4006). */
const STDOUT = 1;
const ERROR = 3;

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

/**
 * An API server as far as `kubectl get pods` and `kubectl exec` need one: a pod of the agent on each node,
 * and the exec subresource over WebSocket. What a pod answers is not a kubelet's, but as one would pass it
 * on.
 */
export async function startExecServer(answers: ReadonlyMap<string, ExecAnswer>): Promise<ExecServer> {
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
    else send(response, 404, { kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 });
  });
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v5.channel.k8s.io' });
  server.on('upgrade', (request, socket, head) => {
    const url = new URL(request.url ?? '', 'http://api');
    const name = url.pathname.split('/').at(-2) ?? '';
    executed.push(`${name}: ${url.searchParams.getAll('command').join(' ')}`);
    const answer = answers.get(name.replace(/^pullwarden-/, ''));
    sockets.handleUpgrade(request, socket, head, (stream) => respond(stream, answer));
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
  } else if (answer.is === 'not found') {
    end(stream, { status: 'Failure', message: 'container not found ("agent")', reason: 'InternalError' });
  }
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
