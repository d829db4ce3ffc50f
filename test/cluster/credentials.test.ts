import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRecordStoreReadOnly } from '../../agent/records/sqlite/open.ts';
import type { ImagePullCredentials } from '../../agent/records/types.ts';
import type { ContainerdSeries } from '../../scripts/lab/programs.ts';
import { pushImage } from '../../scripts/lab/push.ts';
import type { Tenant } from '../../scripts/story/tenants.ts';
import { offers } from '../node/scene.ts';
import {
  type KubeletCredentials,
  LOGIN_ANNOTATION,
  type Login,
  writeKubeletCredentials,
} from './credentials/kubelet-credentials.ts';
import type { ApiContainer } from './kubelet.ts';
import { type ClusterScene, openClusterScene } from './scene.ts';

type Enforced = { readonly by: 'veto' | 'guard'; readonly containerd: ContainerdSeries };

const enforced: readonly Enforced[] = [
  { by: 'veto', containerd: '2' },
  { by: 'guard', containerd: '1.6' },
];

function isAvailable(containerd: ContainerdSeries): boolean {
  return offers.some((offer) => offer.containerd === containerd && offer.available);
}

const AUDIENCE = 'https://registry.lab.example.com';
const REGISTRIES = ['htpasswd', 'token'] as const;
/** The veto hears of a grant that took longer than the runtime waits when kubelet asks again: from the record. */
const GRANTED = /^allowed (repullSucceeded|nodeCredentials|recordMatched)$/;
type RegistryKind = (typeof REGISTRIES)[number];
/** What each image is for; the tests share nothing else. */
const REPOSITORIES = [
  ...['secret', 'file', 'plugin', 'account', 'recreated'],
  ...['secret-and-plugin', 'secret-and-account', 'account-behind-secret', 'file-and-plugin'],
] as const;

describe.each(enforced.filter(({ containerd }) => isAvailable(containerd)))(
  'what pods pull with, enforced by $by on containerd $containerd',
  { timeout: 60_000 },
  ({ by, containerd }) => {
    let scene: ClusterScene;
    let kubelet: KubeletCredentials;
    const contents = new Map<string, string>();

    beforeAll(async () => {
      scene = await openClusterScene(containerd, { identity: 'node', nri: by === 'veto' });
      const { registries } = scene.node;
      registries.token.setGrants({ alice: ['team-a/'], bob: ['team-b/'] });
      kubelet = await writeKubeletCredentials(
        join(scene.node.root, 'kubelet'),
        { ...everywhere('file'), ...everywhere('file-and-plugin', wrong()) },
        [
          {
            name: 'node-plugin',
            matchImages: [...places('plugin'), ...places('secret-and-plugin'), ...places('file-and-plugin')],
            auth: {
              ...everywhere('plugin'),
              ...everywhere('secret-and-plugin'),
              ...everywhere('file-and-plugin'),
            },
          },
          {
            name: 'account-plugin',
            audience: AUDIENCE,
            matchImages: [
              ...places('account'),
              ...places('recreated'),
              ...places('secret-and-account'),
              ...places('account-behind-secret'),
            ],
            logins: { alice: hosts(alice), nobody: hosts(wrong) },
          },
        ],
      );
      scene.api.grant('system:node:lab', {
        verbs: ['request-serviceaccounts-token-audience'],
        resources: [AUDIENCE],
      });
      account('team-a', 'builder', 'alice');
      account('team-a', 'other', 'nobody');
      for (const namespace of ['team-a', 'team-b', 'team-c']) account(namespace, 'default');
      account('team-b', 'builder');
      account('team-c', 'builder', 'alice');
      await scene.startAgent(
        ...['--mode', 'enforce', '--fuse-count', '1000', ...kubelet.flags],
        ...['--registry-config-dir', join(scene.node.root, 'certs.d')],
      );
      // Somebody has pulled all of them already: nothing is preloaded, and kubelet has nothing to pull.
      for (const kind of REGISTRIES) {
        for (const name of REPOSITORIES) {
          const salt = `${kind} ${name}`;
          const { configDigest } = await pushImage(registries[kind], `team-a/${name}`, '1', { salt });
          contents.set(salt, configDigest);
          await scene.node.kubelet.pullImage(imageOf(kind, name), alice(kind));
        }
      }
    }, 180_000);

    afterAll(async () => scene?.stop(), 60_000);

    const alice = (kind: RegistryKind): Login => ({
      username: 'alice',
      password: scene.node.registries[kind].users.alice ?? '',
    });
    const wrong = (): Login => ({ username: 'alice', password: `not-${randomUUID()}` });
    const hosts = (login: (kind: RegistryKind) => Login) =>
      Object.fromEntries(REGISTRIES.map((kind) => [scene.node.registries[kind].host, login(kind)]));
    const repositoryOf = (kind: RegistryKind, name: string) =>
      `${scene.node.registries[kind].host}/team-a/${name}`;
    const imageOf = (kind: RegistryKind, name: string) => `${repositoryOf(kind, name)}:1`;
    const places = (name: string) => REGISTRIES.map((kind) => repositoryOf(kind, name));
    const everywhere = (name: string, login?: Login) =>
      Object.fromEntries(REGISTRIES.map((kind) => [repositoryOf(kind, name), login ?? alice(kind)]));

    /** A service account of that name, anew: its uid. */
    function account(namespace: string, name: string, login?: string): string {
      const uid = randomUUID();
      const annotations = login === undefined ? {} : { [LOGIN_ANNOTATION]: login };
      scene.api.putServiceAccount({ metadata: { namespace, name, uid, annotations } });
      return uid;
    }

    type Wanted = {
      readonly serviceAccountName?: string;
      readonly imagePullPolicy?: ApiContainer['imagePullPolicy'];
    };
    /** What was said of a pod of this tenant, once it is as it was said; the pod is gone then. */
    async function said(
      kind: RegistryKind,
      name: string,
      tenant: Tenant,
      { serviceAccountName = 'default', imagePullPolicy = 'IfNotPresent' }: Wanted = {},
    ): Promise<string> {
      const pod = scene.run({
        tenant,
        image: imageOf(kind, name),
        imagePullPolicy,
        registry: scene.node.registries[kind],
        spec: { serviceAccountName },
      });
      const verdict = await scene.verdict(pod, (text) => !text.startsWith('unverifiable'));
      await scene.becomes(pod, verdict.startsWith('allowed') ? 'running' : 'stopped');
      await pod.remove();
      return verdict;
    }
    const withSecret = (kind: RegistryKind): Tenant => ({ ...scene.tenants.a, login: alice(kind) });
    const withoutSecret = (namespace: string): Tenant => ({ letter: '', who: '', namespace });

    /** What is on record for the image. */
    function recorded(kind: RegistryKind, name: string): ImagePullCredentials | undefined {
      const { store } = openRecordStoreReadOnly(join(scene.node.root, 'agent-state'));
      try {
        const content = contents.get(`${kind} ${name}`) ?? '';
        return store.pulledRecord(content)?.credentialMapping.get(repositoryOf(kind, name));
      } finally {
        store.close();
      }
    }

    describe.each(REGISTRIES)('from the registry with %s', (kind) => {
      it('a secret: on record for that secret, and for nobody else of the namespace', async () => {
        expect(await said(kind, 'secret', withSecret(kind))).toMatch(GRANTED);
        expect(recorded(kind, 'secret')).toEqual({
          kubernetesSecrets: [
            {
              namespace: 'team-a',
              name: `pull-secret-${kind}`,
              uid: `uid-of-team-a-${kind}`,
              credentialHash: expect.stringMatching(/^[0-9a-f]{64}$/),
            },
          ],
        });
        expect(
          await Promise.all([
            said(kind, 'secret', withSecret(kind), { imagePullPolicy: 'Never' }),
            said(kind, 'secret', withoutSecret('team-a')),
            said(kind, 'secret', withoutSecret('team-a'), { imagePullPolicy: 'Never' }),
            said(kind, 'secret', scene.tenants.c),
          ]),
        ).toEqual([
          'allowed recordMatched',
          'denied registryRefused',
          'denied neverWithoutRecord',
          'denied registryRefused',
        ]);
      });

      it.each(['file', 'plugin'] as const)(
        "the node's %s: for every pod of the node, once pulled",
        async (name) => {
          const b = scene.tenants.b;
          expect(await said(kind, name, b, { imagePullPolicy: 'Never' })).toBe('denied neverWithoutRecord');
          expect(await said(kind, name, b)).toMatch(GRANTED);
          expect(recorded(kind, name)).toEqual({ nodePodsAccessible: true });
          const runs = await kubelet.runsOf('node-plugin');
          expect(
            await Promise.all([
              said(kind, name, b, { imagePullPolicy: 'Never' }),
              said(kind, name, scene.tenants.c),
              said(kind, name, withoutSecret('team-a'), { imagePullPolicy: 'Never' }),
            ]),
          ).toEqual(['allowed recordMatched', 'allowed recordMatched', 'allowed recordMatched']);
          // What is on record for everybody is not asked about.
          expect(await kubelet.runsOf('node-plugin')).toBe(runs);
        },
      );

      it("a service account's token: for pods of that account alone", async () => {
        const team = withoutSecret('team-a');
        const builder = { serviceAccountName: 'builder' };
        const never = { imagePullPolicy: 'Never' } as const;
        expect(await said(kind, 'account', team, builder)).toMatch(GRANTED);
        expect(recorded(kind, 'account')).toMatchObject({
          kubernetesServiceAccounts: [{ namespace: 'team-a', name: 'builder' }],
        });
        expect(
          await Promise.all([
            said(kind, 'account', team, { ...builder, ...never }),
            said(kind, 'account', team, { serviceAccountName: 'other' }),
            said(kind, 'account', team, { serviceAccountName: 'other', ...never }),
            said(kind, 'account', team),
            said(kind, 'account', withoutSecret('team-b'), builder),
          ]),
        ).toEqual([
          'allowed recordMatched',
          'denied registryRefused',
          'denied neverWithoutRecord',
          'denied registryRefused',
          'denied registryRefused',
        ]);
      });

      it('a service account that was made anew is another one', async () => {
        const team = withoutSecret('team-a');
        const name = { serviceAccountName: `recreated-${kind}` };
        const first = account('team-a', name.serviceAccountName, 'alice');
        expect(await said(kind, 'recreated', team, name)).toMatch(GRANTED);
        account('team-a', name.serviceAccountName);
        expect(await said(kind, 'recreated', team, name)).toBe('denied registryRefused');
        const third = account('team-a', name.serviceAccountName, 'alice');
        expect(await said(kind, 'recreated', team, { ...name, imagePullPolicy: 'Never' })).toBe(
          'denied neverWithoutRecord',
        );
        expect(await said(kind, 'recreated', team, name)).toMatch(GRANTED);
        const uids = recorded(kind, 'recreated')?.kubernetesServiceAccounts?.map(({ uid }) => uid);
        expect(new Set(uids)).toEqual(new Set([first, third]));
      });

      it('a secret that is no good and a plugin of the node: the node has pulled it', async () => {
        expect(await said(kind, 'secret-and-plugin', scene.tenants.c)).toMatch(GRANTED);
        expect(recorded(kind, 'secret-and-plugin')).toEqual({ nodePodsAccessible: true });
        expect(await said(kind, 'secret-and-plugin', scene.tenants.b)).toBe('allowed recordMatched');
      });

      it('a secret that is no good and a service account that is: the account has pulled it', async () => {
        const builder = { serviceAccountName: 'builder' };
        expect(await said(kind, 'secret-and-account', scene.tenants.c, builder)).toMatch(GRANTED);
        expect(recorded(kind, 'secret-and-account')).toMatchObject({
          kubernetesServiceAccounts: [{ namespace: 'team-c', name: 'builder' }],
        });
        expect(
          await Promise.all([
            said(kind, 'secret-and-account', scene.tenants.c),
            said(kind, 'secret-and-account', withoutSecret('team-c'), {
              ...builder,
              imagePullPolicy: 'Never',
            }),
          ]),
        ).toEqual(['denied registryRefused', 'allowed recordMatched']);
      });

      it('a good secret and a good service account: the secret comes first', async () => {
        const builder = { serviceAccountName: 'builder' };
        const name = 'account-behind-secret';
        expect(await said(kind, name, withSecret(kind), builder)).toMatch(GRANTED);
        expect(recorded(kind, name)).toMatchObject({
          kubernetesSecrets: [{ namespace: 'team-a', name: `pull-secret-${kind}` }],
        });
        expect(recorded(kind, name)?.kubernetesServiceAccounts ?? []).toEqual([]);
        const team = withoutSecret('team-a');
        expect(await said(kind, name, team, { ...builder, imagePullPolicy: 'Never' })).toBe(
          'denied neverWithoutRecord',
        );
      });

      it("a docker config that is no good and a plugin: the plugin's is tried as well", async () => {
        expect(await said(kind, 'file-and-plugin', scene.tenants.b)).toMatch(GRANTED);
        expect(recorded(kind, 'file-and-plugin')).toEqual({ nodePodsAccessible: true });
      });
    });

    it('says nothing of what they pulled with', () => {
      const log = scene.agent().log();
      for (const kind of REGISTRIES) expect(log).not.toContain(alice(kind).password);
      expect(log).not.toMatch(/token-[\w-]{32}/);
    });
  },
);
