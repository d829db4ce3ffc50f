import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  LOGIN_ANNOTATION,
  writeKubeletCredentials,
} from '../../test/cluster/credentials/kubelet-credentials.ts';
import type { BoundPod, SharedNode } from '../bench/abuse/shared-node.ts';
import { createAtLast } from '../bench/abuse/trying.ts';
import { CriError } from '../lab/cri.ts';
import type { Parts } from './parts.ts';

/** What was asked since a moment: `get secrets` and the like, and requests in the registry's own log. */
type Asked = { readonly api: readonly string[]; readonly registry: number };

export type Measured = {
  /** Without the recheck where nobody waited for it. */
  readonly parts: {
    readonly api: Omit<Parts['api'], 'recheck'> & Partial<Pick<Parts['api'], 'recheck'>>;
    readonly registry: Parts['registry'];
  };
  /** How long the API server is asked to keep the watch, in seconds. */
  readonly watchSeconds: number;
};

const NAMESPACE = 'scale';
const AUDIENCE = 'https://registry.lab.example.com';
/** More than the minute after which a secret is read again (agent/access/secret-recheck.ts). */
const RECHECK_WITHIN_MS = 90_000;
/** That were let run on one read of their secret. */
const PODS_ON_RECORD = 3;
/** Events and rechecks are sent when the verdict is out already. */
const QUIET_MS = 1_000;

/**
 * Counts the requests of each part at the test API server and in a real registry's access log, with a real
 * containerd and the agent as a process of its own. What a part asks later than at once is waited for where
 * `patient`: that takes a minute more. Each part is told in words as well.
 */
export async function measureParts(
  node: SharedNode,
  { patient, tell }: { readonly patient: boolean; readonly tell: (line: string) => void },
): Promise<Measured> {
  const { htpasswd } = node.lab.registries;
  const login = (password: string): string =>
    JSON.stringify({ auths: { [htpasswd.host]: { username: 'alice', password } } });

  const pods: BoundPod[] = [];

  async function count(what: string, work: () => Promise<void>): Promise<Asked> {
    const before = node.api.requests().length;
    const mark = await htpasswd.mark();
    await work();
    await untilQuiet(node);
    const api = node.api
      .requests()
      .slice(before)
      .map(({ verb, resource }) => `${verb} ${resource}`);
    const requests = await htpasswd.requests(mark);
    const toRegistry = requests.map(({ method, path, status }) => `${method} ${kindOf(path)} ${status}`);
    tell(`${what}: API server [${api.join(', ')}], registry [${toRegistry.join(', ')}]`);
    return { api, registry: requests.length };
  }

  async function start(image: string, secret: string, serviceAccountName?: string): Promise<void> {
    const imagePullSecrets = secret === '' ? [] : [secret];
    const account = serviceAccountName === undefined ? {} : { serviceAccountName };
    const pod = await node.bind({ namespace: NAMESPACE, images: [image], imagePullSecrets, ...account });
    pods.push(pod);
    await createAtLast(pod, 0);
  }

  /** While the agent runs, as in a roll-out. */
  async function pullAs(name: string): Promise<string> {
    const [image = ''] = await node.present([`${NAMESPACE}/${name}`]);
    return image;
  }

  for (const name of ['secret', 'other-secret']) {
    node.putConfig(NAMESPACE, name, login(htpasswd.users.alice ?? ''));
  }
  node.putConfig(NAMESPACE, 'wrong-secret', login(`not-${randomUUID()}`));
  const agentStart = await count('the agent starts', async () => {
    await node.freshAgent();
  });
  const watchSeconds = Number(node.api.watches()[0]?.query.get('timeoutSeconds'));
  let first = '';
  const kubeletsPull = await count('kubelet pulls an image', async () => {
    first = await pullAs('first');
  });
  const second = await pullAs('second');
  const third = await pullAs('third');
  const firstImage = await count('a pod starts, its image and secret are new', () => start(first, 'secret'));
  const nextImage = await count('another image', () => start(second, 'secret'));
  const onRecordUnread = await count('an image on record, the same credential in a secret that is new', () =>
    start(first, 'other-secret'),
  );
  const onRecord = await count('the same once more', () => start(first, 'other-secret'));
  for (let started = 2; started < PODS_ON_RECORD; started += 1) await start(first, 'other-secret');
  let refused: BoundPod | undefined;
  const refusal = await count('a container is refused', async () => {
    const imagePullSecrets = ['wrong-secret'];
    refused = await node.bind({ namespace: NAMESPACE, images: [third], imagePullSecrets });
    pods.push(refused);
    await beRefused(refused);
  });
  const again = await count('and tried again', () => beRefused(refused));
  const recheck = patient ? await count('a minute later', () => untilASecretIsRead(node)) : undefined;

  const plugin = await writeKubeletCredentials(join(node.lab.root, 'kubelet'), {}, [
    {
      name: 'account-plugin',
      matchImages: [htpasswd.host],
      audience: AUDIENCE,
      logins: { alice: { [htpasswd.host]: { username: 'alice', password: htpasswd.users.alice ?? '' } } },
      cacheDuration: '12h',
    },
  ]);
  const metadata = { namespace: NAMESPACE, name: 'builder', annotations: { [LOGIN_ANNOTATION]: 'alice' } };
  node.api.putServiceAccount({ metadata });
  node.api.grant('system:node:shared', {
    verbs: ['request-serviceaccounts-token-audience'],
    resources: [AUDIENCE],
  });
  // The next agent is not to judge them as well.
  for (const pod of pods) await pod.remove();
  await node.freshAgent({ flags: plugin.flags });
  const ofAccount = await pullAs('account');
  const account = await count('a pod pulls with its service account', () => start(ofAccount, '', 'builder'));

  return {
    watchSeconds,
    parts: {
      api: {
        agentStart: agentStart.api.length,
        firstImage: firstImage.api.length,
        nextImage: nextImage.api.length,
        onRecordUnread: onRecordUnread.api.length,
        onRecord: onRecord.api.length,
        ...(recheck && { recheck: recheck.api.length }),
        withAccount: account.api.length,
        refusal: refusal.api.length,
        refusalAgain: again.api.length,
      },
      registry: {
        firstImage: firstImage.registry,
        nextImage: nextImage.registry,
        onRecord: onRecord.registry,
        refusal: refusal.registry,
        refusalAgain: again.registry,
        kubeletsPull: kubeletsPull.registry,
      },
    },
  };
}

async function beRefused(pod: BoundPod | undefined): Promise<void> {
  const created = await pod?.create(0).catch((error: unknown) => {
    if (!(error instanceof CriError)) throw error;
  });
  if (created !== undefined) throw new Error('a container was created with a wrong password');
}

async function untilASecretIsRead({ api }: SharedNode): Promise<void> {
  const before = api.requestsFor('get', 'secrets').length;
  for (const deadline = performance.now() + RECHECK_WITHIN_MS; performance.now() < deadline; ) {
    if (api.requestsFor('get', 'secrets').length > before) return;
    await sleep(QUIET_MS / 10);
  }
  throw new Error(`no secret was read again within ${RECHECK_WITHIN_MS} ms`);
}

/** Until the API server has been asked nothing for a while. */
async function untilQuiet({ api }: SharedNode): Promise<void> {
  for (let last = -1; last !== api.requests().length; ) {
    last = api.requests().length;
    await sleep(QUIET_MS);
  }
}

function kindOf(path: string): string {
  if (path.includes('/manifests/')) return 'manifest';
  return path.includes('/blobs/') ? 'blob' : 'base';
}
