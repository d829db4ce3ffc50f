import { setTimeout as sleep } from 'node:timers/promises';
import { status as grpc } from '@grpc/grpc-js';
import { describe, expect, it, vi } from 'vitest';
import { createCriClient } from '../../agent/runtime/cri-client.ts';
import { failureOf, ID, sandbox, useCriClient } from './cri-scene.ts';
import { capture, podLabels } from './fake-runtime.ts';

type ImageFields = Record<string, { containers: Record<string, unknown>[]; images: { id: string }[] }>;
const imageFields: ImageFields = JSON.parse(capture('cri-image-fields.json'));

const scene = useCriClient();

describe('whose pulls had a piece in their hands', () => {
  it('is not known of a runtime that keeps no notes about it, as CRI-O does not', async () => {
    expect(await scene.client().blobsOfPieces([`sha256:${ID}`])).toBeUndefined();
  });
});

describe('listing', () => {
  it('reads what containerd 2.1 listed, nanoseconds and all', async () => {
    scene.runtime().answers.ListContainers = () => JSON.parse(capture('cri-list-containers-2.1.json'));
    const containers = await scene.client().listContainers();
    expect(containers).toHaveLength(7);
    expect(containers[3]).toEqual({
      id: 'a64ebd75629a271dbede3c91574c8137ca2d84736f80ea90b905acbd19435635',
      podSandboxId: '34dbac661b2c7aba5717d542af039d6b108d9b24a5961a109a41694d652136eb',
      state: 'running',
      createdAt: 1795406785913412867n,
      imageRef: 'sha256:fea686fde836cc8b8dd218b49c8f84e35ad6e987737dafcec7dc7a76715c0320',
      containerName: 'app',
      pod: { namespace: 'team-b', name: 'bnever', uid: 'a99e4e8e-6cfd-4007-81f4-8afdabc97333' },
      attempt: 2,
    });
  });

  it.each(Object.keys(imageFields))('takes the image id from the field that %s puts it in', async (name) => {
    const fields = imageFields[name];
    scene.runtime().answers.ListContainers = () => ({
      containers: fields?.containers.map((c, at) => ({ ...c, id: `c${at}` })),
    });
    const containers = await scene.client().listContainers();
    expect(containers).toHaveLength(3);
    for (const { imageRef } of containers) expect(imageRef).toBe(fields?.images[0]?.id);
  });

  it('asks the image store once where old CRI-O names the image by repository and digest only', async () => {
    const imageRef = `r.example/a@sha256:${ID}`;
    scene.runtime().answers.ListContainers = () => ({
      containers: [1, 2].map((at) => ({ id: `c${at}`, imageRef, image: { image: 'a' } })),
    });
    scene.runtime().answers.ImageStatus = () => ({ image: { id: ID } });
    expect((await scene.client().listContainers()).map((container) => container.imageRef)).toEqual([ID, ID]);
    expect(scene.runtime().count('ImageStatus')).toBe(1);
  });

  it('leaves out containers whose id merely begins with the one asked for', async () => {
    scene.runtime().answers.ListContainers = () => ({ containers: [{ id: 'abc' }, { id: 'ab' }] });
    expect((await scene.client().listContainers({ id: 'ab' })).map(({ id }) => id)).toEqual(['ab']);
  });

  it('filters by pod, and reads labels and states that are missing or new', async () => {
    scene.runtime().answers.ListContainers = () => ({
      containers: [
        { id: 'c1', labels: podLabels('app'), state: 'CONTAINER_EXITED' },
        { id: 'c2', state: 9 },
      ],
    });
    const [first, second] = await scene.client().listContainers({ podUid: 'uid-1' });
    expect(scene.runtime().calls.at(-1)?.request).toMatchObject({
      filter: { labelSelector: { 'io.kubernetes.pod.uid': 'uid-1' } },
    });
    expect(first).toMatchObject({
      containerName: 'app',
      pod: { namespace: 'team-a', name: 'web', uid: 'uid-1' },
      state: 'exited',
    });
    expect(second).toMatchObject({
      containerName: '',
      pod: { namespace: '', name: '', uid: '' },
      state: 'unknown',
      createdAt: 0n,
    });
  });

  it('lists images, and tells an image that is not there', async () => {
    scene.runtime().answers.ListImages = () => JSON.parse(capture('cri-list-images-2.1.json'));
    scene.runtime().answers.ImageStatus = () => ({});
    const images = await scene.client().listImages();
    expect(images.map(({ pinned }) => pinned)).toEqual([false, false, true, false]);
    expect(images[0]?.repoDigests[0]).toMatch(/^127\.0\.0\.1:5000\/team-a\/app@sha256:/);
    expect(await scene.client().imageStatus('absent')).toBeUndefined();
  });
});

describe('every call', () => {
  it('names localhost as authority: a path as host is refused by Go servers', async () => {
    scene.runtime().answers.Version = () => ({
      runtimeName: 'containerd',
      runtimeVersion: 'v2.1.9',
      runtimeApiVersion: 'v1',
    });
    expect(await scene.client().version()).toEqual({
      name: 'containerd',
      version: 'v2.1.9',
      apiVersion: 'v1',
    });
    expect(scene.runtime().calls[0]?.authority).toBe('localhost');
  });

  it('ends at its deadline when the runtime hangs', async () => {
    scene.runtime().answers.ListImages = () => undefined;
    const hurried = createCriClient({ socketPath: scene.runtime().socketPath, callTimeoutMs: 100 });
    try {
      expect((await failureOf(hurried.listImages())).reason).toBe('deadline');
    } finally {
      hurried.close();
    }
  });

  it.each([
    [grpc.UNIMPLEMENTED, 'unimplemented'],
    [grpc.PERMISSION_DENIED, 'permissionDenied'],
    [grpc.UNAVAILABLE, 'unreachable'],
    [grpc.INTERNAL, 'failed'],
  ])('says what gRPC code %i means: %s', async (code, reason) => {
    scene.runtime().answers.Version = () => ({ code, details: 'because' });
    const error = await failureOf(scene.client().version());
    expect([error.reason, error.message]).toEqual([reason, 'because']);
  });

  it('refuses a message over 16 MiB', async () => {
    scene.runtime().answers.ListImages = () => ({ images: [{ id: 'x'.repeat(17 * 1024 * 1024) }] });
    expect((await failureOf(scene.client().listImages())).reason).toBe('failed');
  });

  it('fails at once while the runtime is away and works again when it is back', async () => {
    scene.runtime().answers.ListImages = () => ({ images: [] });
    await scene.client().listImages();
    scene.runtime().kill();
    expect((await failureOf(scene.client().listImages())).reason).toBe('unreachable');
    expect(scene.client().connected()).toBe(false);
    await scene.runtime().start();
    await vi.waitFor(async () => expect(await scene.client().listImages()).toEqual([]), {
      timeout: 10_000,
      interval: 100,
    });
    expect(scene.connections).toEqual([true, false, true]);
  });
});

describe('a container that is gone', () => {
  it('has no state and cannot be stopped, which is no error', async () => {
    const gone = () => ({ code: grpc.NOT_FOUND, details: 'no such container' });
    scene.runtime().answers.ContainerStatus = gone;
    scene.runtime().answers.StopContainer = gone;
    expect(await scene.client().containerState(ID)).toBeUndefined();
    expect(await scene.client().stopContainer(ID)).toBe(false);
    expect(await scene.client().mountedImages(ID)).toEqual([]);
  });

  it('while one that is there has a state and is stopped without grace', async () => {
    scene.runtime().answers.ContainerStatus = () => ({ status: { id: ID, state: 'CONTAINER_RUNNING' } });
    scene.runtime().answers.StopContainer = () => ({});
    expect(await scene.client().containerState(ID)).toBe('running');
    expect(await scene.client().stopContainer(ID)).toBe(true);
    expect(scene.runtime().calls.at(-1)?.request).toMatchObject({ containerId: ID, timeout: '0' });
  });
});

describe('the image volumes of a container', () => {
  it('are those of its mounts that are images, by name and content', async () => {
    const image = { image: 'sha256:fea6', userSpecifiedImage: 'r.example/data:1' };
    const mounts = [{ containerPath: '/data', image }, { containerPath: '/etc/hosts' }];
    scene.runtime().answers.ContainerStatus = () => ({
      status: { id: ID, state: 'CONTAINER_RUNNING', mounts },
    });
    expect(await scene.client().mountedImages(ID)).toEqual([
      { image: 'r.example/data:1', imageRef: 'sha256:fea6' },
    ]);
  });
});

/** As containerd 2.1 has it for a pod that kubelet took from the API server. */
describe('the sandbox of a pod', () => {
  it('is whose it is, with labels and annotations, and from where kubelet has the pod', async () => {
    scene.runtime().answers.PodSandboxStatus = () => ({ status: { ...sandbox, runtimeHandler: 'kata' } });
    expect(await scene.client().sandbox(sandbox.id)).toEqual({
      ...sandbox,
      runtimeHandler: 'kata',
      configSource: 'api',
    });
    expect(scene.runtime().calls.at(-1)?.request).toEqual({ podSandboxId: sandbox.id });
  });

  it('says nothing of where the pod is from without the annotation', async () => {
    scene.runtime().answers.PodSandboxStatus = () => ({ status: { ...sandbox, annotations: {} } });
    expect(await scene.client().sandbox(sandbox.id)).toMatchObject({
      runtimeHandler: '',
      configSource: undefined,
    });
  });

  it('is not there when it is gone, when another answers to the beginning of its id, or when it is nobody', async () => {
    scene.runtime().answers.PodSandboxStatus = () => ({ code: grpc.NOT_FOUND, details: 'not found' });
    expect(await scene.client().sandbox(sandbox.id)).toBeUndefined();
    scene.runtime().answers.PodSandboxStatus = () => ({ status: sandbox });
    expect(await scene.client().sandbox(sandbox.id.slice(0, 12))).toBeUndefined();
    scene.runtime().answers.PodSandboxStatus = () => ({ status: { id: sandbox.id } });
    expect(await scene.client().sandbox(sandbox.id)).toBeUndefined();
  });
});

describe('the pieces of an image', () => {
  it.each(['1.6', '1.7', '2.1', 'crio'])('are the config and the layers, as %s tells them', async (name) => {
    const recorded: { info: object; status: { id: string } } = JSON.parse(
      capture(`cri-image-status-verbose-${name}.json`),
    );
    scene.runtime().answers.ImageStatus = () => ({
      image: recorded.status,
      info: { info: JSON.stringify(recorded.info) },
    });
    expect(await scene.client().imagePieces(recorded.status.id)).toEqual({
      pieces: {
        config: 'sha256:94ab409516ff60b278a71eb0767dfacd75edc76c8e591363b62ac6fb75a36401',
        layers: [
          'sha256:c6c42342a8ed5cb1b18a12adaf0587e53e6fbc0c4449e6d527357c39d5b275a2',
          'sha256:10860a8466f8a721f7fd36119fa54ce5f26b9f32b62fd327f690a45d6536c2d4',
        ],
      },
    });
    expect(scene.runtime().calls.at(-1)?.request).toMatchObject({ verbose: true });
  });

  it.each([
    ['imageAbsent', null, undefined],
    ['imageAbsent', { id: `sha256:${'b'.repeat(64)}` }, undefined],
    ['infoMissing', { id: ID }, undefined],
    ['infoMalformed', { id: ID }, 'no json'],
    ['infoMalformed', { id: ID }, '{"imageSpec":{"rootfs":{"diff_ids":null}}}'],
    ['infoMalformed', { id: ID }, '{"imageSpec":{"rootfs":{"diff_ids":["sha256:ab"]}}}'],
    ['infoTooLarge', { id: ID }, `"${'x'.repeat(512 * 1024)}"`],
  ])('are not known: %s', async (reason, image, info) => {
    scene.runtime().answers.ImageStatus = () => ({ image, ...(info !== undefined && { info: { info } }) });
    expect(await scene.client().imagePieces(ID)).toEqual({ pieces: undefined, reason });
  });

  it('are none where the image has no layers', async () => {
    scene.runtime().answers.ImageStatus = () => ({
      image: { id: ID },
      info: { info: '{"imageSpec":{"rootfs":{"type":"layers","diff_ids":[]}}}' },
    });
    expect(await scene.client().imagePieces(ID)).toEqual({ pieces: { config: `sha256:${ID}`, layers: [] } });
  });
});

describe('events', () => {
  it('hears events, counts malformed ones and learns how the stream ended', async () => {
    const heard: unknown[] = [];
    let malformed = 0;
    scene.runtime().onSubscribe = (stream) => {
      stream.write({
        containerId: ID,
        containerEventType: 'CONTAINER_STARTED_EVENT',
        podSandboxStatus: { id: 'pod' },
      });
      stream.write({ containerId: '../../etc', containerEventType: 0 });
      stream.write({ containerId: ID, containerEventType: 77 });
      stream.write({ containerId: ID, containerEventType: 'CONTAINER_DELETED_EVENT' });
      stream.end();
    };
    const end = await new Promise((onEnd) => {
      scene
        .client()
        .subscribe({ onEvent: (event) => heard.push(event), onMalformed: () => malformed++, onEnd });
    });
    expect(end).toBeUndefined();
    expect(malformed).toBe(2);
    expect(heard).toEqual([
      { containerId: ID, type: 'started', podSandboxId: 'pod' },
      { containerId: ID, type: 'deleted', podSandboxId: '' },
    ]);
  });

  it('says nothing more once it has been ended here', async () => {
    const said: string[] = [];
    const end = scene.client().subscribe({
      onEvent: () => said.push('event'),
      onMalformed: () => said.push('malformed'),
      onEnd: () => said.push('end'),
    });
    await vi.waitFor(() => expect(scene.runtime().streams).toHaveLength(1));
    end();
    scene.runtime().send({ containerId: ID });
    await sleep(50);
    expect(said).toEqual([]);
  });
});
