import type { Worker } from 'node:worker_threads';
import { ContainerRefused } from '../../../agent/enforcement/veto/create-container.ts';
import type { PreparedContainer } from '../../../agent/enforcement/veto/create-request.ts';
import { startVetoThread } from '../../../agent/enforcement/veto/thread.ts';

/**
 * An agent's main thread that does nothing but refuse the containers of team-b, and that can be made busy:
 * `child-veto.ts SOCKET MODE ON_UNVERIFIABLE`, then over IPC `{ busyMs }`, `{ prepared }`,
 * `{ namesChanged: true }`, `{ crash: true }`, `{ terminating }`. Tells what happens.
 */
const [socketPath = '', mode, onUnverifiable] = process.argv.slice(2);

export type ChildTold =
  | { readonly told: 'connected' | 'inProgress' | 'busy' | 'idle' }
  | { readonly told: 'mayRegister'; readonly waitedMs: number }
  | { readonly told: 'asked' | 'createdAsPrepared'; readonly namespace: string }
  | { readonly told: 'disconnected'; readonly reason: string; readonly message: string };

const tell = (what: ChildTold): void => void process.send?.(what);

const workers: Worker[] = [];
process.on('worker', (worker) => workers.push(worker));

let isTerminating = false;

const thread = startVetoThread({
  socketPath,
  index: '90',
  settings: {
    mode: mode === 'audit' ? 'audit' : 'enforce',
    onUnverifiable: onUnverifiable === 'allow' ? 'allow' : 'deny',
    unmanaged: 'audit',
    enforceNamespaces: ['*'],
    exemptNamespaces: ['kube-system'],
    revokeRunning: 'report',
    ownPodUid: 'uid-agent',
  },
  async createContainer({ pod }) {
    tell({ told: 'asked', namespace: pod.namespace });
    if (pod.namespace === 'team-b') throw new ContainerRefused('pullwarden: not this one');
  },
  createdAsPrepared: ({ pod }) => tell({ told: 'createdAsPrepared', namespace: pod.namespace }),
  mayRegister(waitedMs) {
    tell({ told: 'mayRegister', waitedMs });
    return !isTerminating;
  },
  onConfigure: () => undefined,
  onConnected: () => tell({ told: 'connected' }),
  onDisconnected: (reason, message) => tell({ told: 'disconnected', reason, message }),
  onInProgress: () => tell({ told: 'inProgress' }),
  onInternalError: (error) => {
    throw error;
  },
});

export type ChildOrder = {
  readonly busyMs?: number;
  readonly prepared?: PreparedContainer;
  readonly namesChanged?: true;
  /** Whether a pod of the node takes long to end. */
  readonly terminating?: boolean;
  readonly crash?: true;
  readonly close?: true;
};

process.on('message', ({ busyMs, prepared, namesChanged, terminating, crash, close }: ChildOrder) => {
  isTerminating = terminating ?? isTerminating;
  if (prepared) thread.allowPrepared(prepared);
  if (namesChanged) thread.namesChanged();
  // What no answer looks like: the thread's own code throws.
  if (crash) workers.at(-1)?.postMessage(null);
  if (close) void thread.close().then(() => process.disconnect());
  if (busyMs === undefined) return;
  process.send?.({ told: 'busy' } satisfies ChildTold, () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, busyMs);
    tell({ told: 'idle' });
  });
});
