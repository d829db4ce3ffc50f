import { createPodCredentialsReader } from '../access/pod-credentials.ts';
import { makePolicy } from '../access/policy.ts';
import type { RepullRequest } from '../access/repull.ts';
import { createVerifier } from '../access/verifier.ts';
import type { Config } from '../config.ts';
import { openPodSource } from '../pod-source.ts';
import type { Pod, PodContainer } from '../pods/source.ts';
import { openRecordStoreReadOnly } from '../records/open.ts';
import { createCriClient } from '../runtime/cri-client.ts';
import { findRuntimeSocket } from '../runtime/endpoint.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { CommandError } from './command-error.ts';
import { type Column, type OutputFormat, type Print, printOutput } from './output.ts';

/** What would happen to one container of a pod if it started now. */
type Outlook = {
  readonly container: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  /** Empty when the image is not on the node. */
  readonly imageRef: string;
  /** `repull`: the registry would be asked; `pull`: the image is absent, kubelet would pull it with the pod's secrets. */
  readonly would: 'allowed' | 'denied' | 'unverifiable' | 'repull' | 'pull';
  readonly reason: string;
  readonly message: string;
};

const DENIED_EXIT_CODE = 3;

const columns: readonly Column<Outlook>[] = [
  { header: 'CONTAINER', value: (row) => row.container },
  { header: 'IMAGE', value: (row) => row.image },
  { header: 'PULL POLICY', value: (row) => row.imagePullPolicy },
  { header: 'WOULD BE', value: (row) => row.would },
  { header: 'REASON', value: (row) => row.reason },
  { header: 'MESSAGE', value: (row) => row.message },
];

/**
 * `check`: the verdict of every container of a pod, as far as it can be told without asking a registry and without
 * writing anything. Returns 3 when any would be denied.
 *
 * @throws ConfigError, EndpointError, PodSourceError, RecordStoreError, RuntimeError, CommandError
 */
export async function runCheck(
  config: Config,
  {
    namespace,
    pod: name,
    output,
    print,
  }: { namespace: string; pod: string; output: OutputFormat; print: Print },
): Promise<number> {
  const { pods, close } = openPodSource(config, { onProblem: () => undefined });
  const client = createCriClient({ socketPath: findRuntimeSocket(config.runtimeEndpoint) });
  const { store, keyedHash = () => '' } = openRecordStoreReadOnly(config.stateDir);
  try {
    await pods.start();
    const pod = await pods.findPod(namespace, name);
    if (pod === undefined) throw new CommandError('notFound', `there is no pod ${namespace}/${name}`);
    const readCredentials = createPodCredentialsReader(pods, keyedHash);
    const rows: Outlook[] = [];
    for (const container of pod.containers) {
      const wouldAsk: RepullRequest[] = [];
      const verifier = createVerifier({
        // It was opened to be read only: what a match would teach it is refused and left out.
        store,
        runtime: client,
        policy: makePolicy(config.verificationPolicy, config.verificationAllowlist),
        rotatedSecrets: config.rotatedSecrets,
        readCredentials,
        repull: async (request) => {
          wouldAsk.push(request);
          return { answer: 'unverifiable', reason: 'registryUnavailable', message: 'not asked' };
        },
        onCheck: () => undefined,
        onEnsured: () => undefined,
        onRecordStoreError: () => undefined,
      });
      const imageRef = await imageRefOf(client, pod, container);
      if (imageRef === undefined) {
        rows.push(absent(container));
        continue;
      }
      const { verdict } = await verifier.ensureAccess({ pod, container, imageRef, urgent: false });
      const subject = {
        container: container.name,
        image: container.image,
        imagePullPolicy: container.imagePullPolicy,
        imageRef,
      };
      rows.push(
        verdict.verdict === 'unverifiable' && wouldAsk.length > 0
          ? {
              ...subject,
              would: 'repull',
              reason: 'mustAuthenticate',
              message: wouldAsk.map(questionText).join('; '),
            }
          : { ...subject, would: verdict.verdict, reason: verdict.reason, message: verdict.message },
      );
    }
    printOutput(print, output, { data: rows, rows, columns });
    return rows.some((row) => row.would === 'denied') ? DENIED_EXIT_CODE : 0;
  } finally {
    await close();
    client.close();
    store.close();
  }
}

/** The content that the pod's newest container of this name uses, or what its image would give now. */
async function imageRefOf(
  runtime: Runtime,
  pod: Pod,
  { name, image }: PodContainer,
): Promise<string | undefined> {
  const running = pod.uid === '' ? [] : await runtime.listContainers({ podUid: pod.uid });
  const newest = running
    .filter((container) => container.containerName === name)
    .reduce<(typeof running)[number] | undefined>(
      (a, b) => (a && a.createdAt > b.createdAt ? a : b),
      undefined,
    );
  return newest?.imageRef ?? (await runtime.imageStatus(image))?.id;
}

function absent({ name, image, imagePullPolicy }: PodContainer): Outlook {
  const subject = { container: name, image, imagePullPolicy, imageRef: '' };
  return imagePullPolicy === 'Never'
    ? { ...subject, would: 'denied', reason: 'neverWithoutRecord', message: 'the image is not on the node' }
    : {
        ...subject,
        would: 'pull',
        reason: 'imageNotPresent',
        message: 'kubelet would pull it with the secrets of the pod',
      };
}

/** Names of secrets only. */
function questionText({ name, credentials }: RepullRequest): string {
  const secrets = credentials.map(({ secret }) => `${secret.namespace}/${secret.name}`);
  const how =
    secrets.length > 0
      ? `with ${[...new Set(secrets)].join(', ')}`
      : 'anonymously: no secret of the pod matches';
  return `the registry would be asked for ${name.pulls[0] ?? name.image} ${how}`;
}
