import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { NriError } from '../../agent/errors.ts';
import { createTtrpcClient } from '../../agent/nri/ttrpc-client.ts';
import { decodeRequest, decodeResponse, encodeRequest, TtrpcStatus } from '../../agent/nri/ttrpc-envelope.ts';
import {
  createMessageReader,
  DATA,
  encodeMessage,
  REQUEST,
  RESPONSE,
} from '../../agent/nri/ttrpc-message.ts';
import {
  createTtrpcServer,
  type TtrpcServerOptions,
  type UnaryHandler,
} from '../../agent/nri/ttrpc-server.ts';
import { failureOf } from './fake-runtime.ts';

const payload = Buffer.from('payload');
const none = new Uint8Array(0);

function request(
  streamId: number,
  method: string,
  more: { service?: string; timeoutNano?: number } = {},
): Uint8Array {
  const data = encodeRequest({ service: 'S', method, payload, timeoutNano: 0, ...more });
  return encodeMessage({ streamId, type: REQUEST, flags: 0, data });
}

/** A server of service S with these methods; answers are payloads, or errors as `code: message`. */
function serve(methods: Record<string, UnaryHandler>, limits: Partial<TtrpcServerOptions> = {}) {
  const answers = new Map<number, string>();
  const reader = createMessageReader(({ streamId, type, flags, data }) => {
    expect([type, flags]).toEqual([RESPONSE, 0]);
    try {
      answers.set(streamId, Buffer.from(decodeResponse(data)).toString());
    } catch (error) {
      if (!(error instanceof TtrpcStatus)) throw error;
      answers.set(streamId, `${error.code}: ${error.message}`);
    }
  });
  const services = new Map([['S', new Map(Object.entries(methods))]]);
  return { server: createTtrpcServer({ services, write: reader.receive, ...limits }), answers };
}

/** A handler whose answers are given by hand, in any order. */
function heldHandler() {
  const calls: { answer: (text: string) => void; deadlineMs: number | undefined }[] = [];
  const handler: UnaryHandler = (_payload, deadlineMs) =>
    new Promise((resolve) => {
      calls.push({ answer: (text) => resolve(Buffer.from(text)), deadlineMs });
    });
  return { handler, calls };
}

describe('a ttrpc server', () => {
  it('answers a call on its own stream with what the handler returns', () => {
    const { server, answers } = serve({ Echo: (bytes) => bytes });
    server.receive(request(1, 'Echo'));
    expect(answers).toEqual(new Map([[1, 'payload']]));
  });

  it('answers several calls in flight in the order in which they are done', async () => {
    const { handler, calls } = heldHandler();
    const { server, answers } = serve({ Slow: handler });
    for (const streamId of [1, 3, 5]) server.receive(request(streamId, 'Slow'));
    expect(server.pending()).toBe(3);
    for (const at of [2, 0, 1]) calls[at]?.answer(`call ${at}`);
    await sleep(0);
    expect([...answers]).toEqual([
      [5, 'call 2'],
      [1, 'call 0'],
      [3, 'call 1'],
    ]);
    expect(server.pending()).toBe(0);
  });

  it('answers Unimplemented where there is no such service or method', () => {
    const { server, answers } = serve({});
    server.receive(request(1, 'Other'));
    server.receive(request(3, 'Other', { service: 'T' }));
    expect([...answers.values()]).toEqual(['12: method Other', '12: service T']);
  });

  it('answers Unknown with the message of what a handler throws, at once or later', async () => {
    const { server, answers } = serve({
      Throws() {
        throw new Error('at once');
      },
      Rejects: () => Promise.reject(new Error('later')),
      Status: () => Promise.reject(new TtrpcStatus(7, 'no right to')),
    });
    server.receive(request(1, 'Throws'));
    server.receive(request(3, 'Rejects'));
    server.receive(request(5, 'Status'));
    await sleep(0);
    expect([...answers.values()]).toEqual(['2: at once', '2: later', '7: no right to']);
  });

  it('answers InvalidArgument to what is no request and goes on', () => {
    const { server, answers } = serve({ Echo: (bytes) => bytes });
    server.receive(encodeMessage({ streamId: 1, type: REQUEST, flags: 0, data: Buffer.from([0xff]) }));
    server.receive(request(3, 'Echo'));
    expect(answers.get(1)).toMatch(/^3: unmarshal request error/);
    expect(answers.get(3)).toBe('payload');
  });

  it('answers ResourceExhausted where the answer is too long for a message', () => {
    const { server, answers } = serve({ Long: () => new Uint8Array(4 * 1024 * 1024) });
    server.receive(request(1, 'Long'));
    expect(answers.get(1)).toMatch(/^8: /);
  });

  it('tells the handler when the caller stops waiting, and answers then itself', async () => {
    const { handler, calls } = heldHandler();
    const { server, answers } = serve({ Slow: handler });
    server.receive(request(1, 'Slow', { timeoutNano: 30_000_000 }));
    const [call] = calls;
    const left = (call?.deadlineMs ?? 0) - performance.now();
    expect(left > 0 && left <= 30).toBe(true);
    await expect.poll(() => answers.get(1)).toBe('4: context deadline exceeded');
    expect([server.pending(), server.overdue()]).toEqual([0, 'Slow']);
    call?.answer('too late');
    await sleep(0);
    expect(answers.get(1)).toBe('4: context deadline exceeded');
  });

  it('knows a call whose caller is about to give up, and none that has time', () => {
    const { handler } = heldHandler();
    const { server } = serve({ Slow: handler, Fast: (bytes) => bytes });
    server.receive(request(1, 'Slow', { timeoutNano: 60e9 }));
    server.receive(request(3, 'Slow'));
    server.receive(request(5, 'Fast', { timeoutNano: 1e6 }));
    expect(server.overdue()).toBeUndefined();
    server.receive(request(7, 'Slow', { timeoutNano: 50e6 }));
    expect(server.overdue()).toBe('Slow');
    server.close();
  });

  it('takes a timeout of the past, and one longer than any timer, for what they are', async () => {
    const { handler, calls } = heldHandler();
    const { server, answers } = serve({ Slow: handler });
    server.receive(request(1, 'Slow', { timeoutNano: -1 }));
    expect(answers.get(1)).toBe('4: context deadline exceeded');
    server.receive(request(3, 'Slow', { timeoutNano: 2 ** 62 }));
    await sleep(5);
    calls[0]?.answer('in time');
    await sleep(0);
    expect(answers.get(3)).toBe('in time');
  });

  it('ends at stream ids that are even, were used before or go back', () => {
    for (const ids of [[2], [0], [1, 1], [5, 3]]) {
      const { server } = serve({ Echo: (bytes) => bytes });
      expect(
        failureOf(() =>
          ids.forEach((id) => {
            server.receive(request(id, 'Echo'));
          }),
        ),
      ).toBe('streamId');
    }
  });

  it('ends at data and answers, which no call of it expects, and ignores types of a later ttrpc', () => {
    const { server, answers } = serve({ Echo: (bytes) => bytes });
    server.receive(encodeMessage({ streamId: 1, type: 9, flags: 0xff, data: payload }));
    server.receive(request(1, 'Echo'));
    expect(answers.get(1)).toBe('payload');
    for (const type of [0, RESPONSE, DATA]) {
      const bytes = encodeMessage({ streamId: 1, type, flags: 0, data: payload });
      expect(failureOf(() => serve({}).server.receive(bytes))).toBe('unexpectedMessage');
    }
  });

  it('ends when more is asked than is answered', () => {
    const { handler } = heldHandler();
    const { server } = serve({ Slow: handler }, { maxRequests: 2 });
    server.receive(request(1, 'Slow'));
    server.receive(request(3, 'Slow'));
    expect(failureOf(() => server.receive(request(5, 'Slow')))).toBe('tooManyRequests');
    const { server: other } = serve({ Slow: handler }, { maxRequestBytes: 30 });
    other.receive(request(1, 'Slow'));
    expect(failureOf(() => other.receive(request(3, 'Slow')))).toBe('tooManyRequests');
  });

  it('is silent once it is closed, whatever is answered or asked', async () => {
    const { handler, calls } = heldHandler();
    const { server, answers } = serve({ Slow: handler });
    server.receive(request(1, 'Slow', { timeoutNano: 1_000_000 }));
    server.close();
    calls[0]?.answer('late');
    await sleep(5);
    server.receive(request(3, 'Slow'));
    expect([answers.size, calls.length]).toEqual([0, 1]);
  });
});

describe('a ttrpc client', () => {
  function client() {
    const sent: { streamId: number; method: string; timeoutNano: number }[] = [];
    const reader = createMessageReader(({ streamId, data }) => {
      const { method, timeoutNano } = decodeRequest(data);
      sent.push({ streamId, method, timeoutNano });
    });
    return { client: createTtrpcClient(reader.receive), sent };
  }

  it('calls on odd streams and tells how long it waits', async () => {
    const { client: caller, sent } = client();
    const calls = [caller.call('S', 'First', none, 1_500), caller.call('S', 'Second', none, 2_000)];
    expect(sent).toEqual([
      { streamId: 1, method: 'First', timeoutNano: 1_500_000_000 },
      { streamId: 3, method: 'Second', timeoutNano: 2_000_000_000 },
    ]);
    caller.close(new NriError('closed', 'gone'));
    expect((await Promise.allSettled(calls)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  it('gets what the server answers, in any order, and its errors as a status', async () => {
    const { handler, calls } = heldHandler();
    const services = new Map([['S', new Map([['Slow', handler]])]]);
    const server = createTtrpcServer({ services, write: (bytes) => caller.receive(bytes) });
    const caller = createTtrpcClient(server.receive);
    const both = Promise.all([caller.call('S', 'Slow', none, 1_000), caller.call('S', 'Slow', none, 1_000)]);
    calls[1]?.answer('two');
    calls[0]?.answer('one');
    expect((await both).map((bytes) => Buffer.from(bytes).toString())).toEqual(['one', 'two']);
    await expect(caller.call('S', 'None', none, 1_000)).rejects.toMatchObject({
      code: 12,
      message: 'method None',
    });
  });

  it('gives up at its deadline, and an answer that comes later harms nobody', async () => {
    const { client: caller } = client();
    await expect(caller.call('S', 'Slow', none, 5)).rejects.toMatchObject({ reason: 'deadline' });
    caller.receive(encodeMessage({ streamId: 1, type: RESPONSE, flags: 0, data: none }));
  });

  it('ends at answers to calls that were never made, and at what is no answer', () => {
    for (const streamId of [0, 1, 2, 0xffffffff]) {
      const bytes = encodeMessage({ streamId, type: RESPONSE, flags: 0, data: none });
      expect(failureOf(() => client().client.receive(bytes))).toBe('streamId');
    }
    expect(failureOf(() => client().client.receive(request(1, 'Call')))).toBe('unexpectedMessage');
  });

  it('takes an answer that is no message as an error of that call', async () => {
    const { client: caller } = client();
    const answer = caller.call('S', 'Call', none, 1_000);
    caller.receive(encodeMessage({ streamId: 1, type: RESPONSE, flags: 0, data: Buffer.from([0xff]) }));
    await expect(answer).rejects.toMatchObject({ reason: 'malformed' });
  });

  it('fails every call when it is closed, and every later one', async () => {
    const { client: caller } = client();
    const answer = caller.call('S', 'Call', none, 1_000);
    caller.close(new NriError('closed', 'gone'));
    await expect(answer).rejects.toMatchObject({ reason: 'closed' });
    await expect(caller.call('S', 'Call', none, 1_000)).rejects.toMatchObject({ reason: 'closed' });
  });
});
