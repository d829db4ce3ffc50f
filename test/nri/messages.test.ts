import { describe, expect, it } from 'vitest';
import {
  CREATE_CONTAINER_MASK,
  decodeConfigure,
  decodeCreateContainer,
  decodeSynchronize,
  encodeConfigured,
  encodeRegisterPlugin,
  encodeSynchronized,
} from '../../agent/nri/messages.ts';
import { completeType, failureOf, message } from './fake-runtime.ts';

const pod = {
  id: 'sandbox-1',
  name: 'web',
  uid: 'uid-1',
  namespace: 'team-a',
};
const container = {
  id: 'container-1',
  podSandboxId: 'sandbox-1',
  name: 'main',
  labels: { 'io.kubernetes.container.name': 'main' },
  annotations: { 'io.kubernetes.cri.image-name': 'registry.example/team-a/app:1' },
};

function imageOf(more: object): string {
  return decodeCreateContainer(
    message('CreateContainerRequest', { pod, container: { ...container, ...more } }),
  ).container.image;
}

describe('NRI messages', () => {
  it('tell whose container is about to be created, and nothing of what the agent has no use for', () => {
    const whole = {
      ...container,
      state: 0,
      args: ['/app'],
      env: ['A=b'],
      linux: { cgroupsPath: '/x' },
      pid: 4,
    };
    const request = message('CreateContainerRequest', {
      pod: { ...pod, labels: { app: 'web' }, annotations: { note: 'hello' }, runtimeHandler: 'runc' },
      container: whole,
    });
    expect(decodeCreateContainer(request)).toEqual({
      pod,
      container: {
        id: 'container-1',
        podSandboxId: 'sandbox-1',
        name: 'main',
        state: 'unknown',
        image: 'registry.example/team-a/app:1',
      },
    });
  });

  it('name the container as kubelet labels it, else as the runtime does', () => {
    const nameOf = (more: object) =>
      decodeCreateContainer(message('CreateContainerRequest', { pod, container: { ...container, ...more } }))
        .container.name;
    expect(nameOf({ name: 'k8s_main_web_team-a_uid-1_0' })).toBe('main');
    expect(nameOf({ name: 'other', labels: {} })).toBe('other');
    expect(nameOf({ name: 'other', labels: { 'io.kubernetes.container.name': '' } })).toBe('other');
    const long = { 'io.kubernetes.container.name.': 'longer', 'io.kubernetes.container.nam': 'shorter' };
    expect(nameOf({ name: 'other', labels: long })).toBe('other');
  });

  it('name the image by its field, by the annotation of containerd or by that of CRI-O, or not at all', () => {
    const crio = { annotations: { 'io.kubernetes.cri-o.ImageName': 'crio:1' } };
    expect(imageOf({ image: { name: 'field:1' } })).toBe('field:1');
    expect(imageOf({ image: { name: '' } })).toBe('registry.example/team-a/app:1');
    expect(imageOf(crio)).toBe('crio:1');
    expect(imageOf({ annotations: {} })).toBe('');
  });

  it('are refused without pod, container or their ids, so that nothing is allowed unseen', () => {
    const incomplete = [
      {},
      { pod },
      { container },
      { pod: { ...pod, id: '' }, container },
      { pod, container: {} },
    ];
    for (const request of incomplete) {
      expect(failureOf(() => decodeCreateContainer(message('CreateContainerRequest', request)))).toBe(
        'malformed',
      );
    }
  });

  it('are refused when cut short, wherever', () => {
    const request = message('CreateContainerRequest', { pod, container });
    for (let at = 0; at < request.length; at += 1) {
      expect(failureOf(() => decodeCreateContainer(request.subarray(0, at)))).toBe('malformed');
    }
  });

  it('may hold any key in labels, also those that mean something to JavaScript', () => {
    const labels = {
      constructor: 'a',
      toString: 'b',
      protoname: 'c',
      'io.kubernetes.container.name': 'main',
    };
    const request = message('CreateContainerRequest', { pod, container: { ...container, labels } });
    const evil = Buffer.from(request).toString('latin1').replace('protoname', '__proto__');
    expect(decodeCreateContainer(Buffer.from(evil, 'latin1')).container.name).toBe('main');
  });

  it('may hold the fields of a label in any order, twice, or not at all, as protobuf has it', () => {
    const key = Buffer.from('\x0a\x1cio.kubernetes.container.name', 'latin1');
    const value = (text: string) => Buffer.concat([Buffer.from([0x12, text.length]), Buffer.from(text)]);
    const field = (tag: number, bytes: Buffer) => Buffer.concat([Buffer.from([tag, bytes.length]), bytes]);
    const id = field(0x0a, Buffer.from('container-1'));
    const name = field(0x1a, Buffer.from('other'));
    const nameWith = (...entries: Buffer[]) => {
      const labels = entries.map((entry) => field(0x2a, entry));
      const bytes = field(0x12, Buffer.concat([id, name, ...labels]));
      return decodeCreateContainer(Buffer.concat([message('CreateContainerRequest', { pod }), bytes]))
        .container.name;
    };
    expect(nameWith(Buffer.concat([value('first'), key]))).toBe('first');
    expect(nameWith(Buffer.concat([key, value('first'), value('last')]))).toBe('last');
    expect(nameWith(Buffer.concat([key, value('first')]), Buffer.concat([key, value('last')]))).toBe('last');
    expect(nameWith(key)).toBe('other');
    expect(nameWith(value('nobody`s'), Buffer.alloc(0))).toBe('other');
  });

  it('are refused when a length in them reaches beyond what it is in', () => {
    const reach = [
      // A pod of 4 bytes whose id of 5 goes on into what follows.
      '0a04 0a057369 1205 0a0363617400',
      // The same where nothing follows.
      '0a04 0a057369',
      // A label of 2 bytes whose key of 9 goes on into the rest of the container.
      '0a04 0a027031 1215 0a0163 2a020a09 1a0c6f746865726f746865726f74',
      // A pod that is longer than the whole request.
      '0a7f 0a027031',
    ];
    for (const hex of reach)
      expect(failureOf(() => decodeCreateContainer(Buffer.from(hex.replaceAll(' ', ''), 'hex')))).toBe(
        'malformed',
      );
  });

  it('say what the runtime is and how long it waits; older ones do not say', () => {
    const told = {
      runtimeName: 'containerd',
      runtimeVersion: '2.1.9',
      registrationTimeout: 5000,
      requestTimeout: 2000,
    };
    expect(decodeConfigure(message('ConfigureRequest', { ...told, config: 'x' }))).toEqual({
      runtimeName: 'containerd',
      runtimeVersion: '2.1.9',
      registrationTimeoutMs: 5000,
      requestTimeoutMs: 2000,
    });
    expect(decodeConfigure(message('ConfigureRequest', {}))).toMatchObject({ requestTimeoutMs: 0 });
  });

  it('subscribe to the creation of containers and to nothing else', () => {
    const { events } = completeType('ConfigureResponse')
      .decode(encodeConfigured(CREATE_CONTAINER_MASK))
      .toJSON();
    expect(events).toBe(0b1000);
    const registered = completeType('RegisterPluginRequest').decode(encodeRegisterPlugin('pullwarden', '90'));
    expect(registered.toJSON()).toEqual({ pluginName: 'pullwarden', pluginIdx: '90' });
    expect(completeType('SynchronizeResponse').decode(encodeSynchronized(true)).toJSON()).toEqual({
      more: true,
    });
    expect(encodeSynchronized(false)).toHaveLength(0);
  });

  it('tell of what exists, with the state of every container', () => {
    const states = ['unknown', 'created', 'paused', 'running', 'stopped', 'unknown'];
    const containers = states.map((_, state) => ({ ...container, id: `c${state}`, state }));
    const part = decodeSynchronize(
      message('SynchronizeRequest', { pods: [pod], containers, more: true }),
      10,
    );
    expect(part.pods).toEqual([pod]);
    expect(part.containers.map(({ state }) => state)).toEqual(states);
    expect(part.more).toBe(true);
    expect(decodeSynchronize(new Uint8Array(0), 10)).toEqual({ pods: [], containers: [], more: false });
  });

  it('are refused when they tell of more than was agreed to', () => {
    const pods = Array.from({ length: 11 }, () => pod);
    expect(failureOf(() => decodeSynchronize(message('SynchronizeRequest', { pods }), 10))).toBe(
      'tooMuchState',
    );
    // 2 million empty containers in 4 MiB.
    const flood = Buffer.alloc(4 * 1024 * 1024, Buffer.from([0x12, 0x00]));
    expect(failureOf(() => decodeSynchronize(flood, 50_000))).toBe('malformed');
  });
});
