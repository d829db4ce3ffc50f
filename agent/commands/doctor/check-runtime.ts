import { EndpointError } from '../../errors.ts';
import { type CriClient, createCriClient } from '../../runtime/cri-client.ts';
import { findRuntimeSocket } from '../../runtime/endpoint.ts';
import type { RuntimeVersion } from '../../runtime/runtime.ts';
import { type Finding, failure, messageOf, ok, warning } from './finding.ts';

const CALL_TIMEOUT_MS = 5_000;
/**
 * A runtime without events says so at once. Not longer than needed: containerd 1.7 and CRI-O deal each event
 * to only one of several subscribers, so what is heard here, an agent that runs does not hear.
 */
const EVENTS_WAIT_MS = 500;

const ENDPOINT_ADVICE: Record<EndpointError['reason'], string> = {
  notFound: 'mount the socket of the runtime, or name it with --runtime-endpoint',
  notASocket: 'name the socket with --runtime-endpoint',
  permissionDenied: 'run as root: the socket is for root',
  invalid: 'give --runtime-endpoint as unix:///path',
};

export type RuntimeFindings = {
  readonly findings: readonly Finding[];
  /** What the runtime says it is; undefined when it does not answer. */
  readonly version: RuntimeVersion | undefined;
};

/** Socket, version and events of the container runtime. */
export async function checkRuntime(endpoint: string | undefined): Promise<RuntimeFindings> {
  let socketPath: string;
  try {
    socketPath = findRuntimeSocket(endpoint);
  } catch (error) {
    const advice = error instanceof EndpointError ? ENDPOINT_ADVICE[error.reason] : '';
    return { findings: [failure('runtime socket', messageOf(error), advice)], version: undefined };
  }
  const socket = ok('runtime socket', socketPath);
  const client = createCriClient({ socketPath, callTimeoutMs: CALL_TIMEOUT_MS });
  try {
    const version = await client.version();
    const runtime = ok('runtime', `${version.name} ${version.version}, CRI ${version.apiVersion}`);
    return { findings: [socket, runtime, await checkEvents(client)], version };
  } catch (error) {
    const advice = 'see whether the runtime runs, its CRI plugin is on, and this is its socket';
    return { findings: [socket, failure('runtime', messageOf(error), advice)], version: undefined };
  } finally {
    client.close();
  }
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
            'containers are found by listing them every 10 s (--poll-interval), so a denied one may ' +
              'run that long; containerd 1.7, CRI-O with enable_pod_events, or newer send events',
          ),
        ),
    });
  });
}
