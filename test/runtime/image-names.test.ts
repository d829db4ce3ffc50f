import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { RuntimeError } from '../../agent/errors.ts';
import type { EventListener } from '../../agent/runtime/event-stream.ts';
import {
  type ImageNamesTiming,
  type KeptImageNames,
  keepImageNames,
} from '../../agent/runtime/image-names.ts';
import type { RuntimeImage } from '../../agent/runtime/runtime.ts';
import { useCriClient } from './cri-scene.ts';

const NAME = 'reg.example.com/team-a/app:1';
const HURRY = { initialMs: 10, maxMs: 10 };
const unimplemented = new RuntimeError('unimplemented', 'unknown service');

let names: KeptImageNames | undefined;
afterEach(() => {
  names?.close();
  vi.useRealTimers();
});

/** A runtime whose name means `means()` now, and what it is asked. */
function scene(timing: Partial<ImageNamesTiming> = {}) {
  vi.useFakeTimers();
  const asked: string[] = [];
  const streams: EventListener<void>[] = [];
  let changes = 0;
  let content: string | undefined = 'first';
  let onAsked = (): void => undefined;
  names = keepImageNames({
    runtime: {
      async imageStatus(name) {
        asked.push(name);
        const id = content;
        onAsked();
        return id === undefined ? undefined : { id, repoTags: [name], repoDigests: [], pinned: false };
      },
      subscribeToImages(listener) {
        streams.push(listener);
        return () => undefined;
      },
    },
    onChange: () => {
      changes += 1;
    },
    timing: { settleMs: 5_000, keepMs: 60_000, reconnect: HURRY, unsupported: HURRY, ...timing },
  });
  const kept = names;
  return {
    asked,
    streams,
    stream: () => streams.at(-1),
    changes: () => changes,
    settle: () => kept.settle(),
    isKept: (image: RuntimeImage | undefined) => image !== undefined && kept.isKept(NAME, image),
    image: () => kept.imageStatus(NAME),
    content: async () => (await kept.imageStatus(NAME))?.id,
    means: (id: string | undefined) => {
      content = id;
    },
    onAsked: (listener: () => void) => {
      onAsked = listener;
    },
  };
}

describe('what an image`s name means', () => {
  it('is asked once while the runtime says nothing of its images', async () => {
    const { content, asked } = scene();
    await vi.advanceTimersByTimeAsync(5_000);
    expect([await content(), await content(), await content()]).toEqual(['first', 'first', 'first']);
    expect(asked).toEqual([NAME]);
  });

  it('is asked each time for a while after subscribing, when events may not be sent yet', async () => {
    const { content, asked, means } = scene();
    await vi.advanceTimersByTimeAsync(4_999);
    await content();
    means('second');
    expect(await content()).toBe('second');
    expect(asked).toHaveLength(2);
  });

  it('is asked again after an event of whichever image, and for a while each time', async () => {
    const { content, asked, means, stream } = scene();
    await vi.advanceTimersByTimeAsync(5_000);
    await content();
    stream()?.onEvent();
    // The runtime's own list is not up to date yet.
    expect(await content()).toBe('first');
    means('second');
    expect(await content()).toBe('second');
    await vi.advanceTimersByTimeAsync(5_000);
    await content();
    await content();
    expect(asked).toHaveLength(4);
  });

  it('is known for certain until that is said to be over: by an event, or because events are no longer heard', async () => {
    const { image, isKept, changes, stream } = scene();
    expect(isKept(await image())).toBe(false);
    for (const end of [() => stream()?.onEvent(), () => stream()?.onEnd(undefined)]) {
      await vi.advanceTimersByTimeAsync(5_010);
      const answer = await image();
      expect(isKept(answer)).toBe(true);
      const before = changes();
      end();
      expect([isKept(answer), changes()]).toEqual([false, before + 1]);
      // The same content, but its other names may have moved.
      await vi.advanceTimersByTimeAsync(5_010);
      await image();
      expect(isKept(answer)).toBe(false);
    }
  });

  it('is not kept when an event came while it was asked for', async () => {
    const { content, means, stream, onAsked } = scene({ settleMs: 1 });
    await vi.advanceTimersByTimeAsync(5);
    onAsked(() => stream()?.onEvent());
    await content();
    onAsked(() => undefined);
    means('second');
    expect(await content()).toBe('second');
  });

  it('is not kept for ever', async () => {
    const { content, means } = scene();
    await vi.advanceTimersByTimeAsync(5_000);
    await content();
    means('second');
    await vi.advanceTimersByTimeAsync(60_001);
    expect(await content()).toBe('second');
  });

  it('is asked each time for an image that is not present', async () => {
    const { content, means } = scene();
    await vi.advanceTimersByTimeAsync(5_000);
    means(undefined);
    expect(await content()).toBeUndefined();
    means('first');
    expect(await content()).toBe('first');
  });

  it.each([
    ['breaks', new RuntimeError('unreachable', 'gone')],
    ['ends in order', undefined],
  ])('is asked each time once the stream of events %s, until a new one has settled', async (_what, error) => {
    const { content, asked, stream, streams } = scene();
    await vi.advanceTimersByTimeAsync(5_000);
    await content();
    stream()?.onEnd(error);
    await content();
    await content();
    expect(asked).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(10);
    expect(streams).toHaveLength(2);
    await content();
    await vi.advanceTimersByTimeAsync(5_000);
    await content();
    await content();
    expect(asked).toHaveLength(5);
  });

  it('is asked each time where the runtime has no such events, however often it says so', async () => {
    const seldom = { initialMs: 60_000, maxMs: 60_000 };
    const { content, asked, stream, streams } = scene({ unsupported: seldom });
    for (let tries = 1; tries <= 3; tries += 1) {
      expect(streams).toHaveLength(tries);
      stream()?.onEnd(unimplemented);
      await vi.advanceTimersByTimeAsync(10_000);
      const before = asked.length;
      await content();
      await content();
      expect(asked).toHaveLength(before + 2);
      await vi.advanceTimersByTimeAsync(50_000);
    }
  });

  it('is asked each time for a while after the runtime has come back, when the stream was asked for before', async () => {
    const { content, asked, settle } = scene();
    await vi.advanceTimersByTimeAsync(5_000);
    settle();
    await content();
    await content();
    expect(asked).toHaveLength(2);
  });
});

describe('a runtime without containerd`s events', () => {
  const cri = useCriClient();

  it('says so over CRI`s own socket, and is asked each time', async () => {
    cri.runtime().answers.ImageStatus = () => ({ image: { id: 'a'.repeat(64) } });
    const ends: (string | undefined)[] = [];
    cri.client().subscribeToImages({
      onEvent: () => undefined,
      onMalformed: () => undefined,
      onEnd: (error) => ends.push(error?.reason),
    });
    await vi.waitFor(() => expect(ends).toEqual(['unimplemented']), 10_000);
    names = keepImageNames({
      runtime: cri.client(),
      onChange: () => undefined,
      timing: { settleMs: 0, unsupported: HURRY },
    });
    await vi.waitFor(async () => {
      await names?.imageStatus(NAME);
      await sleep(20);
      const before = cri.runtime().count('ImageStatus');
      await names?.imageStatus(NAME);
      await names?.imageStatus(NAME);
      expect(cri.runtime().count('ImageStatus') - before).toBe(2);
    }, 10_000);
  });
});
