import { statSync } from 'node:fs';
import type { Config } from './config.ts';
import { keepNriConnection } from './enforcement/nri/nri-connection.ts';
import type { Veto } from './enforcement/veto.ts';
import type { Log } from './telemetry/log.ts';

/** The names under which an NRI container carries what kubelet labels it with. */
const CONTAINER_NAME_LABEL = 'io.kubernetes.container.name';

export type Nri = {
  connected(): boolean;
  /** Why containers are not vetoed although they should be; undefined when they are, or need not be. */
  problem(): string | undefined;
  close(): void;
};

/**
 * Puts the veto behind the runtime's NRI socket. What existed before, and what was created while the plugin was away,
 * is the guard's: `relist` lets it look at once.
 */
export function connectNri(
  config: Pick<Config, 'enforcement' | 'nriSocket' | 'nriIndex'>,
  veto: Veto,
  log: Log,
  relist: () => void,
): Nri {
  let wasTold = false;
  const connection = keepNriConnection({
    socketPath: config.nriSocket,
    index: config.nriIndex,
    onConfigure: ({ runtimeName, runtimeVersion, requestTimeoutMs }) =>
      log.info({ runtimeName, runtimeVersion, requestTimeoutMs }, 'registered with NRI'),
    onSynchronize: relist,
    onConnected: () => {
      wasTold = false;
      log.info('the runtime asks before it creates a container');
    },
    onDisconnected: ({ reason, message }) => {
      if (wasTold) return;
      wasTold = true;
      const line = 'no NRI: containers are stopped after they were created';
      if (isThere(config.nriSocket) || config.enforcement === 'veto')
        log.warn({ reason, problem: message }, line);
      else log.info({ reason }, line);
    },
    onCreateContainer: (pod, container, { deadlineMs }) =>
      veto.createContainer({
        id: container.id,
        podSandboxId: container.podSandboxId,
        pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid },
        containerName: container.labels[CONTAINER_NAME_LABEL] ?? container.name,
        deadlineMs,
      }),
  });
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
