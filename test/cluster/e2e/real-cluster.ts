import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { E2eCluster, E2ePod, E2eTenant } from './cluster.ts';

/** What scripts/e2e-kind exports. */
const environment = z.object({
  /** An administrator of the cluster. */
  PULLWARDEN_E2E_KUBECONFIG: z.string(),
  /** host:port, as the nodes and image names have it. */
  PULLWARDEN_E2E_REGISTRY: z.string(),
  /** A private image in it, with `sleep`. */
  PULLWARDEN_E2E_IMAGE: z.string(),
  /** A JSON file with the passwords of the registry's users alice and dave. */
  PULLWARDEN_E2E_USERS: z.string(),
});

const podObject = z.object({
  metadata: z.object({ uid: z.string() }),
  status: z.object({
    containerStatuses: z
      .array(z.object({ state: z.object({ running: z.object({}).optional() }) }))
      .optional(),
  }),
});
const eventList = z.object({
  items: z.array(z.object({ type: z.string(), reason: z.string(), message: z.string() })),
});
const nodeList = z.object({ items: z.array(z.object({ metadata: z.object({ name: z.string() }) })) });

const TIMEOUT_MS = 120_000;
const STAYS_FOR_MS = 5_000;
const SECRET = 'pull-secret';

/**
 * A cluster with kubelets of its own, reached with kubectl; every pod goes to the same node, where the image
 * then is.
 */
export async function openRealCluster(): Promise<E2eCluster> {
  const settings = environment.parse(process.env);
  const registry = settings.PULLWARDEN_E2E_REGISTRY;
  const image = settings.PULLWARDEN_E2E_IMAGE;
  const users = z
    .object({ alice: z.string(), dave: z.string() })
    .parse(JSON.parse(readFileSync(settings.PULLWARDEN_E2E_USERS, 'utf8')));
  const logins: Record<E2eTenant, { username: string; password: string } | undefined> = {
    owner: { username: 'alice', password: users.alice },
    withoutSecret: undefined,
    wrongPassword: { username: 'alice', password: randomUUID() },
    otherSecret: { username: 'dave', password: users.dave },
  };
  const namespaces = new Map<E2eTenant, string>();
  const kubectl = (args: readonly string[], input?: object): Promise<string> =>
    run(['--kubeconfig', settings.PULLWARDEN_E2E_KUBECONFIG, ...args], input);
  const workers = [
    'get',
    'nodes',
    '--selector',
    '!node-role.kubernetes.io/control-plane',
    '--output',
    'json',
  ];
  const nodeName = nodeList.parse(JSON.parse(await kubectl(workers))).items[0]?.metadata.name;
  if (nodeName === undefined) throw new Error('the cluster has no worker node');

  async function namespaceOf(tenant: E2eTenant): Promise<string> {
    const known = namespaces.get(tenant);
    if (known) return known;
    const name = `e2e-${tenant.toLowerCase()}-${randomUUID().slice(0, 8)}`;
    namespaces.set(tenant, name);
    await kubectl(['create', 'namespace', name]);
    const login = logins[tenant];
    if (login) {
      const config = JSON.stringify({ auths: { [registry]: login } });
      await kubectl(['apply', '--filename', '-'], {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { namespace: name, name: SECRET },
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': Buffer.from(config).toString('base64') },
      });
    }
    return name;
  }

  function follow(namespace: string, name: string): E2ePod {
    const get = async (): Promise<z.infer<typeof podObject>> =>
      podObject.parse(JSON.parse(await kubectl(['get', 'pod', name, '-n', namespace, '--output', 'json'])));
    const runs = async (): Promise<boolean> =>
      ((await get()).status.containerStatuses ?? []).some(({ state }) => state.running !== undefined);
    const events = async () => {
      const selector = `involvedObject.name=${name},source=pullwarden`;
      const list = ['get', 'events', '-n', namespace, '--field-selector', selector, '--output', 'json'];
      return eventList.parse(JSON.parse(await kubectl(list))).items;
    };
    return {
      async becomes(state) {
        if (state === 'refused') await until('an Event', async () => (await events())[0]);
        await until(state, async () => ((await runs()) === (state === 'running') ? true : undefined));
        await sleep(STAYS_FOR_MS);
        if ((await runs()) !== (state === 'running')) throw new Error(`${name} did not stay ${state}`);
      },
      event: () => until('an Event', async () => (await events())[0]),
      async remove() {
        await kubectl(['delete', 'pod', name, '-n', namespace, '--grace-period=1']);
      },
    };
  }

  return {
    image,
    async start(tenant, imagePullPolicy) {
      const namespace = await namespaceOf(tenant);
      const name = `app-${randomUUID().slice(0, 8)}`;
      await kubectl(['apply', '--filename', '-'], {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { namespace, name },
        spec: {
          nodeName,
          terminationGracePeriodSeconds: 1,
          imagePullSecrets: logins[tenant] ? [{ name: SECRET }] : [],
          containers: [{ name: 'app', image, imagePullPolicy, command: ['sleep', '3600'] }],
        },
      });
      return follow(namespace, name);
    },
    async stop() {
      for (const name of namespaces.values()) await kubectl(['delete', 'namespace', name, '--wait=false']);
    },
  };
}

async function until<Found>(what: string, find: () => Promise<Found | undefined>): Promise<Found> {
  const deadline = Date.now() + TIMEOUT_MS;
  for (;;) {
    const found = await find();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain for: ${what}`);
    await sleep(500);
  }
}

/** Objects go through standard input: a secret must not stand on a command line. */
function run(args: readonly string[], input?: object): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('kubectl', args, { maxBuffer: 16 * 1_048_576 }, (error, stdout) =>
      error ? reject(new Error(`kubectl ${args.join(' ')} failed`)) : resolve(stdout),
    );
    child.stdin?.end(input === undefined ? '' : JSON.stringify(input));
  });
}
