import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NriError } from '../../agent/errors.ts';
import { asNriError } from '../../agent/nri/as-nri-error.ts';
import {
  decodeConfigure,
  decodeContainer,
  decodeCreateContainer,
  decodeSynchronize,
} from '../../agent/nri/messages.ts';
import { createMux } from '../../agent/nri/mux.ts';
import { createSession } from '../../agent/nri/session.ts';
import { createTtrpcClient } from '../../agent/nri/ttrpc-client.ts';
import { decodeRequest, decodeResponse, TtrpcStatus } from '../../agent/nri/ttrpc-envelope.ts';
import { createTtrpcServer } from '../../agent/nri/ttrpc-server.ts';
import { hostileBytes, inPieces, type Random } from './random.ts';

/** One try at one layer. Throws only what the layer did wrong: an error that is not one of its own. */
export interface FuzzTarget {
  name: string;
  run(random: Random): void | Promise<void>;
}

const captures = join(import.meta.dirname, '../../test/captures');
const muxHeaderBytes = 8;
const messageHeaderBytes = 10;

function recordedFrames(): { from: string; frame: Buffer }[] {
  const files = readdirSync(captures).filter((name) => /^nri-session-.*\.jsonl$/.test(name));
  return files.flatMap((name) => {
    const lines = readFileSync(join(captures, name), 'utf8').trim().split('\n');
    return lines.map((line) => {
      const { from, frame }: { from: string; frame: string } = JSON.parse(line);
      return { from, frame: Buffer.from(frame, 'base64') };
    });
  });
}

/** Runs `step`; whatever it throws must be an error of the layer's own, and no mistake of ours. */
function expectOwnError(step: () => void): void {
  try {
    step();
  } catch (error) {
    if (error instanceof TtrpcStatus) return;
    if (!(error instanceof NriError) || asNriError(error).reason === 'internal') throw error;
  }
}

function ignore(): void {}

/** The layers of the NRI client, each fed with noise and with changed frames of real sessions. */
export function nriTargets(): FuzzTarget[] {
  const recorded = recordedFrames();
  const frames = recorded.map(({ frame }) => frame);
  const toPlugin = recorded.filter(({ from }) => from === 'runtime').map(({ frame }) => frame);
  const pairs = toPlugin.slice(1).map((frame, at) => Buffer.concat([toPlugin[at] ?? frame, frame]));
  const messages = frames.map((frame) => frame.subarray(muxHeaderBytes));
  const envelopes = messages.map((message) => message.subarray(messageHeaderBytes));
  const payloads: Buffer[] = [];
  for (const envelope of envelopes) {
    expectOwnError(() => payloads.push(Buffer.from(decodeRequest(envelope).payload)));
  }
  const sinks = new Map([
    [1, ignore],
    [2, ignore],
  ]);
  const services = new Map([
    ['nri.pkg.api.v1alpha1.Plugin', new Map([['Configure', (payload: Uint8Array) => payload]])],
  ]);
  const refused = Promise.reject(new Error('refused'));
  refused.catch(ignore);

  const feed = (random: Random, samples: readonly Buffer[], receive: (bytes: Buffer) => void): void => {
    for (const piece of inPieces(random, hostileBytes(random, samples))) receive(piece);
  };
  const decoder = (
    name: string,
    samples: readonly Buffer[],
    decode: (bytes: Buffer) => unknown,
  ): FuzzTarget => ({
    name,
    run: (random) => expectOwnError(() => decode(hostileBytes(random, samples))),
  });

  return [
    {
      name: 'mux',
      run(random) {
        const mux = createMux({ write: ignore, connections: sinks });
        expectOwnError(() => feed(random, frames, mux.receive));
        expectOwnError(mux.end);
      },
    },
    {
      name: 'ttrpc server',
      run(random) {
        const server = createTtrpcServer({ services, write: ignore });
        expectOwnError(() => feed(random, messages, server.receive));
        expectOwnError(server.end);
        server.close();
      },
    },
    {
      name: 'ttrpc client',
      run(random) {
        const client = createTtrpcClient(ignore);
        client.call('service', 'method', Buffer.alloc(0), 60_000).catch(ignore);
        expectOwnError(() => feed(random, messages, client.receive));
        expectOwnError(client.end);
        client.close(new NriError('closed', 'done'));
      },
    },
    {
      name: 'plugin',
      run(random) {
        const plugin = { createContainer: () => refused };
        const session = createSession({ name: 'pullwarden', index: '90', plugin, write: ignore });
        expectOwnError(() => feed(random, pairs, session.receive));
        session.close(session.whyEnded());
      },
    },
    decoder('request', envelopes, decodeRequest),
    decoder('response', envelopes, decodeResponse),
    decoder('Configure', payloads, decodeConfigure),
    decoder('CreateContainer', payloads, (bytes) => {
      const { pod, container } = decodeCreateContainer(bytes);
      return decodeContainer(pod, container);
    }),
    decoder('Synchronize', payloads, decodeSynchronize),
  ];
}
