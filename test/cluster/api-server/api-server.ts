import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAnswer, type Flow } from './answer.ts';
import { type Attributes, createAuthorizer, type Grant } from './authorizer.ts';
import type { Fields } from './body.ts';
import { createAuthority } from './certificates.ts';
import {
  type Kubeconfig,
  type KubeconfigUser,
  type ServiceAccountFiles,
  writeKubeconfig,
  writeServiceAccountFiles,
} from './credential-files.ts';
import { createFaults, type Fault } from './faults.ts';
import { createHandler, type RequestRecord } from './handler.ts';
import { createObjectStore, type KubeObject } from './objects.ts';
import { createUsers } from './users.ts';
import { createWatches, type OpenWatch } from './watches.ts';

export type ApiServerOptions = {
  /** The folder to make its own folder in; the system's temporary one when left out. */
  readonly parent?: string;
  /** Pods that name no node are put on this one. */
  readonly nodeName?: string;
  /** The address to listen on, and the certificate's. */
  readonly host?: string;
  /** The version of the last write before the first. */
  readonly resourceVersion?: number;
  /** Between bookmarks in a watch, ms; the real one's minute by default. */
  readonly bookmarkMs?: number;
  /** The Node authorizer learns of a pod so much after it was bound, ms. */
  readonly authorizerLagMs?: number;
};

/**
 * A kube-apiserver as far as a node agent can tell, over HTTPS on a loopback port, in this process: pods,
 * secrets, ServiceAccounts and Events in memory, lists and watches, authentication, authorization. Its
 * answers follow those recorded from a real 1.36.2 (test/captures/apiserver, compared in api-server.test.ts).
 */
export type ApiServer = {
  /** `https://127.0.0.1:PORT`; stays the same over `stop` and `start`. */
  readonly url: string;
  readonly ca: string;
  readonly caFile: string;
  readonly nodeName: string;

  /**
   * Creates or changes a pod; another uid under the same name is another pod. Without spec.nodeName it is on
   * the node; '' binds it to none.
   */
  putPod(pod: KubeObject): KubeObject;
  /** At once, as after its grace period. False where there is none. */
  deletePod(namespace: string, name: string): boolean;
  putSecret(secret: KubeObject): KubeObject;
  deleteSecret(namespace: string, name: string): boolean;
  putServiceAccount(serviceAccount: KubeObject): KubeObject;
  deleteServiceAccount(namespace: string, name: string): boolean;
  putNamespace(name: string): void;
  /** The Events as they are stored now, in the order of their names. */
  events(namespace?: string): readonly KubeObject[];
  /** As after their time to live. */
  deleteEvents(): void;

  resourceVersion(): number;
  /**
   * Sets the version of the last write: higher, as if others had written; lower, as after a restore from a
   * backup.
   */
  setResourceVersion(version: number): void;
  /** Continue tokens and exact versions older than now are answered 410 from now on. */
  compact(): void;
  /** Watches from versions older than now get an ERROR event with code 410; those that are open go on. */
  forgetWatchHistory(): void;

  /** What a role binding would: `system:node:NAME` has the rights of a node without any. */
  grant(user: string, grant: Grant): void;
  revoke(user: string): void;
  setAuthorizerLag(ms: number): void;
  /** Everything this user asks is answered 401, until `accept`. */
  refuse(user: string): void;
  accept(user: string): void;
  issueToken(user: string): string;
  revokeToken(token: string): void;
  /** A kubeconfig for this user, in a file. */
  kubeconfig(user: string, method?: KubeconfigUser): Promise<Kubeconfig>;
  /**
   * What is mounted into a pod of this ServiceAccount; its rights are to be granted to
   * `system:serviceaccount:NAMESPACE:NAME`.
   */
  serviceAccountFiles(namespace: string, name: string): Promise<ServiceAccountFiles>;

  /** Every request so far, oldest first, also those that were never answered. */
  requests(): readonly RequestRecord[];
  /** Those of `requests` that match. */
  requestsFor(verb: Attributes['verb'], resource: string): readonly RequestRecord[];
  /** The bodies of the TokenRequests, oldest first. */
  tokenRequests(): readonly object[];
  /** The watches that are open now. */
  watches(): readonly OpenWatch[];

  /** Makes requests go wrong from now on. */
  fault(fault: Fault): { clear(): void };
  clearFaults(): void;

  /**
   * As SIGKILL does: stops listening and breaks all connections, whatever is being sent. The objects stay,
   * in etcd.
   */
  stop(): Promise<void>;
  /**
   * Listens again on the same port. `lost`: the watch window begins anew, as after a real restart; `kept`: as
   * if only the connections had been lost.
   */
  start(history?: 'kept' | 'lost'): Promise<void>;
  /** Ends it and removes its files. */
  close(): Promise<void>;
};

/** Starts a test API server; see ApiServer. */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const { nodeName = 'lab', host = '127.0.0.1' } = options;
  const folder = await mkdtemp(join(options.parent ?? tmpdir(), 'pullwarden-api-server-'));
  const authority = await createAuthority(folder);
  const addresses = [...new Set([host, '127.0.0.1', 'localhost', 'kubernetes.default.svc'])];
  const own = await authority.issue({ user: 'kube-apiserver', addresses });
  const store = createObjectStore(options.resourceVersion ?? 300);
  const users = createUsers();
  let lagMs = options.authorizerLagMs ?? 0;
  const authorizer = createAuthorizer(store, () => lagMs);
  const faults = createFaults();
  const watches = createWatches(store, { bookmarkMs: options.bookmarkMs ?? 60_000 });
  const requests: RequestRecord[] = [];
  const tokenRequests: Fields[] = [];
  const flow: Flow = { flowSchema: randomUUID(), priorityLevel: randomUUID() };
  const handle = createHandler({ store, users, authorizer, faults, watches, requests, tokenRequests });
  const place = { folder, authority, users };
  let server: Server | undefined;
  let sockets = new Set<Socket>();
  let port = 0;

  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    response.on('error', () => undefined);
    handle(request, (onHead) => createAnswer(response, flow, onHead));
  }

  async function listen(): Promise<void> {
    const starting = createServer(
      { key: own.key, cert: own.certificate, ca: authority.ca, requestCert: true, rejectUnauthorized: false },
      onRequest,
    );
    starting.on('tlsClientError', () => undefined);
    starting.on('clientError', (_, socket) => socket.destroy());
    starting.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => sockets.delete(socket));
    });
    // A watch may last; Node would end a request that is not answered within 5 minutes.
    starting.requestTimeout = 0;
    starting.listen(port, host);
    await once(starting, 'listening');
    const address = starting.address();
    port = typeof address === 'object' && address !== null ? address.port : 0;
    server = starting;
  }

  async function stop(): Promise<void> {
    if (!server) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    server = undefined;
    sockets = new Set();
    await closed;
  }

  await listen();
  const url = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;

  return {
    url,
    ca: authority.ca,
    caFile: authority.caFile,
    nodeName,
    putPod: (pod) => store.put('pods', placedOn(nodeName, pod)),
    deletePod: (namespace, name) => store.remove('pods', namespace, name) !== undefined,
    putSecret: (secret) => store.put('secrets', secret),
    deleteSecret: (namespace, name) => store.remove('secrets', namespace, name) !== undefined,
    putServiceAccount: (serviceAccount) => store.put('serviceaccounts', serviceAccount),
    deleteServiceAccount: (namespace, name) => store.remove('serviceaccounts', namespace, name) !== undefined,
    putNamespace(name) {
      store.put('namespaces', { metadata: { namespace: '', name } });
    },
    events: (namespace) =>
      (store.list('events') ?? []).filter(
        ({ metadata }) => namespace === undefined || metadata.namespace === namespace,
      ),
    deleteEvents() {
      for (const { metadata } of store.list('events') ?? []) {
        store.remove('events', metadata.namespace, metadata.name);
      }
    },
    resourceVersion: store.resourceVersion,
    setResourceVersion: store.setResourceVersion,
    compact: store.compact,
    forgetWatchHistory: store.forgetWatchHistory,
    grant: authorizer.grant,
    revoke: authorizer.revoke,
    setAuthorizerLag(ms) {
      lagMs = ms;
    },
    refuse: users.refuse,
    accept: users.accept,
    issueToken: users.issueToken,
    revokeToken: users.revokeToken,
    kubeconfig: (user, method = { by: 'certificateFiles' }) => writeKubeconfig(place, url, user, method),
    serviceAccountFiles: (namespace, name) =>
      writeServiceAccountFiles(place, url, `system:serviceaccount:${namespace}:${name}`),
    requests: () => requests,
    requestsFor: (verb, resource) =>
      requests.filter((request) => request.verb === verb && request.resource === resource),
    tokenRequests: () => tokenRequests,
    watches: watches.list,
    fault: faults.add,
    clearFaults: faults.clear,
    stop,
    async start(history = 'kept') {
      if (history === 'lost') store.forgetWatchHistory();
      if (!server) await listen();
    },
    async close() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function placedOn(nodeName: string, pod: KubeObject): KubeObject {
  const spec = typeof pod.spec === 'object' && pod.spec !== null ? pod.spec : {};
  const node = 'nodeName' in spec ? spec.nodeName : nodeName;
  return { ...pod, spec: { ...spec, ...(node === '' ? {} : { nodeName: node }) } };
}
