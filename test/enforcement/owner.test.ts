import { describe, expect, it } from 'vitest';
import { findOwner } from '../../agent/enforcement/owner.ts';
import { PodSourceError, RuntimeError } from '../../agent/errors.ts';
import type { Pod } from '../../agent/pods/pod-source.ts';

const web: Pod = {
  namespace: 'team-a',
  name: 'web',
  uid: 'uid-web',
  serviceAccountName: 'default',
  imagePullSecrets: [],
  containers: [
    {
      name: 'app',
      image: 'reg.example.com/app:1',
      imagePullPolicy: 'IfNotPresent',
      kind: 'container',
      imageVolumes: [],
    },
  ],
};
const labels = {
  podSandboxId: 's1',
  pod: { namespace: 'team-a', name: 'web', uid: 'uid-web' },
  containerName: 'app',
  image: 'sha256:0a',
};

function find(
  pod: Pod | undefined | Error,
  source: string | undefined | Error = undefined,
  of: typeof labels = labels,
) {
  return findOwner(
    {
      getPod: async () => {
        if (pod instanceof Error) throw pod;
        return pod;
      },
    },
    async () => {
      if (source instanceof Error) throw source;
      return source;
    },
    of,
  );
}

describe('the owner of a container', () => {
  it('is the pod of its labels, with the part of the spec that is about it', async () => {
    expect(await find(web)).toEqual({ pod: web, spec: web.containers[0] });
  });

  it('is missing as podUnknown when kubelet took the pod from an API server that does not know it', async () => {
    expect(await find(undefined, 'api')).toMatchObject({ verdict: 'denied', reason: 'podUnknown' });
    const other = { ...labels, containerName: 'not-in-the-spec' };
    expect(await find(web, 'api', other)).toMatchObject({ verdict: 'denied', reason: 'podUnknown' });
  });

  it.each(['file', 'http'])(
    'is a pod with nothing of its own when kubelet took it from a %s source',
    async (source) => {
      const spec = { name: 'app', image: 'sha256:0a', imagePullPolicy: 'IfNotPresent' };
      expect(await find(undefined, source)).toMatchObject({
        pod: {
          namespace: 'team-a',
          name: 'web',
          uid: 'uid-web',
          serviceAccountName: '',
          imagePullSecrets: [],
        },
        spec,
      });
      expect(await find(undefined, source, { ...labels, image: '' })).toMatchObject({
        verdict: 'denied',
        reason: 'unmanagedPod',
      });
    },
  );

  it('is missing as unmanagedPod when kubelet did not make the container', async () => {
    for (const source of ['whatever a tenant wrote', undefined]) {
      const verdict = await find(undefined, source);
      expect(verdict).toMatchObject({ verdict: 'denied', reason: 'unmanagedPod' });
      expect(JSON.stringify(verdict)).not.toContain('tenant wrote');
    }
  });

  it('is missing as unmanagedPod without labels of a pod, whatever its sandbox says', async () => {
    const unlabelled = { ...labels, pod: { namespace: '', name: '', uid: '' } };
    expect(await find(web, 'api', unlabelled)).toMatchObject({ reason: 'unmanagedPod' });
    expect(await find(web, 'api', { ...labels, containerName: '' })).toMatchObject({
      reason: 'unmanagedPod',
    });
  });

  it('cannot be found while the pods or the sandbox cannot be read, nor by a mistake of the agent', async () => {
    const away = new PodSourceError('apiServerUnavailable', 'connection refused');
    expect(await find(away)).toMatchObject({ verdict: 'unverifiable', reason: 'apiServerUnavailable' });
    const runtimeAway = new RuntimeError('unreachable', 'connection refused');
    expect(await find(undefined, runtimeAway)).toMatchObject({
      verdict: 'unverifiable',
      reason: 'runtimeUnavailable',
    });
    expect(await find(new TypeError('x'))).toMatchObject({
      verdict: 'unverifiable',
      reason: 'internalError',
    });
  });
});
