import { describe, expect, it } from 'vitest';
import {
  createLargeObjectReader,
  isCostly,
  type LargeObjectReader,
} from '../../../../agent/pods/kubernetes/large-objects/reader.ts';
import { createObjectReader } from '../../../../agent/pods/kubernetes/object-reader.ts';
import { createPodReader } from '../../../../agent/pods/kubernetes/pod-reader.ts';
import { podObject, recorded, secretObject } from '../objects.ts';

const json = (object: unknown): Buffer => Buffer.from(JSON.stringify(object));

function many<Item>(count: number, item: (n: number) => Item): Item[] {
  return Array.from({ length: count }, (_, n) => item(n));
}

const podWith = (spec: object, annotations: object = {}) => ({
  metadata: { name: 'large', namespace: 'team-a', uid: 'u', resourceVersion: '7', annotations },
  spec: { containers: [{ name: 'app', image: 'reg.example/app:1' }], ...spec },
});

/** Counts what is read on the other thread. */
function scene() {
  const problems: string[] = [];
  const read: string[] = [];
  const thread = createLargeObjectReader();
  const large: LargeObjectReader = {
    read(whose, question) {
      read.push(question.kind);
      return thread.read(whose, question);
    },
  };
  const pods = createPodReader((message) => problems.push(message));
  return { ...createObjectReader(pods, large), problems, read };
}

const containers = (count: number) => many(count, (n) => ({ name: `c-${n}`, image: `reg.example/app:${n}` }));

describe('what would hold up the main thread', () => {
  it.each([
    ['a long text', { x: 'x'.repeat(200_000) }],
    ['many keys', Object.fromEntries(many(5_000, (n) => [`k${n}`, '']))],
    ['many brackets', many(5_000, () => [])],
  ])('is known by its bytes alone: %s', (_, object) => {
    expect(isCostly(json(object))).toBe(true);
  });

  it('is no pod as the API server sends them', () => {
    for (const name of ['pod-many-kinds.json', 'pod-mirror.json'])
      expect(isCostly(recorded(name))).toBe(false);
  });
});

describe('a pod that a tenant made large', { timeout: 60_000 }, () => {
  it.each([
    ['annotations', podWith({}, Object.fromEntries(many(40_000, (n) => [`k${n}`, ''])))],
    [
      'environment',
      podWith({ containers: [{ name: 'app', image: 'reg.example/app:1', env: containers(9_000) }] }),
    ],
    ['imagePullSecrets', podWith({ imagePullSecrets: many(5_000, (n) => ({ name: `s${n}` })) })],
    ['containers', podWith({ containers: containers(2_000) })],
    [
      'a few hundred of them in little text',
      podWith({ imagePullSecrets: many(300, (n) => ({ name: `s${n}` })) }),
    ],
  ])('is read on another thread, and is what it would be on this one: %s', async (_, object) => {
    const { readPod, readEvent, read, problems } = scene();
    const here = createPodReader(() => undefined).podOf(object);
    expect(here).toBeDefined();
    expect(await readPod(json(object), 'team-a')).toEqual(here);
    const event = await readEvent(json({ type: 'MODIFIED', object }));
    expect(event).toEqual({ type: 'present', pod: here, resourceVersion: '7' });
    expect([read, problems]).toEqual([['pod', 'event'], []]);
  });

  it('is passed over, and said to be, where it has more parts than any pod that runs', async () => {
    const { readPod, problems } = scene();
    expect(await readPod(json(podWith({ containers: containers(9_000) })), 'team-a')).toBeUndefined();
    expect(problems).toEqual([expect.stringContaining('more than 8000 containers')]);
  });

  it('is passed over where it is no pod, or no JSON', async () => {
    const { readPod, problems } = scene();
    expect(await readPod(json({ spec: { containers: 'x'.repeat(200_000) } }), 'team-a')).toBeUndefined();
    expect(await readPod(Buffer.from('['.repeat(200_000)), 'team-a')).toBeUndefined();
    expect(problems).toEqual([expect.stringContaining('malformed'), expect.stringContaining('not JSON')]);
  });

  it('that takes too long is passed over, and the next is read', async () => {
    const hurried = createLargeObjectReader(1);
    const large = () => json(podWith({}, { x: 'x'.repeat(200_000) }));
    expect(await hurried.read('team-a', { kind: 'pod', json: large() })).toEqual({
      kind: 'problem',
      message: 'it takes too long to read',
    });
    const { readPod } = scene();
    expect((await readPod(large(), 'team-a'))?.name).toBe('large');
  });
});

describe('the text of a large object', () => {
  it.each([
    ['is handed over, and gone from here', (text: Buffer) => Buffer.concat([text]), 0],
    [
      'is copied where it is part of something that may be in use',
      (text: Buffer) => text.subarray(1),
      200_001,
    ],
  ] as const)('%s', async (_, given, left) => {
    const part = given(Buffer.from(`{"${'x'.repeat(200_000)}`));
    await createLargeObjectReader().read('team-a', { kind: 'pod', json: part });
    expect(part.byteLength).toBe(left);
  });
});

describe('a pod like any other', () => {
  it('is read here', async () => {
    const { readPod, read } = scene();
    expect((await readPod(json(podObject('a')), 'team-a'))?.name).toBe('a');
    expect(read).toEqual([]);
  });
});

describe('a secret of many keys', { timeout: 60_000 }, () => {
  it('is read for what a pull needs', async () => {
    const { metadata, type, data } = secretObject('large', 'secret password');
    const others = Object.fromEntries(many(90_000, (n) => [`k${n}`, '']));
    const object = { metadata, type, data: { ...others, ...(data ?? {}) } };
    const read = await createLargeObjectReader().read('team-a', {
      kind: 'secret',
      json: json(object),
      readAtMs: 5,
    });
    expect(read).toMatchObject({ kind: 'secret', secret: { name: 'large', readAtMs: 5 } });
    if (read.kind !== 'secret') return;
    expect([...read.secret.data.keys()]).toEqual(['.dockerconfigjson']);
  });

  it('says nothing of what it holds where it is malformed', async () => {
    const text = Buffer.from(`{"data":{".dockerconfigjson":"top secret ${'x'.repeat(200_000)}`);
    const read = await createLargeObjectReader().read('team-a', { kind: 'secret', json: text, readAtMs: 5 });
    expect(read).toEqual({ kind: 'problem', message: 'it is not JSON' });
  });
});
