import { status as grpc } from '@grpc/grpc-js';
import { describe, expect, it, vi } from 'vitest';
import { createCriClient } from '../../agent/runtime/cri-client.ts';
import { ID, sandbox, useCriClient } from './cri-scene.ts';

const scene = useCriClient();

describe('pulling', () => {
  const image = 'r.example/a:1';
  const auth = { username: 'alice', password: 'correct horse' };

  it("hands over the pod's credential and gives back the image id", async () => {
    scene.runtime().answers.PullImage = () => ({ imageRef: ID });
    expect(await scene.client().pullImage({ image, auth, timeoutMs: 60_000 })).toEqual({
      outcome: 'pulled',
      imageRef: ID,
    });
    expect(scene.runtime().calls[0]?.request).toMatchObject({ image: { image }, auth });
  });

  it('sends no credential at all for an anonymous pull', async () => {
    scene.runtime().answers.PullImage = () => ({ imageRef: ID });
    await scene.client().pullImage({ image, timeoutMs: 60_000 });
    expect(scene.runtime().calls[0]?.request).toMatchObject({ auth: null, sandboxConfig: null });
  });

  it('says for which pod it is, with what annotations and by which handler, as kubelet does', async () => {
    scene.runtime().answers.PullImage = () => ({ imageRef: ID });
    scene.runtime().answers.PodSandboxStatus = () => ({ status: { ...sandbox, runtimeHandler: 'kata' } });
    const found = await scene.client().sandbox(sandbox.id);
    await scene.client().pullImage({ image, sandbox: found, runtimeHandler: 'kata', timeoutMs: 60_000 });
    const { metadata, labels, annotations } = sandbox;
    expect(scene.runtime().calls.at(-1)?.request).toEqual({
      image: { image, annotations, runtimeHandler: 'kata', userSpecifiedImage: '' },
      auth: null,
      sandboxConfig: { metadata, labels, annotations },
    });
    await scene
      .client()
      .pullImage({ image, sandbox: found, annotations: { mine: 'yes' }, timeoutMs: 60_000 });
    expect(scene.runtime().calls.at(-1)?.request).toMatchObject({
      image: { annotations: { mine: 'yes' }, runtimeHandler: '' },
      sandboxConfig: { annotations },
    });
  });

  it.each([
    ['r.example/a:1', 'r.example', 'refused registry'],
    ['docker.io/library/a:1', 'registry-1.docker.io', 'refused registry'],
    ['a/b:1', 'registry-1.docker.io', 'refused registry'],
    ['a', 'registry-1.docker.io', 'refused registry'],
    ['localhost/a', 'localhost', 'refused registry'],
    ['r.example/a:1', 'mirror.example', 'refused other'],
  ])('%s: tells that %s refused it: %s', async (name, host, word) => {
    scene.runtime().answers.PullImage = () => ({
      code: grpc.UNKNOWN,
      details: `unexpected status from HEAD request to https://${host}/v2/a/manifests/1: 401 Unauthorized`,
    });
    const outcome = await scene.client().pullImage({ image: name, timeoutMs: 60_000 });
    expect(outcome).toMatchObject({ outcome: word.split(' ')[0], speaker: word.split(' ')[1] });
  });

  it("asks which hosts are a registry itself by the image's registry", async () => {
    const asked: string[] = [];
    const mapped = createCriClient({
      socketPath: scene.runtime().socketPath,
      async hostsOfRegistry(registry) {
        asked.push(registry);
        return ['10.0.0.1:5000'];
      },
    });
    scene.runtime().answers.PullImage = () => ({
      code: grpc.UNKNOWN,
      details:
        'unexpected status from HEAD request to https://10.0.0.1:5000/v2/a/manifests/1: 401 Unauthorized',
    });
    expect(await mapped.pullImage({ image, timeoutMs: 10_000 })).toMatchObject({ speaker: 'registry' });
    expect(asked).toEqual(['r.example']);
    mapped.close();
  });

  it('classifies a refusal, without the credential in its message', async () => {
    scene.runtime().answers.PullImage = () => ({
      code: grpc.UNKNOWN,
      details: 'x: denied: alice may not, with correct horse',
    });
    const outcome = await scene.client().pullImage({ image, auth, timeoutMs: 60_000 });
    expect(outcome).toMatchObject({ outcome: 'refused' });
    expect(JSON.stringify(outcome)).not.toContain('correct horse');
  });

  it('is unavailable when the reset of the server comes before its own deadline', async () => {
    scene.runtime().answers.PullImage = () => {
      const started = performance.now();
      while (performance.now() < started + 475);
      return { code: grpc.CANCELLED, details: 'Call cancelled' };
    };
    expect(await scene.client().pullImage({ image, auth, timeoutMs: 500 })).toMatchObject({
      outcome: 'unavailable',
    });
  });

  it('says nothing of the registry when the client is closed meanwhile', async () => {
    scene.runtime().answers.PullImage = () => undefined;
    const pull = scene.client().pullImage({ image, auth, timeoutMs: 5_000 });
    await vi.waitFor(() => expect(scene.runtime().count('PullImage')).toBe(1));
    scene.client().close();
    scene.runtime().kill();
    expect(await pull).toMatchObject({ outcome: 'runtimeUnavailable' });
  });

  it('is unavailable at its deadline, and the runtime when there is none', async () => {
    scene.runtime().answers.PullImage = () => undefined;
    expect(await scene.client().pullImage({ image, auth, timeoutMs: 100 })).toMatchObject({
      outcome: 'unavailable',
    });
    scene.runtime().kill();
    expect(await scene.client().pullImage({ image, auth, timeoutMs: 60_000 })).toMatchObject({
      outcome: 'runtimeUnavailable',
    });
  });
});
