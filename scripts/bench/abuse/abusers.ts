import { randomUUID } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import PQueue from 'p-queue';
import type { BoundPod, PodToBind, SharedNode } from './shared-node.ts';
import { createAtLast, keepTrying, type Trying } from './trying.ts';

/** What a tenant does under way. */
export type Abuse = {
  /** Containers of it that were created though it has no right to their images. */
  created(): number;
  /** Requests that its own registries have had. */
  ownRequests(): number;
  stop(): Promise<void>;
};

export type Abuser = {
  readonly name: string;
  /** What it does, for people. */
  readonly does: string;
  begin(node: SharedNode, scale: Scale): Promise<Abuse>;
};

/** `whole` as in the table of docs/numbers.md, `short` for a test. */
export type Scale = 'whole' | 'short';

const NAMESPACE = 'abuser';
const SANDBOXES_AT_ONCE = 4;
const BEGIN_WITHIN_MS: Readonly<Record<Scale, number>> = { whole: 5_000, short: 0 };

async function bindAll(node: SharedNode, pods: readonly PodToBind[]): Promise<BoundPod[]> {
  const queue = new PQueue({ concurrency: SANDBOXES_AT_ONCE });
  return Promise.all(pods.map((pod) => queue.add(() => node.bind(pod))));
}

function counted(trying: Trying, ownRequests: () => number = () => 0, hasRight = false): Abuse {
  return { created: () => (hasRight ? 0 : trying.created()), ownRequests, stop: trying.stop };
}

function configFor(host: string, password: string): string {
  return JSON.stringify({ auths: { [host]: { username: `u-${randomUUID()}`, password } } });
}

function some(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

/** The private image that the good tenant runs, and whose name everybody knows. */
function victim({ lab }: SharedNode): string {
  return `${lab.registries.htpasswd.host}/good/known:1`;
}

const longPasswords: Abuser = {
  name: 'long passwords',
  does: '10 pods, each with 14 secrets whose password is 65,536 × é, at a registry that refuses them',
  async begin(node, scale) {
    const { host } = node.lab.registries.htpasswd;
    const pods = await bindAll(
      node,
      some(scale === 'whole' ? 10 : 2).map((pod) => {
        const imagePullSecrets = some(14).map((n) => `long-${pod}-${n}`);
        for (const name of imagePullSecrets) {
          node.putConfig(NAMESPACE, name, configFor(host, `${'é'.repeat(65_536)}${name}`));
        }
        return { namespace: NAMESPACE, images: [victim(node)], imagePullSecrets };
      }),
    );
    return counted(keepTrying(pods, 1, BEGIN_WITHIN_MS[scale]));
  },
};

const wrongPasswords: Abuser = {
  name: 'wrong passwords',
  does: '60 pods, each with 20 wrong passwords, at the registry that all use',
  async begin(node, scale) {
    const { host } = node.lab.registries.htpasswd;
    const pods = await bindAll(
      node,
      some(scale === 'whole' ? 60 : 5).map((pod) => {
        const imagePullSecrets = some(20).map((n) => `wrong-${pod}-${n}`);
        for (const name of imagePullSecrets)
          node.putConfig(NAMESPACE, name, configFor(host, `wrong ${name}`));
        return { namespace: NAMESPACE, images: [victim(node)], imagePullSecrets };
      }),
    );
    return counted(keepTrying(pods, 1, BEGIN_WITHIN_MS[scale]));
  },
};

/** Pods with images of the tenant's own registry, which does what it likes once they are on the node. */
function ownRegistry(
  {
    name,
    does,
    images,
    pods,
    hasRight = false,
  }: Pick<Abuser, 'name' | 'does'> & { images: number; pods: number; hasRight?: boolean },
  behaviour: RequestListener,
): Abuser {
  return {
    name,
    does,
    async begin(node, scale) {
      const names = some(scale === 'whole' ? images : 2).map((n) => `own/app-${n}`);
      const registry = await node.tenantRegistry(names);
      registry.behave(behaviour);
      const all = names.map((image) => `${registry.host}/${image}:1`);
      const bound = await bindAll(
        node,
        some(scale === 'whole' ? pods : 2).map(() => {
          return { namespace: NAMESPACE, images: all, imagePullSecrets: [] };
        }),
      );
      return counted(keepTrying(bound, all.length, BEGIN_WITHIN_MS[scale]), registry.requests, hasRight);
    },
  };
}

const errorTexts = ownRegistry(
  {
    name: 'long error text',
    does: 'own registry: the digest 404, then 403 with 14,000 × ( in its JSON',
    images: 5,
    pods: 4,
  },
  ({ url = '' }, response) => {
    const isDigest = url.includes('sha256:');
    const message = '('.repeat(14_000);
    response.writeHead(isDigest ? 404 : 403, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ errors: [{ code: isDigest ? 'MANIFEST_UNKNOWN' : 'DENIED', message }] }));
  },
);

const longManifests = ownRegistry(
  {
    name: 'long manifest',
    does: 'own registry: the digest 404, and 500 KiB of an index by tag',
    images: 5,
    pods: 4,
  },
  ({ url = '', method }, response) => {
    if (url.includes('sha256:')) {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end('{"errors":[{"code":"MANIFEST_UNKNOWN"}]}');
      return;
    }
    response.writeHead(200, { 'content-type': 'application/vnd.oci.image.index.v1+json' });
    const entry = { mediaType: 'a', digest: `sha256:${'a'.repeat(64)}`, size: 1 };
    const manifests = some(4_700).map(() => entry);
    response.end(method === 'HEAD' ? undefined : JSON.stringify({ schemaVersion: 2, manifests }));
  },
);

const SLOW_MS = 1_500;

const slowYes: Abuser = {
  name: 'slow registry',
  does: 'own registry that says yes after 1.5 s, 30 containers',
  async begin(node, scale) {
    const names = some(scale === 'whole' ? 10 : 3).map((n) => `slow/app-${n}`);
    const registry = await node.tenantRegistry(names);
    const serve = registry.slowly(SLOW_MS);
    registry.behave(serve);
    const all = names.map((image) => `${registry.host}/${image}:1`);
    const bound = await bindAll(
      node,
      some(3).map(() => ({ namespace: NAMESPACE, images: all, imagePullSecrets: [] })),
    );
    return counted(keepTrying(bound, all.length, BEGIN_WITHIN_MS[scale]), registry.requests, true);
  },
};

const hangs = ownRegistry(
  { name: 'hanging registry', does: 'own registry that never answers, 130 containers', images: 13, pods: 10 },
  () => undefined,
);

const drips = ownRegistry(
  {
    name: 'dripping registry',
    does: 'own registry that sends one byte a second, 4 images on the node',
    images: 4,
    pods: 4,
  },
  (_, response) => {
    response.writeHead(200, {
      'content-type': 'application/vnd.oci.image.manifest.v1+json',
      'content-length': 500,
    });
    const timer = setInterval(() => response.write(' '), 1_000);
    response.on('close', () => clearInterval(timer));
  },
);

const missingSecrets: Abuser = {
  name: 'missing secrets',
  does: 'one pod with 5,000 imagePullSecrets that do not exist, and 100 pods with 100 each',
  async begin(node, scale) {
    const many = some(5_000).map((n) => `missing-${n}`);
    const pods = [{ namespace: NAMESPACE, images: [victim(node)], imagePullSecrets: many }];
    const hundred = (pod: number): PodToBind => ({
      namespace: NAMESPACE,
      images: [victim(node)],
      imagePullSecrets: some(100).map((n) => `missing-${pod}-${n}`),
    });
    const bound = await bindAll(node, [...pods, ...some(4).map(hundred)]);
    const announced = some(scale === 'whole' ? 96 : 5).map((n) => node.announce(hundred(n + 4)));
    const trying = keepTrying(bound, 1, BEGIN_WITHIN_MS[scale]);
    return {
      ...counted(trying),
      async stop() {
        for (const { namespace, name } of announced) node.api.deletePod(namespace, name);
        await trying.stop();
      },
    };
  },
};

/** As large as the API server takes them. */
const SECRET_BYTES = 1_040_000;

const largeSecrets: Abuser = {
  name: 'large secrets',
  does: '20 pods, each with a docker config of 1 MiB: a long password, or 1,900 entries',
  async begin(node, scale) {
    const { host } = node.lab.registries.htpasswd;
    const pods = await bindAll(
      node,
      some(scale === 'whole' ? 20 : 2).map((n) => {
        const name = `large-${n}`;
        const password = 'x'.repeat(500);
        const entries = some(1_900).map((e) => [`${host}/good/${e}`, { username: `u${n}`, password }]);
        const config =
          n % 2 === 0
            ? configFor(host, `${'p'.repeat(SECRET_BYTES)}${n}`)
            : JSON.stringify({ auths: Object.fromEntries(entries) });
        node.putConfig(NAMESPACE, name, config);
        return { namespace: NAMESPACE, images: [victim(node)], imagePullSecrets: [name] };
      }),
    );
    return counted(keepTrying(pods, 1, BEGIN_WITHIN_MS[scale]));
  },
};

const largePods: Abuser = {
  name: 'large pods',
  does: 'pods of 1 MiB that change five times a second',
  async begin(node) {
    const stopping = new AbortController();
    const { signal } = stopping;
    const uids = some(5).map(() => randomUUID());
    const put = (n: number): void => {
      const env = some(12_000).map((e) => ({ name: `VARIABLE_${e}`, value: `value of ${n} and of ${e}` }));
      node.api.putPod({
        metadata: { namespace: NAMESPACE, name: `large-${n % 5}`, uid: uids[n % 5] ?? '' },
        spec: { serviceAccountName: 'default', containers: [{ name: 'app', image: 'none:1', env }] },
      });
    };
    const running = (async () => {
      for (let n = 0; !signal.aborted; n += 1) {
        put(n);
        await sleep(200, undefined, { signal }).catch(() => undefined);
      }
    })();
    return {
      created: () => 0,
      ownRequests: () => 0,
      async stop() {
        stopping.abort();
        await running;
        for (const n of some(5)) node.api.deletePod(NAMESPACE, `large-${n}`);
      },
    };
  },
};

/** With fewer, containerd 2.1 ends of telling a plugin what exists (test/node/synchronize.test.ts). */
const FEWEST_PODS = 4;

const largeEnvironment: Abuser = {
  name: 'large environments',
  does: '70 containers with 1 MiB of environment; the agent is restarted',
  async begin(node, scale) {
    const image = 'env/app';
    const registry = await node.tenantRegistry([image]);
    const env = Object.fromEntries(some(10).map((n) => [`LARGE_${n}`, 'x'.repeat(104_000)]));
    const [pods, containers] = scale === 'whole' ? [7, 10] : [FEWEST_PODS, 5];
    const images = some(containers).map(() => `${registry.host}/${image}:1`);
    const bound = await bindAll(
      node,
      some(pods).map(() => ({
        namespace: NAMESPACE,
        images,
        imagePullSecrets: [],
        env,
      })),
    );
    for (const pod of bound) for (const n of images.keys()) await createAtLast(pod, n);
    await node.restartAgent();
    return {
      created: () => 0,
      ownRequests: registry.requests,
      async stop() {
        for (const pod of bound) await pod.remove();
      },
    };
  },
};

/** Each is a row. */
export const abusers: readonly Abuser[] = [
  longPasswords,
  errorTexts,
  wrongPasswords,
  slowYes,
  hangs,
  drips,
  missingSecrets,
  largeEnvironment,
  largeSecrets,
  largePods,
  longManifests,
];
