import { parentPort, workerData } from 'node:worker_threads';
import type { CreateContainerRequest } from '../../nri/messages.ts';
import type { NriPlugin } from '../../nri/plugin.ts';
import { stayConnected } from '../../nri/stay-connected.ts';
import { whyNotEnforced } from '../plan.ts';
import { IN_PROGRESS, refusalText } from '../tenant-message.ts';
import { type FromVetoWorker, monotonicMs, type ToVetoWorker, type VetoWorkerData } from './messages.ts';
import { createPreparedContainers } from './prepared.ts';

/**
 * The NRI connection in a thread of its own. The main thread commits to a disk that may be slow and parses
 * what tenants wrote; were it busy for longer than the runtime's patience, the plugin would be dropped and
 * refused containers would start. This thread does nothing but answer, if need be by itself.
 */

/** Left of the runtime's patience for the way back to it. */
const MARGIN_MS = 200;
/**
 * A container that was judged ahead needs nothing of the main thread but a look whether its image still means
 * what was judged, and not even that where the runtime tells when a name changes. Where the main thread is
 * busy for longer than this, in ms, it is allowed without.
 */
const PREPARED_PATIENCE_MS = 300;

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

/** Resolves to allow the container: the main thread decides, or this one when that takes too long. */
function ask(request: CreateContainerRequest, deadlineMs: number, isPrepared: boolean): Promise<void> {
  questions += 1;
  const number = questions;
  const askedAt = performance.now();
  const untilDeadlineMs = Math.max(0, deadlineMs - MARGIN_MS - performance.now());
  const patienceMs = isPrepared ? Math.min(PREPARED_PATIENCE_MS, untilDeadlineMs) : untilDeadlineMs;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      tell(isPrepared ? { type: 'createdAsPrepared', request } : { type: 'refusedInProgress' });
      answer(isPrepared ? undefined : refusalText(IN_PROGRESS, ''));
    }, patienceMs);
    const answer = (refusal: string | undefined): void => {
      clearTimeout(timer);
      asked.delete(number);
      tell({ type: 'answered', waitedMs: performance.now() - askedAt });
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
  else if (message.type === 'namesChanged') prepared.namesChanged();
  else if (message.type === 'registration') answerRegistration(message.mayRegister);
  else asked.get(message.number)?.(message.refusal);
});

const plugin: NriPlugin = {
  configure: (configuration) => tell({ type: 'configured', configuration }),
  // What exists is the guard's, which lists it by itself.
  synchronize: () => tell({ type: 'connected' }),
  isAsked: ({ namespace, uid }) => whyNotEnforced(settings, { namespace, podUid: uid }) === undefined,
  async createContainer(request, deadlineMs) {
    const known = prepared.take(request);
    if (known !== 'asJudged') return ask(request, deadlineMs, known === 'toBeCompared');
    tell({ type: 'createdAsPrepared', request });
    tell({ type: 'answered', waitedMs: 0 });
  },
};

stayConnected(plugin, {
  socketPath,
  index,
  mayRegister,
  onDisconnected({ reason, message }) {
    // The runtime may have been away, and its events unheard.
    prepared.namesChanged();
    tell({ type: 'disconnected', reason, message });
  },
});
