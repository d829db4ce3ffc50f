import { statSync } from 'node:fs';
import type { Config } from './config.ts';
import type { EnforcementSettings } from './enforcement/plan.ts';
import type { Veto } from './enforcement/veto.ts';
import { startVetoThread } from './enforcement/veto-thread.ts';
import type { Log } from './telemetry/log.ts';

export type Nri = {
  connected(): boolean;
  /** Why containers are not vetoed although they should be; undefined when they are, or need not be. */
  problem(): string | undefined;
  close(): Promise<void>;
};

/** What the thread with the NRI connection needs of the agent. */
export type NriParts = {
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
  { settings, veto, log, onInProgress, relist }: NriParts,
): Nri {
  let wasTold = false;
  const connection = startVetoThread({
    socketPath: config.nriSocket,
    index: config.nriIndex,
    settings,
    createContainer: veto.createContainer,
    createdAsPrepared: veto.createdAsPrepared,
    onInProgress,
    onInternalError: (error) => log.error({ err: error }, 'a container about to be created was not judged'),
    onConfigure: ({ runtimeName, runtimeVersion, requestTimeoutMs }) =>
      log.info({ runtimeName, runtimeVersion, requestTimeoutMs }, 'registered with NRI'),
    onConnected: () => {
      wasTold = false;
      log.info('the runtime asks before it creates a container');
      relist();
    },
    onDisconnected: (reason, problem) => {
      if (wasTold) return;
      wasTold = true;
      const line = 'no NRI: containers are stopped after they were created';
      if (isThere(config.nriSocket) || config.enforcement === 'veto') log.warn({ reason, problem }, line);
      else log.info({ reason }, line);
    },
  });
  veto.onPrepared(connection.letBy);
  return {
    connected: connection.connected,
    problem() {
      if (connection.connected()) return undefined;
      if (config.enforcement === 'auto' && !isThere(config.nriSocket)) return undefined;
      return 'nriDisconnected: containers are stopped after they were created, not before';
    },
    close: connection.close,
  };
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isSocket() ?? false;
}
