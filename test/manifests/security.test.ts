import { DaemonSet } from 'kubernetes-models/apps/v1';
import { type INetworkPolicySpec, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import { type IPodSpec, Namespace } from 'kubernetes-models/v1';
import { beforeAll, describe, expect, it } from 'vitest';
import { OPTIONS } from '../../agent/config/options.ts';
import { RUNTIME_SOCKETS } from '../../agent/runtime/endpoint.ts';
import { containersOf } from './installation.ts';
import { type Applied, build, INSTALLATIONS, type KubernetesObject } from './kustomize.ts';

const RUNTIME = { path: '/run/containerd', type: 'Directory' };
const NRI = { path: '/var/run/nri', type: 'DirectoryOrCreate' };
const STATE = { path: '/var/lib/pullwarden', type: 'DirectoryOrCreate' };
const KUBECONFIG = { path: '/etc/kubernetes/kubelet.conf', type: 'File' };
const PKI = { path: '/var/lib/kubelet/pki', type: 'Directory' };

const AS_SERVICE_ACCOUNT = INSTALLATIONS.filter((folder) => folder.includes('service-account'));
const AS_NODE = INSTALLATIONS.filter((folder) => !folder.includes('service-account'));

describe.each([...INSTALLATIONS, 'removal'] as const)(
  'the pods of manifests/%s',
  { timeout: 60_000 },
  (folder) => {
    let objects: readonly KubernetesObject[];
    let pod: IPodSpec;
    beforeAll(async () => {
      objects = await build(folder);
      pod = podOf(objects);
    });

    it('share nothing with the node but its volumes', () => {
      expect(pod.hostNetwork).toBeUndefined();
      expect(pod.hostPID).toBeUndefined();
      expect(pod.hostIPC).toBeUndefined();
      expect(pod.shareProcessNamespace).toBeUndefined();
      expect(containersOf(pod).flatMap(({ ports = [] }) => ports.filter(({ hostPort }) => hostPort))).toEqual(
        [],
      );
    });

    it('have no capability, no way to more privileges, and a root file system that cannot be written', () => {
      for (const { name, securityContext } of containersOf(pod)) {
        expect(securityContext, name).toEqual({
          privileged: false,
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
      }
    });

    it("are root, whom the sockets belong to, under the runtime's seccomp profile", () => {
      expect(pod.securityContext).toEqual({
        runAsUser: 0,
        runAsGroup: 0,
        seccompProfile: { type: 'RuntimeDefault' },
      });
      expect(pod.hostUsers).toBeUndefined();
    });

    it('live in a namespace whose Pod Security level lets hostPath and root in', () => {
      const [namespace] = objects.filter(Namespace.is);
      expect(namespace?.metadata?.labels).toMatchObject({
        'pod-security.kubernetes.io/enforce': 'privileged',
      });
      expect(podOf(objects).volumes?.every(({ hostPath }) => hostPath)).toBe(true);
    });
  },
);

describe.each(INSTALLATIONS)('the volumes of manifests/%s', { timeout: 60_000 }, (folder) => {
  it('are the directories of the sockets, the state, and nothing but kubelet’s credentials besides', async () => {
    const { volumes = [] } = podOf(await build(folder));
    const credentials = AS_NODE.includes(folder) ? [KUBECONFIG, PKI] : [];
    expect(volumes.map(({ hostPath }) => hostPath)).toEqual([...credentials, RUNTIME, NRI, STATE]);
  });

  it('are mounted read-only but for the state, and where they are on the node', async () => {
    const pod = podOf(await build(folder));
    const paths = new Map(pod.volumes?.map(({ name, hostPath }) => [name, hostPath?.path]));
    for (const { volumeMounts = [] } of containersOf(pod)) {
      expect(volumeMounts).toHaveLength(paths.size);
      for (const { name, mountPath, readOnly = false, subPath, mountPropagation } of volumeMounts) {
        expect({ mountPath, subPath, readOnly, mountPropagation }).toEqual({
          mountPath: paths.get(name),
          subPath: undefined,
          mountPropagation: undefined,
          readOnly: name !== 'state',
        });
      }
    }
  });

  it('hold what the agent looks for by default', () => {
    expect(RUNTIME_SOCKETS.filter((path) => path.startsWith(`${RUNTIME.path}/`))).not.toEqual([]);
    expect(OPTIONS.nriSocket.default).toBe(`${NRI.path}/nri.sock`);
    expect(OPTIONS.stateDir.default).toBe(STATE.path);
  });
});

describe.each(INSTALLATIONS)('the network of manifests/%s', { timeout: 60_000 }, (folder) => {
  it('lets nobody in, and the agent out to the API server and to names only', async () => {
    const spec = await policyOf(folder);
    expect(spec.podSelector).toEqual({ matchLabels: { 'app.kubernetes.io/name': 'pullwarden' } });
    expect(spec.policyTypes).toEqual(['Ingress', 'Egress']);
    expect(spec.ingress).toEqual([]);
    const ports = spec.egress?.flatMap((rule) => rule.ports ?? []);
    expect(ports?.map(({ port, protocol }) => `${port}/${protocol}`)).toEqual([
      '443/TCP',
      '6443/TCP',
      '53/UDP',
      '53/TCP',
    ]);
  });
});

describe('the network of manifests/monitoring', { timeout: 60_000 }, () => {
  it("lets Prometheus' namespace in, to the metrics only", async () => {
    const spec = await policyOf('monitoring');
    expect(spec.ingress).toEqual([
      {
        from: [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }],
        ports: [{ port: 'metrics', protocol: 'TCP' }],
      },
    ]);
    expect(spec.policyTypes).toEqual(['Ingress']);
  });
});

describe.each(AS_NODE)('the rights of manifests/%s', { timeout: 60_000 }, (folder) => {
  it("are the node's own: no role, no binding, no token", async () => {
    const objects = await build(folder);
    expect(objects.filter(({ apiVersion }) => apiVersion.startsWith('rbac'))).toEqual([]);
    expect(podOf(objects).automountServiceAccountToken).toBe(false);
  });
});

describe.each(AS_SERVICE_ACCOUNT)('the rights of manifests/%s', { timeout: 60_000 }, (folder) => {
  it('are to read pods, to get secrets by name, and to write Events', async () => {
    const objects = await build(folder);
    expect(objects.filter(({ kind }) => kind === 'ClusterRole')).toMatchObject([
      {
        metadata: { name: 'pullwarden' },
        rules: [
          { apiGroups: [''], resources: ['pods'], verbs: ['get', 'list', 'watch'] },
          { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] },
          { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
        ],
      },
      {
        metadata: { name: 'pullwarden-image-pull-secrets' },
        rules: [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }],
      },
    ]);
    expect(podOf(objects)).toMatchObject({
      serviceAccountName: 'pullwarden',
      automountServiceAccountToken: true,
    });
  });

  it('are for the secrets of all namespaces, or of those that are named', async () => {
    const objects = await build(folder);
    const secrets = objects.filter(
      ({ kind, metadata }) =>
        kind.endsWith('RoleBinding') && metadata?.name === 'pullwarden-image-pull-secrets',
    );
    const bound = secrets.map(({ kind, metadata }) => [kind, metadata?.namespace]);
    expect(bound).toEqual(
      folder.endsWith('namespaced')
        ? [
            ['RoleBinding', 'team-a'],
            ['RoleBinding', 'team-b'],
          ]
        : [['ClusterRoleBinding', undefined]],
    );
  });

  it('are given to the ServiceAccount of the pod, and to nobody else', async () => {
    const bindings = (await build(folder)).filter(({ kind }) => kind.endsWith('Binding'));
    expect(bindings).not.toEqual([]);
    for (const binding of bindings) {
      expect(binding).toMatchObject({
        roleRef: { kind: 'ClusterRole', name: binding.metadata?.name },
        subjects: [{ kind: 'ServiceAccount', name: 'pullwarden', namespace: 'pullwarden' }],
      });
      expect(binding).toHaveProperty('subjects.length', 1);
    }
  });
});

describe('manifests/removal', { timeout: 60_000 }, () => {
  it('runs wherever the agent ran, and removes its state directory', async () => {
    const pod = podOf(await build('removal'));
    const agent = podOf(await build('base'));
    expect(pod.tolerations).toEqual(agent.tolerations);
    expect(pod.nodeSelector).toEqual(agent.nodeSelector);
    expect(pod.affinity).toEqual(agent.affinity);
    expect(pod.volumes).toMatchObject([{ hostPath: { path: '/var/lib', type: 'Directory' } }]);
    expect(pod.initContainers?.[0]?.command?.at(-1)).toContain(`'/host${STATE.path}'`);
  });
});

function podOf(objects: readonly KubernetesObject[]): IPodSpec {
  const [daemonSet] = objects.filter(DaemonSet.is);
  const pod = daemonSet?.spec?.template.spec;
  if (!pod) throw new TypeError('no DaemonSet with a pod');
  return pod;
}

async function policyOf(folder: Applied): Promise<INetworkPolicySpec> {
  const [policy, another] = (await build(folder)).filter(NetworkPolicy.is);
  if (!policy?.spec || another) throw new TypeError('not one network policy');
  return policy.spec;
}
