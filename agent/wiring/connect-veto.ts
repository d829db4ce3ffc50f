import { statSync } from 'node:fs';
import type { Config } from '../config/resolve.ts';
import type { EnforcementSettings } from '../enforcement/plan.ts';
import type { Veto } from '../enforcement/veto/create-container.ts';
import { type RegistrationHold, registrationHold } from '../enforcement/veto/registration.ts';
import { createRuntimeDeaths } from '../enforcement/veto/runtime-deaths.ts';
import { startVetoThread } from '../enforcement/veto/thread.ts';
import type { NriError } from '../errors.ts';
import type { PodSource } from '../pods/pod-source.ts';
import type { Log } from '../telemetry/log.ts';

export type Nri = {
  connected(): boolean;
  /** The connection to the runtime's CRI came or went. */
  runtimeConnected(connected: boolean): void;
  /** What names of images are known to mean counts no longer. */
  namesChanged(): void;
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
  /** The runtime waited so long (ms) for an answer. */
  readonly onAnswered: (waitedMs: number) => void;
  /** The connection ended, and for this reason; not called for a failed attempt to connect. */
  readonly onDisconnected: (reason: NriError['reason']) => void;
  /**
   * What existed before, and what was created while the plugin was away, is the guard's: lets it look at
   * once.
   */
  readonly relist: () => void;
};

/** Puts the veto behind the runtime's NRI socket. */
export function connectNri(
  config: Pick<Config, 'enforcement' | 'nriSocket' | 'nriIndex'>,
  { pods, settings, veto, log, onInProgress, onAnswered, onDisconnected, relist }: NriParts,
): Nri {
  /** Reasons that were logged since the runtime asked last. */
  const logged = new Set<NriError['reason'] | RegistrationHold['reason']>();
  const line = 'no NRI: containers are stopped after they were created';
  /** Why the plugin was not to register when the thread asked last. */
  let hold: RegistrationHold | undefined;
  /** Why the last connection ended, or the last try failed. */
  let problem: string | undefined;
  let runtimeIsAway = false;
  /** Epoch ms; undefined as long as it did not go away. */
  let runtimeBackAtMs: number | undefined;
  const deaths = createRuntimeDeaths(() => performance.now());
  const connection = startVetoThread({
    socketPath: config.nriSocket,
    index: config.nriIndex,
    settings,
    createContainer: veto.createContainer,
    createdAsPrepared: veto.createdAsPrepared,
    mayRegister(waitedMs) {
      const nowMs = Date.now();
      hold = isThere(config.nriSocket)
        ? registrationHold({
            terminating: pods.terminating(),
            nowMs,
            stoppedAgainSinceMs: runtimeIsAway ? nowMs : runtimeBackAtMs,
            waitedMs,
            stayAwayMs: deaths.stayAwayMs(),
          })
        : undefined;
      if (hold) logHold(hold);
      return hold === undefined;
    },
    onInProgress,
    onAnswered,
    onInternalError: (error) => log.error({ err: error }, 'a container about to be created was not judged'),
    onConfigure: ({ runtimeName, runtimeVersion, requestTimeoutMs }) =>
      log.info({ runtimeName, runtimeVersion, requestTimeoutMs }, 'registered with NRI'),
    onConnected: () => {
      logged.clear();
      problem = undefined;
      deaths.connected();
      log.info('the runtime asks before it creates a container');
      relist();
    },
    onDisconnected: (reason, message) => {
      problem = `${reason}: ${message}`;
      if (reason === 'synchronizeUnfinished') deaths.synchronizeUnfinished();
      if (reason === 'unreachable') deaths.runtimeAway();
      if (reason !== 'unreachable') onDisconnected(reason);
      if (logged.has(reason)) return;
      logged.add(reason);
      const level = isThere(config.nriSocket) || config.enforcement === 'veto' ? 'warn' : 'info';
      log[level]({ reason, problem: message }, line);
    },
  });
  veto.onPrepared(connection.allowPrepared);

  function logHold({ reason, message, last }: RegistrationHold): void {
    // Pods that are not known yet are reported by where they come from.
    if (reason === 'podsUnknown' || logged.has(reason)) return;
    logged.add(reason);
    if (last === undefined) {
      log.warn({ reason, problem: message }, line);
      return;
    }
    const { namespace, name: pod, remainingMs } = last;
    const remainingSeconds = Math.ceil(remainingMs / 1_000);
    log.warn({ reason, problem: message, namespace, pod, remainingSeconds }, line);
  }

  return {
    connected: connection.connected,
    runtimeConnected(isConnected) {
      if (isConnected && runtimeIsAway) runtimeBackAtMs = Date.now();
      if (!isConnected) deaths.runtimeAway();
      runtimeIsAway = !isConnected;
    },
    namesChanged: connection.namesChanged,
    problem() {
      if (connection.connected()) return undefined;
      if (config.enforcement === 'auto' && !isThere(config.nriSocket)) return undefined;
      const why = hold ? `; the veto ${hold.message}` : problem && ` (${problem})`;
      return `nriDisconnected: containers are stopped after they were created, not before${why ?? ''}`;
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
