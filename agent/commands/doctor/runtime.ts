import { statSync } from 'node:fs';
import { type CriClient, createCriClient } from '../../runtime/cri-client.ts';
import { EndpointError, type EndpointFailure, findRuntimeSocket } from '../../runtime/endpoint.ts';
import { type Finding, failure, messageOf, ok, warning } from './finding.ts';

const CALL_TIMEOUT_MS = 5_000;
/**
 * A runtime without events says so at once. Not longer than needed: containerd 1.7 and CRI-O deal each event to only
 * one of several subscribers, so what is heard here, an agent that runs does not hear.
 */
const EVENTS_WAIT_MS = 500;

const ENDPOINT_ADVICE: Record<EndpointFailure, string> = {
  notFound: 'mount the socket of the runtime, or name it with --runtime-endpoint',
  notASocket: 'name the socket with --runtime-endpoint',
  permissionDenied: 'run as root: the socket is for root',
  invalid: 'give --runtime-endpoint as unix:///path',
};

/** Socket, version and events of the container runtime. */
export async function checkRuntime(endpoint: string | undefined): Promise<Finding[]> {
  let socketPath: string;
  try {
    socketPath = findRuntimeSocket(endpoint);
  } catch (error) {
    const advice = error instanceof EndpointError ? ENDPOINT_ADVICE[error.reason] : '';
    return [failure('runtime socket', messageOf(error), advice)];
  }
  const socket = ok('runtime socket', socketPath);
  const client = createCriClient({ socketPath, callTimeoutMs: CALL_TIMEOUT_MS });
  try {
    const { name, version, apiVersion } = await client.version();
    return [socket, ok('runtime', `${name} ${version}, CRI ${apiVersion}`), await checkEvents(client)];
  } catch (error) {
    const advice = 'see whether the runtime runs, its CRI plugin is on, and this is its socket';
    return [socket, failure('runtime', messageOf(error), advice)];
  } finally {
    client.close();
  }
}

/** A veto before a container exists needs the runtime's NRI; without it containers are stopped after they began. */
export function checkNri(socketPath: string): Finding {
  const isSocket = statSync(socketPath, { throwIfNoEntry: false })?.isSocket() ?? false;
  return isSocket
    ? ok('nri', `${socketPath} is there`)
    : warning(
        'nri',
        `no socket at ${socketPath}`,
        'nothing has to be done: denied containers are stopped right after they were created; a veto before that would need NRI',
      );
}

function checkEvents(client: Pick<CriClient, 'subscribe'>): Promise<Finding> {
  return new Promise((resolve) => {
    const settle = (finding: Finding) => {
      clearTimeout(timer);
      end();
      resolve(finding);
    };
    const timer = setTimeout(
      () => settle(ok('runtime events', 'the runtime sends container events')),
      EVENTS_WAIT_MS,
    );
    const end = client.subscribe({
      onEvent: () => settle(ok('runtime events', 'the runtime sends container events')),
      onMalformed: () => {},
      onEnd: (error) =>
        settle(
          warning(
            'runtime events',
            error === undefined ? 'the runtime ended the stream of events at once' : `none: ${error.message}`,
            'containers are found by listing them every 10 s (--poll-interval), so a denied one may run that long; containerd 1.7, CRI-O with enable_pod_events, or newer send events',
          ),
        ),
    });
  });
}
