import { parentPort, workerData } from 'node:worker_threads';
import type { CreateContainerRequest } from '../../nri/messages.ts';
import type { NriPlugin } from '../../nri/plugin.ts';
import { stayConnected } from '../../nri/stay-connected.ts';
import { whyNotEnforced } from '../plan.ts';
import { IN_PROGRESS, refusalText } from '../tenant-message.ts';
import { type FromVetoWorker, monotonicMs, type ToVetoWorker, type VetoWorkerData } from './messages.ts';
import { createPreparedContainers } from './prepared.ts';

/**
 * The NRI connection in a thread of its own. The main thread commits to a disk that may be slow and parses what
 * tenants wrote; were it busy for longer than the runtime's patience, the plugin would be dropped and refused
 * containers would start. This thread does nothing but answer, if need be by itself.
 */

/** Left of the runtime's patience for the way back to it. */
const MARGIN_MS = 200;
/** The runtime goes on with the container at once; what is left to do here must not be in its way. */
const TELL_AFTER_MS = 3;

if (parentPort === null) throw new Error('this is a worker thread of the agent');
const main = parentPort;
// Only thread.ts starts this thread, and this is the type of what it hands over.
const { socketPath, index, settings } = workerData as VetoWorkerData;
const asked = new Map<number, (refusal: string | undefined) => void>();
const prepared = createPreparedContainers(() => performance.now());
let questions = 0;
let answerRegistration: (mayRegister: boolean) => void = () => undefined;

function tell(message: FromVetoWorker): void {
  main.postMessage(message);
}

/** Resolves with the main thread's refusal, or with one of its own when that comes too late. */
function ask(request: CreateContainerRequest, deadlineMs: number): Promise<void> {
  questions += 1;
  const number = questions;
  const patienceMs = Math.max(0, deadlineMs - MARGIN_MS - performance.now());
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      tell({ type: 'refusedInProgress' });
      answer(refusalText(IN_PROGRESS, ''));
    }, patienceMs);
    const answer = (refusal: string | undefined): void => {
      clearTimeout(timer);
      asked.delete(number);
      if (refusal === undefined) resolve();
      else reject(new Error(refusal));
    };
    asked.set(number, answer);
    tell({ type: 'createContainer', number, request, answerByMs: monotonicMs() + patienceMs });
  });
}

/** There is nobody else who knows: a main thread that is busy is waited for. */
function mayRegister(waitedMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    answerRegistration = resolve;
    tell({ type: 'mayRegister', waitedMs });
  });
}

main.on('message', (message: ToVetoWorker) => {
  if (message.type === 'prepared') prepared.add(message.container);
  else if (message.type === 'registration') answerRegistration(message.mayRegister);
  else asked.get(message.number)?.(message.refusal);
});

const plugin: NriPlugin = {
  configure: (configuration) => tell({ type: 'configured', configuration }),
  // What exists is the guard's, which lists it by itself.
  synchronize: () => tell({ type: 'connected' }),
  isAsked: ({ namespace, uid }) => whyNotEnforced(settings, { namespace, podUid: uid }) === undefined,
  createContainer(request, deadlineMs) {
    if (prepared.take(request)) {
      queueMicrotask(() => setTimeout(tell, TELL_AFTER_MS, { type: 'createdAsPrepared', request }));
      return undefined;
    }
    return ask(request, deadlineMs);
  },
};

stayConnected(plugin, {
  socketPath,
  index,
  mayRegister,
  onDisconnected: ({ reason, message }) => tell({ type: 'disconnected', reason, message }),
});
