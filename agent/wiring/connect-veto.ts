import { statSync } from 'node:fs';
import type { Config } from '../config/resolve.ts';
import type { EnforcementSettings } from '../enforcement/plan.ts';
import type { Veto } from '../enforcement/veto/create-container.ts';
import { type RegistrationHold, whyNotRegister } from '../enforcement/veto/registration.ts';
import { startVetoThread } from '../enforcement/veto/thread.ts';
import type { PodSource } from '../pods/pod-source.ts';
import type { Log } from '../telemetry/log.ts';

export type Nri = {
  connected(): boolean;
  /** The connection to the runtime's CRI came or went. */
  runtimeConnected(connected: boolean): void;
  /** Why containers are not vetoed although they should be; undefined when they are, or need not be. */
  problem(): string | undefined;
  close(): Promise<void>;
};

/** What the thread with the NRI connection needs of the agent. */
export type NriParts = {
  readonly pods: Pick<PodSource, 'terminating'>;
  readonly settings: EnforcementSettings;
  readonly veto: Veto;
  readonly log: Log;
  readonly onInProgress: () => void;
  /** What existed before, and what was created while the plugin was away, is the guard's: lets it look at once. */
  readonly relist: () => void;
};

/** Puts the veto behind the runtime's NRI socket. */
export function connectNri(
  config: Pick<Config, 'enforcement' | 'nriSocket' | 'nriIndex'>,
  { pods, settings, veto, log, onInProgress, relist }: NriParts,
): Nri {
  /** What was told since the runtime asked last. */
  const told = new Set<'away' | 'waits'>();
  const line = 'no NRI: containers are stopped after they were created';
  /** Why the plugin did not register when the thread asked last. */
  let hold: RegistrationHold | undefined;
  let runtimeIsAway = false;
  /** Epoch ms; undefined as long as it did not go away. */
  let runtimeBackAtMs: number | undefined;
  const connection = startVetoThread({
    socketPath: config.nriSocket,
    index: config.nriIndex,
    settings,
    createContainer: veto.createContainer,
    createdAsPrepared: veto.createdAsPrepared,
    whyNotRegister(waitedMs) {
      const nowMs = Date.now();
      hold = isThere(config.nriSocket)
        ? whyNotRegister({
            terminating: pods.terminating(),
            nowMs,
            stoppedAgainSinceMs: runtimeIsAway ? nowMs : runtimeBackAtMs,
            waitedMs,
          })
        : undefined;
      return hold;
    },
    onInProgress,
    onInternalError: (error) => log.error({ err: error }, 'a container about to be created was not judged'),
    onConfigure: ({ runtimeName, runtimeVersion, requestTimeoutMs }) =>
      log.info({ runtimeName, runtimeVersion, requestTimeoutMs }, 'registered with NRI'),
    onConnected: () => {
      told.clear();
      log.info('the runtime asks before it creates a container');
      relist();
    },
    onDisconnected: (reason, problem) => {
      // The source of the pods says so itself.
      if (reason === 'podsUnknown') return;
      if (reason === 'podsTerminating') return tellOfWait();
      if (told.has('away')) return;
      told.add('away');
      if (isThere(config.nriSocket) || config.enforcement === 'veto') log.warn({ reason, problem }, line);
      else log.info({ reason }, line);
    },
  });
  veto.onPrepared(connection.letBy);

  function tellOfWait(): void {
    if (hold?.reason !== 'podsTerminating' || told.has('waits')) return;
    told.add('waits');
    const { reason, message: problem, last, remainingMs } = hold;
    const { namespace, name: pod } = last;
    log.warn({ reason, problem, namespace, pod, remainingSeconds: Math.ceil(remainingMs / 1_000) }, line);
  }

  return {
    connected: connection.connected,
    runtimeConnected(isConnected) {
      if (isConnected && runtimeIsAway) runtimeBackAtMs = Date.now();
      runtimeIsAway = !isConnected;
    },
    problem() {
      if (connection.connected()) return undefined;
      if (config.enforcement === 'auto' && !isThere(config.nriSocket)) return undefined;
      const problem = 'nriDisconnected: containers are stopped after they were created, not before';
      return hold ? `${problem}; the veto ${hold.message}` : problem;
    },
    close: connection.close,
  };
}

function isThere(path: string): boolean {
  try {
    return statSync(path).isSocket();
  } catch {
    return false;
  }
}
