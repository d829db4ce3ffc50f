import { parentPort, workerData } from 'node:worker_threads';
import { keepNriConnection } from './nri/nri-connection.ts';
import { planVeto } from './plan-veto.ts';
import { IN_PROGRESS, refusalText } from './refusal.ts';
import { type FromVetoWorker, monotonicMs, type VetoAnswer, type VetoWorkerData } from './veto-messages.ts';

/**
 * The NRI connection in a thread of its own. The main thread commits to a disk that may be slow and parses what
 * tenants wrote; were it busy for longer than the runtime's patience, the plugin would be dropped and refused
 * containers would start. This thread does nothing but answer, if need be by itself.
 */

/** Left of the runtime's patience for the way back to it. */
const MARGIN_MS = 200;
/** The names under which an NRI container carries what kubelet labels it with. */
const CONTAINER_NAME_LABEL = 'io.kubernetes.container.name';

if (parentPort === null) throw new Error('this is a worker thread of the agent');
const main = parentPort;
// Only veto-thread.ts starts this thread, and this is the type of what it hands over.
const { socketPath, index, settings } = workerData as VetoWorkerData;
const asked = new Map<number, (refusal: string | undefined) => void>();
let questions = 0;

function tell(message: FromVetoWorker): void {
  main.postMessage(message);
}

main.on('message', ({ number, refusal }: VetoAnswer) => asked.get(number)?.(refusal));

keepNriConnection({
  socketPath,
  index,
  onConfigure: (configuration) => tell({ type: 'configured', configuration }),
  // What exists is the guard's, which lists it by itself.
  onSynchronize: () => undefined,
  onConnected: () => tell({ type: 'connected' }),
  onDisconnected: ({ reason, message }) => tell({ type: 'disconnected', reason, message }),
  async onCreateContainer({ namespace, name, uid }, container, { deadlineMs }) {
    const plan = planVeto(settings, { namespace, uid });
    if (plan === 'letBy') return;
    questions += 1;
    const number = questions;
    const patienceMs = Math.max(0, deadlineMs - MARGIN_MS - performance.now());
    const refusal = await new Promise<string | undefined>((resolve) => {
      const timer = setTimeout(() => {
        if (plan === 'judgeOrRefuse') tell({ type: 'refusedInProgress' });
        settle(plan === 'judgeOrRefuse' ? refusalText(IN_PROGRESS, '') : undefined);
      }, patienceMs);
      const settle = (answer: string | undefined): void => {
        clearTimeout(timer);
        asked.delete(number);
        resolve(answer);
      };
      asked.set(number, settle);
      tell({
        type: 'question',
        number,
        id: container.id,
        podSandboxId: container.podSandboxId,
        pod: { namespace, name, uid },
        containerName: container.labels[CONTAINER_NAME_LABEL] ?? container.name,
        answerByMs: monotonicMs() + patienceMs,
      });
    });
    if (refusal !== undefined) throw new Error(refusal);
  },
});
