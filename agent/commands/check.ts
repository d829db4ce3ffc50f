import { createPodCredentialsReader } from '../access/pod-credentials.ts';
import type { RepullRequest } from '../access/proof/repull.ts';
import { makePolicy } from '../access/record/policy.ts';
import type { AccessRequest } from '../access/request.ts';
import type { Verdict } from '../access/verdict.ts';
import { createVerifier } from '../access/verifier.ts';
import type { Config } from '../config/resolve.ts';
import { CommandError } from '../errors.ts';
import type { Pod, PodContainer } from '../pods/pod-source.ts';
import { printable } from '../printable.ts';
import { openRecordStoreReadOnly } from '../records/sqlite/open.ts';
import { createCriClient } from '../runtime/cri-client.ts';
import { findRuntimeSocket } from '../runtime/endpoint.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { openPodSource } from '../wiring/open-pod-source.ts';
import { EXIT } from './exit-code.ts';
import { type Column, type OutputFormat, type Print, printOutput } from './output.ts';
import { toneOf } from './terminal.ts';

/** What would happen to one container of a pod if it started now. */
type Outlook = {
  readonly container: string;
  readonly image: string;
  readonly imagePullPolicy: string;
  /** Empty when the image is not on the node. */
  readonly imageRef: string;
  /** `unknown`: only a registry can tell, and it was not asked. */
  readonly would: 'allowed' | 'denied' | 'unverifiable' | 'unknown';
  readonly reason: string;
  readonly message: string;
};

const columns: readonly Column<Outlook>[] = [
  { header: 'CONTAINER', value: (row) => row.container, cut: 'end' },
  { header: 'WOULD BE', value: (row) => row.would, tone: (row) => toneOf(row.would) },
  { header: 'REASON', value: (row) => row.reason },
  { header: 'IMAGE', value: (row) => row.image, cut: 'start' },
  { header: 'PULL POLICY', value: (row) => row.imagePullPolicy, wide: true },
  { header: 'IMAGE ID', value: (row) => row.imageRef, wide: true },
];

/**
 * `check`: the verdict of every container of a pod, as far as it can be told without asking a registry and without
 * writing anything. Returns 3 when any would be denied, else 4 when of any it is not known, else 0.
 *
 * @throws ConfigError, EndpointError, PodSourceError, RecordStoreError, RuntimeError, CommandError
 */
export async function runCheck(
  config: Config,
  {
    namespace,
    pod: operand,
    output,
    print,
  }: { namespace: string; pod: string; output: OutputFormat; print: Print },
): Promise<number> {
  const { pods, close } = openPodSource(config, { onProblem: () => undefined });
  const client = createCriClient({ socketPath: findRuntimeSocket(config.runtimeEndpoint) });
  const { store, keyedHash = () => '' } = openRecordStoreReadOnly(config.stateDir);
  try {
    await pods.start();
    const name = operand.replace(/^pods?\//, '');
    const pod = await pods.findPod(namespace, name);
    if (pod === undefined) throw new CommandError('notFound', `there is no pod ${namespace}/${name}`);
    const readCredentials = createPodCredentialsReader(pods, keyedHash);
    const judgeWithoutAsking: WithoutAsking = async (image) => {
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
      const { verdict } = await verifier.ensureAccess({ pod, ...image, urgent: false });
      return { verdict, wouldAsk };
    };
    const rows: Outlook[] = [];
    for (const container of pod.containers) {
      for (const image of await imagesOf(client, pod, container)) {
        rows.push(await outlookOf(image, judgeWithoutAsking));
      }
    }
    printOutput(print, output, { data: rows, rows, columns, name: (row) => row.container });
    if (output === 'table' || output === 'wide') {
      for (const row of rows) print(`${printable(`${row.container}: ${row.message}`)}\n`);
    }
    return exitCodeOf(rows);
  } finally {
    await close();
    client.close();
    store.close();
  }
}

function exitCodeOf(rows: readonly Outlook[]): number {
  if (rows.some(({ would }) => would === 'denied')) return EXIT.denied;
  return rows.some(({ would }) => would !== 'allowed') ? EXIT.unknown : EXIT.ok;
}

/** One image that a container brings to run. */
type CheckedImage = {
  readonly label: string;
  readonly container: AccessRequest['container'];
  /** Undefined when it is not on the node. */
  readonly imageRef: string | undefined;
};

/** The verdict as far as it goes without the registry, and what the registry would be asked. */
type WithoutAsking = (
  image: Pick<AccessRequest, 'container' | 'imageRef'>,
) => Promise<{ readonly verdict: Verdict; readonly wouldAsk: readonly RepullRequest[] }>;

async function outlookOf(
  { label, container, imageRef }: CheckedImage,
  judge: WithoutAsking,
): Promise<Outlook> {
  const { image, imagePullPolicy } = container;
  if (imageRef === undefined) return absent({ container: label, image, imagePullPolicy, imageRef: '' });
  const subject = { container: label, image, imagePullPolicy, imageRef };
  const { verdict, wouldAsk } = await judge({ container, imageRef });
  return verdict.verdict === 'unverifiable' && wouldAsk.length > 0
    ? {
        ...subject,
        would: 'unknown',
        reason: 'registryNotAsked',
        message: wouldAsk.map(questionText).join('; '),
      }
    : { ...subject, would: verdict.verdict, reason: verdict.reason, message: verdict.message };
}

/** With the content that the pod's newest container of this name uses, or what the names would give now. */
async function imagesOf(runtime: Runtime, pod: Pod, container: PodContainer): Promise<CheckedImage[]> {
  const { name, imageVolumes } = container;
  const running = pod.uid === '' ? [] : await runtime.listContainers({ podUid: pod.uid });
  const newest = running
    .filter(({ containerName }) => containerName === name)
    .reduce<(typeof running)[number] | undefined>(
      (a, b) => (a && a.createdAt > b.createdAt ? a : b),
      undefined,
    );
  const named = async (image: string): Promise<string | undefined> => (await runtime.imageStatus(image))?.id;
  const images: CheckedImage[] = [
    { label: name, container, imageRef: newest?.imageRef ?? (await named(container.image)) },
  ];
  const mounted = newest === undefined ? [] : await runtime.mountedImages(newest.id);
  for (const volume of imageVolumes) {
    const used = mounted.find(({ image }) => image === volume.image)?.imageRef;
    const imageRef = used ?? (await named(volume.image));
    images.push({ label: `${name}, volume ${volume.name}`, container: volume, imageRef });
  }
  return images;
}

function absent(subject: Pick<Outlook, 'container' | 'image' | 'imagePullPolicy' | 'imageRef'>): Outlook {
  return subject.imagePullPolicy === 'Never'
    ? { ...subject, would: 'denied', reason: 'neverWithoutRecord', message: 'the image is not on the node' }
    : {
        ...subject,
        would: 'unknown',
        reason: 'imageNotPresent',
        message:
          'not known: the image is not here, kubelet would have to pull it with the secrets of the pod',
      };
}

/** Names of secrets only. */
function questionText({ name, credentials }: RepullRequest): string {
  const secrets = credentials.map(({ secret }) => `${secret.namespace}/${secret.name}`);
  const how =
    secrets.length > 0
      ? `with ${[...new Set(secrets)].join(', ')}`
      : 'anonymously: no secret of the pod matches';
  return `not known: only the registry can tell, asked for ${name.pulls[0] ?? name.image} ${how}`;
}
