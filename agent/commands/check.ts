import { makePolicy } from '../access/record/policy.ts';
import type { AccessRequest } from '../access/request.ts';
import type { Verdict } from '../access/verdict.ts';
import type { Config } from '../config/resolve.ts';
import { CommandError } from '../errors.ts';
import type { Pod, PodContainer } from '../pods/pod-source.ts';
import { printable } from '../printable.ts';
import { openRecordStoreReadOnly } from '../records/sqlite/open.ts';
import { createRegistryClient, type RegistryClient } from '../registry/client.ts';
import { createCriClient } from '../runtime/cri-client.ts';
import { findRuntimeSocket } from '../runtime/endpoint.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { openNodeCredentials } from '../wiring/node-credentials.ts';
import { openEndpoints } from '../wiring/open-endpoints.ts';
import { openPodSource } from '../wiring/open-pod-source.ts';
import { wireDryRun } from '../wiring/verification.ts';
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

export type CheckOptions = {
  readonly namespace: string;
  /** A name, or pod/NAME. */
  readonly pod: string;
  /** Asks registries where policy and record leave it open; nothing is pulled or written all the same. */
  readonly ask: boolean;
  readonly output: OutputFormat;
  readonly print: Print;
};

/**
 * `check`: the verdict of every container of a pod, without writing or pulling anything. Returns 3 when any
 * would be denied, else 4 when of any it is not known, else 0.
 *
 * @throws ConfigError, EndpointError, PodSourceError, RecordStoreError, RuntimeError, CommandError
 */
export async function runCheck(
  config: Config,
  { namespace, pod: operand, ask, output, print }: CheckOptions,
): Promise<number> {
  const { pods, serviceAccounts, close } = openPodSource(config, { onProblem: () => undefined });
  const socketPath = findRuntimeSocket(config.runtimeEndpoint);
  const client = createCriClient({ socketPath });
  const registry = createRegistryClient({ endpoints: openEndpoints(config, socketPath) });
  const node = openNodeCredentials(config, serviceAccounts, () => undefined);
  const { store, keyedHash = () => '' } = openRecordStoreReadOnly(config.stateDir);
  try {
    await pods.start();
    const name = operand.replace(/^pods?\//, '');
    const pod = await pods.findPod(namespace, name);
    if (pod === undefined) throw new CommandError('notFound', `there is no pod ${namespace}/${name}`);
    const unasked = registryThatIsNotAsked();
    const verifier = wireDryRun(
      {
        policy: makePolicy(config.verificationPolicy, config.verificationAllowlist),
        rotatedSecrets: config.rotatedSecrets,
        nodeCredentials: config.nodeCredentials,
      },
      {
        pods,
        runtime: client,
        registry: ask ? registry : unasked.client,
        // Without --ask nobody is, plugins included.
        node: ask ? node.source : undefined,
        store,
        keyedHash,
      },
    );
    const rows: Outlook[] = [];
    for (const container of pod.containers) {
      for (const image of await imagesOf(client, pod, container)) {
        rows.push(
          await outlookOf(image, (about) => verifier.ensureAccess({ pod, ...about, urgent: true }), unasked),
        );
      }
    }
    printOutput(print, output, { data: rows, rows, columns, name: (row) => row.container });
    if (output === 'table' || output === 'wide') {
      for (const row of rows) print(`${printable(`${row.container}: ${row.message}`)}\n`);
    }
    return exitCodeOf(rows);
  } finally {
    node.close();
    await registry.close();
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

/** Says what a registry would have been asked. */
type Unasked = { readonly client: RegistryClient; takeQuestions(): readonly string[] };

function registryThatIsNotAsked(): Unasked {
  let questions: string[] = [];
  const spent = { requests: 0, tokenRequests: 0, bytes: 0 };
  const notAsked = { answer: 'unavailable', seen: 'aborted', message: 'not asked', spent } as const;
  return {
    client: {
      async manifest({ registry, repository, reference, login }) {
        const name = `${registry}/${repository}${reference.includes(':') ? '@' : ':'}${reference}`;
        const how = login ? 'with a credential of the pod' : 'anonymously: nothing that the pod has matches';
        questions.push(`${name} ${how}`);
        return notAsked;
      },
      blob: async () => notAsked,
      close: async () => undefined,
    },
    takeQuestions() {
      const taken = questions;
      questions = [];
      return taken;
    },
  };
}

async function outlookOf(
  { label, container, imageRef }: CheckedImage,
  judge: (about: Pick<AccessRequest, 'container' | 'imageRef'>) => Promise<{ readonly verdict: Verdict }>,
  unasked: Unasked,
): Promise<Outlook> {
  const { image, imagePullPolicy } = container;
  if (imageRef === undefined) return absent({ container: label, image, imagePullPolicy, imageRef: '' });
  const subject = { container: label, image, imagePullPolicy, imageRef };
  const { verdict } = await judge({ container, imageRef });
  const questions = unasked.takeQuestions();
  if (verdict.verdict === 'unverifiable' && questions.length > 0) {
    const message = `not known: only the registry can tell, asked for ${questions.join('; ')} (--ask asks it)`;
    return { ...subject, would: 'unknown', reason: 'registryNotAsked', message };
  }
  return { ...subject, would: verdict.verdict, reason: verdict.reason, message: verdict.message };
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
        message: 'not known: the image is not here, kubelet would have to pull it with what the pod has',
      };
}
