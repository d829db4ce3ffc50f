import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { podFromObject } from '../../agent/pods/manifest.ts';

function recorded(name: string): unknown {
  const file = new URL(`../captures/apiserver/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8'));
}

/** A pod whose one container mounts one volume. */
function podWith(volume: object, mounts: readonly string[] = ['data']): unknown {
  const volumeMounts = mounts.map((name) => ({ name, mountPath: `/${name}` }));
  return {
    metadata: { name: 'web', namespace: 'team-a', uid: 'u' },
    spec: { containers: [{ name: 'app', image: 'app:1', volumeMounts }], volumes: [volume] },
  };
}

function volumesOf(object: unknown) {
  return podFromObject(object).containers.flatMap(({ imageVolumes }) => imageVolumes);
}

describe('a pod as the API server gives it', () => {
  it('has init containers (restartable ones too), containers and ephemeral ones', () => {
    const { containers, imagePullSecrets } = podFromObject(recorded('pod-many-kinds'));
    expect(containers.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
      'initContainer setup',
      'container app',
      'ephemeralContainer debugger-nq26c',
    ]);
    expect(imagePullSecrets).toEqual(['alice']);
  });

  it('has, for each container, the image volumes that it mounts', () => {
    const { containers } = podFromObject(recorded('pod-many-kinds'));
    expect(containers.map(({ name, imageVolumes }) => [name, imageVolumes])).toEqual([
      ['setup', []],
      ['app', [{ name: 'data', image: '127.0.0.1:5000/team-a/app:1', imagePullPolicy: 'IfNotPresent' }]],
      ['debugger-nq26c', []],
    ]);
  });

  it('has the uid of the static pod when it is its mirror: that is on the labels of the containers', () => {
    const { uid, name, namespace } = podFromObject(recorded('pod-mirror'));
    expect([namespace, name, uid]).toEqual([
      'kube-system',
      'static-web-lab',
      'bcfd6d5262f8a9d2cfd3c1cfb4fba896',
    ]);
  });

  it('is from a file or a URL when it is a mirror, and then without a service account', () => {
    const mirror = (source: string) =>
      podFromObject({
        metadata: {
          name: 'web-lab',
          annotations: { 'kubernetes.io/config.mirror': 'uid', 'kubernetes.io/config.source': source },
        },
        spec: { containers: [] },
      });
    expect(mirror('file')).toMatchObject({ configSource: 'file', serviceAccountName: '' });
    expect(mirror('http')).toMatchObject({ configSource: 'http', serviceAccountName: '' });
    expect(podFromObject(recorded('pod-mirror'))).toMatchObject({ configSource: 'file' });
  });

  it('is not what its owner writes into the annotation of kubelet', () => {
    const pod = podFromObject({
      metadata: { name: 'web', annotations: { 'kubernetes.io/config.source': 'file' } },
      spec: { containers: [] },
    });
    expect(pod.configSource).toBeUndefined();
    expect(pod.serviceAccountName).toBe('default');
  });
});

describe('a pod that was told to end', () => {
  const END = '2026-06-01T12:00:30Z';
  /** A pod with this metadata beside its name, and this status. */
  const ending = (metadata: object, status?: unknown) =>
    podFromObject({
      metadata: { name: 'web', namespace: 'team-a', uid: 'u', ...metadata },
      spec: { containers: [{ name: 'app', image: 'app:1' }] },
      status,
    });

  it('has the end of its grace, which is what its deletionTimestamp says, and the whole of it', () => {
    const { termination } = ending(
      { deletionTimestamp: END, deletionGracePeriodSeconds: 30 },
      { phase: 'Running' },
    );
    expect(termination).toEqual({ untilMs: Date.parse(END), graceMs: 30_000 });
  });

  it.each(['Succeeded', 'Failed'])('is no longer on its way when its phase is %s', (phase) => {
    const { termination } = ending({ deletionTimestamp: END, deletionGracePeriodSeconds: 30 }, { phase });
    expect(termination).toBeUndefined();
  });

  it.each([
    'soon',
    '',
    '2026-06-01',
    '2026-02-30T12:00:30Z',
    '12026-06-01T12:00:30Z',
    1_780_315_230,
    null,
    {},
  ])('is one like any other when its deletionTimestamp is %j', (deletionTimestamp) => {
    expect(ending({ deletionTimestamp })).toEqual(ending({}));
  });

  it.each([undefined, null, -1, 0.5, '30'])('has no grace when that is %j', (deletionGracePeriodSeconds) => {
    const { termination } = ending({ deletionTimestamp: END, deletionGracePeriodSeconds });
    expect(termination).toEqual({ untilMs: Date.parse(END), graceMs: 0 });
  });

  it.each([null, 'Running', { phase: 7 }])('is on its way whatever its status, such as %j', (status) => {
    expect(ending({ deletionTimestamp: END }, status).termination).toBeDefined();
  });
});

describe('settings of a pod that have nothing to do with its images', () => {
  const plain = {
    metadata: { name: 'web', namespace: 'team-a', uid: 'u' },
    spec: { containers: [{ name: 'app', image: 'app:1' }], imagePullSecrets: [{ name: 'alice' }] },
  };
  it.each([
    ['a user namespace', { hostUsers: false }],
    ['a policy for supplemental groups', { securityContext: { supplementalGroupsPolicy: 'Strict' } }],
    ['seccomp', { securityContext: { seccompProfile: { type: 'Localhost', localhostProfile: 'a.json' } } }],
    ['AppArmor', { securityContext: { appArmorProfile: { type: 'Unconfined' } } }],
    ['a RuntimeClass', { runtimeClassName: 'gvisor' }],
    ['the host network', { hostNetwork: true }],
  ])('make no difference to what is judged: %s', (_, settings) => {
    const pod = podFromObject({ ...plain, spec: { ...plain.spec, ...settings } });
    expect(pod).toEqual(podFromObject(plain));
  });
});

describe('an image volume', () => {
  it.each([
    ['data:latest', 'Always'],
    ['data', 'Always'],
    ['data:1', 'IfNotPresent'],
  ])(
    'of %s is pulled %s where nothing else is said, as the API server has it',
    (reference, imagePullPolicy) => {
      const volumes = volumesOf(podWith({ name: 'data', image: { reference } }));
      expect(volumes).toEqual([{ name: 'data', image: reference, imagePullPolicy }]);
    },
  );

  it('counts once, however often the container mounts it', () => {
    const volume = { name: 'data', image: { reference: 'data:1', pullPolicy: 'Never' } };
    expect(volumesOf(podWith(volume, ['data', 'data']))).toHaveLength(1);
  });

  it('that the container does not mount is none of its own', () => {
    expect(volumesOf(podWith({ name: 'data', image: { reference: 'data:1' } }, ['other']))).toEqual([]);
  });

  it('without a reference is none yet, and a volume of another kind never is', () => {
    expect(volumesOf(podWith({ name: 'data', image: {} }))).toEqual([]);
    expect(volumesOf(podWith({ name: 'data', emptyDir: {} }))).toEqual([]);
  });
});
