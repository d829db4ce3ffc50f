import { describe, expect, it } from 'vitest';
import {
  CREATE_CONTAINER_MASK,
  type CreateContainerRequest,
  decodeConfigure,
  decodeContainer,
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

/** What the agent makes of a request's bytes. */
function read(request: Uint8Array): CreateContainerRequest {
  const unread = decodeCreateContainer(request);
  return decodeContainer(unread.pod, unread.container);
}

function imageOf(more: object): string {
  return read(message('CreateContainerRequest', { pod, container: { ...container, ...more } })).image;
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
    expect(read(request)).toEqual({
      id: 'container-1',
      podSandboxId: 'sandbox-1',
      pod: { namespace: 'team-a', name: 'web', uid: 'uid-1' },
      containerName: 'main',
      image: 'registry.example/team-a/app:1',
    });
  });

  it('name the container as kubelet labels it, else as the runtime does', () => {
    const nameOf = (more: object) =>
      read(message('CreateContainerRequest', { pod, container: { ...container, ...more } })).containerName;
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
      expect(failureOf(() => read(message('CreateContainerRequest', request)))).toBe('malformed');
    }
  });

  it('are refused when cut short, wherever', () => {
    const request = message('CreateContainerRequest', { pod, container });
    for (let at = 0; at < request.length; at += 1) {
      expect(failureOf(() => read(request.subarray(0, at)))).toBe('malformed');
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
    expect(read(Buffer.from(evil, 'latin1')).containerName).toBe('main');
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
      return read(Buffer.concat([message('CreateContainerRequest', { pod }), bytes])).containerName;
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
      expect(failureOf(() => read(Buffer.from(hex.replaceAll(' ', ''), 'hex')))).toBe('malformed');
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

  it('are refused when a container has more fields than any has, however short they are', () => {
    const withVariables = (count: number) =>
      message('CreateContainerRequest', { pod, container: { ...container, env: Array(count).fill('A=') } });
    const labels = Object.fromEntries(Array.from({ length: 10_000 }, (_, nth) => [`l${nth}`, '']));
    expect(read(withVariables(15_000)).containerName).toBe('main');
    for (const request of [
      withVariables(25_000),
      message('CreateContainerRequest', { pod, container: { ...container, labels } }),
    ]) {
      expect(failureOf(() => read(request))).toBe('malformed');
      expect(decodeCreateContainer(request).pod).toEqual({ namespace: 'team-a', name: 'web', uid: 'uid-1' });
    }
  });

  it('that tell of what exists are passed over, whatever is in them, but for whether more follows', () => {
    const containers = Array.from({ length: 3 }, () => ({
      ...container,
      env: [`A=${'x'.repeat(1024 * 1024)}`],
    }));
    for (const more of [true, false]) {
      const part = message('SynchronizeRequest', { pods: [pod], containers, more });
      expect(decodeSynchronize(part)).toEqual({ more });
      expect(failureOf(() => decodeSynchronize(part.subarray(0, 3 * 1024 * 1024)))).toBe('malformed');
    }
    expect(decodeSynchronize(new Uint8Array(0))).toEqual({ more: false });
  });
});
