import { status as grpc } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type CriClient, createCriClient } from '../../agent/runtime/cri-client.ts';
import { type ImageWatch, type ImageWatchOptions, watchImages } from '../../agent/runtime/image-watch.ts';
import { createFakeRuntime, type FakeRuntime } from './fake-runtime.ts';

let runtime: FakeRuntime;
let client: CriClient;
let watch: ImageWatch | undefined;
/** Image id -> its names, as the runtime has them now. */
let present: Map<string, { repoTags: string[]; repoDigests: string[] }>;
/** What the watch told, in order. */
let told: string[];

beforeEach(async () => {
  runtime = createFakeRuntime();
  present = new Map();
  told = [];
  runtime.answers.ListImages = () => ({ images: [...present].map(([id, names]) => ({ id, ...names })) });
  await runtime.start();
  client = createCriClient({ socketPath: runtime.socketPath, callTimeoutMs: 5_000 });
});
afterEach(() => {
  watch?.stop();
  client.close();
  runtime.cleanUp();
});

function add(id: string, ...repoTags: string[]): void {
  present.set(id, { repoTags, repoDigests: [] });
}

function start(options: Partial<ImageWatchOptions> = {}): ImageWatch {
  watch = watchImages({
    runtime: client,
    onChanges: ({ first, arrived, renamed, gone }) => {
      const word = first ? 'first' : 'arrived';
      told.push(...arrived.map(({ id, repoTags }) => `${word} ${id} ${repoTags}`));
      told.push(...renamed.map(({ id, repoTags }) => `renamed ${id} ${repoTags}`));
      told.push(...gone.map((id) => `gone ${id}`));
    },
    shareMs: 20,
    retry: { initialMs: 20, maxMs: 50 },
    ...options,
  });
  return watch;
}

const until = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 10 });

it('tells what is there at first, then what comes, gets another name and goes, in the order of the lists', async () => {
  add('a', 'r.example/a:1');
  add('b', 'r.example/b:1');
  const { relist } = start();
  await until(() => expect(told).toEqual(['first a r.example/a:1', 'first b r.example/b:1']));
  add('c', 'r.example/c:1');
  relist();
  await until(() => expect(told.slice(2)).toEqual(['arrived c r.example/c:1']));
  add('a', 'r.example/a:1', 'evil.example/a:1');
  present.delete('b');
  relist();
  await until(() => expect(told.slice(3)).toEqual(['renamed a r.example/a:1,evil.example/a:1', 'gone b']));
  expect(watch?.size()).toBe(2);
});

it('takes a digest for a name as well, and a name that an image lost for no change', async () => {
  add('a', 'r.example/a:1', 'r.example/a:2');
  const { relist } = start();
  await until(() => expect(told).toHaveLength(1));
  add('a', 'r.example/a:1');
  add('b');
  relist();
  await until(() => expect(told.slice(1)).toEqual(['arrived b ']));
  present.set('a', { repoTags: ['r.example/a:1'], repoDigests: ['r.example/a@sha256:ab'] });
  relist();
  await until(() => expect(told.slice(2)).toEqual(['renamed a r.example/a:1']));
});

it('lists by itself at the interval', async () => {
  start({ intervalMs: 20 });
  await until(() => expect(watch?.synced()).toBe(true));
  add('a', 'r.example/a:1');
  await until(() => expect(told).toEqual(['arrived a r.example/a:1']));
});

it('makes one list of a hundred calls, and one more of those that come while it is under way', async () => {
  const { relist } = start();
  await until(() => expect(watch?.synced()).toBe(true));
  for (let call = 0; call < 100; call += 1) relist();
  runtime.answers.ListImages = () => {
    for (let call = 0; call < 100; call += 1) relist();
    runtime.answers.ListImages = () => ({ images: [{ id: 'last', repoTags: [], repoDigests: [] }] });
    return { images: [] };
  };
  await until(() => expect(told).toEqual(['arrived last ']));
  expect(runtime.count('ListImages')).toBe(3);
});

it('tries again where the runtime fails or is away, and tells nothing gone because of it', async () => {
  add('a', 'r.example/a:1');
  const failures: string[] = [];
  const { relist } = start({ onListFailed: ({ reason }) => failures.push(reason) });
  await until(() => expect(told).toHaveLength(1));
  const answer = runtime.answers.ListImages;
  runtime.answers.ListImages = () => ({ code: grpc.INTERNAL, details: 'no' });
  relist();
  await until(() => expect(failures.length).toBeGreaterThan(1));
  add('b', 'r.example/b:1');
  if (answer) runtime.answers.ListImages = answer;
  await until(() => expect(told.slice(1)).toEqual(['arrived b r.example/b:1']));
});

it('says that there are too many, and forgets none that it knows because of them', async () => {
  add('a', 'r.example/a:1');
  let many = 0;
  const { relist } = start({ onTooMany: (images) => (many = images) });
  await until(() => expect(watch?.synced()).toBe(true));
  runtime.answers.ListImages = () => ({
    images: [...Array.from({ length: 20_000 }, (_, at) => ({ id: `x${at}` })), { id: 'a' }],
  });
  relist();
  await until(() => expect(many).toBe(20_001));
  expect(watch?.size()).toBe(20_000);
  expect(told).not.toContain('gone a');
});

it('tells nothing once it is stopped', async () => {
  const { relist, stop } = start({ shareMs: 0 });
  await until(() => expect(watch?.synced()).toBe(true));
  stop();
  add('a', 'r.example/a:1');
  relist();
  expect(told).toEqual([]);
  // A call of the test's own, so that whatever the watch may have asked for has been asked for before it.
  await client.listImages();
  expect(runtime.count('ListImages')).toBe(2);
});
