import { extname } from 'node:path';
import { createFairThread } from '../../../fair-thread.ts';
import { hasAtMostValues } from '../../../json-values.ts';
import type { ObjectQuestion, ReadObject } from './messages.ts';

/** Of one object, in ms, on a node that is busy; 1 MiB takes two seconds at most where nothing is compiled. */
const MAX_MS = 15_000;
const MAX_MIB = 48;

/** Below this nothing that stands in a text takes long to parse. */
const SHORT_BYTES = 8_192;
/** The engine moves texts this long about in no time, however few values are in them. */
const LONG_BYTES = 131_072;
/** Of `[`, `{` and `,`, within texts as well. Pods have some hundred; those of an operator two thousand. */
const MAX_VALUES = 3_000;

/** Would parsing this hold up the thread for longer than some milliseconds? What counts is mostly its values. */
export function isCostly(json: Buffer): boolean {
  if (json.length <= SHORT_BYTES) return false;
  if (json.length > LONG_BYTES) return true;
  return !hasAtMostValues(json, MAX_VALUES);
}

export type LargeObjectReader = {
  /**
   * `whose`: the namespace that it is read for, or another word for what is to be served in turn. The text is
   * handed over, and gone from here.
   */
  read(whose: string, question: ObjectQuestion): Promise<ReadObject>;
};

/** Reads what a tenant made large on a thread of its own. */
export function createLargeObjectReader(maxMs = MAX_MS): LargeObjectReader {
  // Runs from the sources as well as compiled.
  const entry = new URL(`./objects-worker${extname(import.meta.url)}`, import.meta.url);
  const thread = createFairThread<ObjectQuestion, ReadObject>({
    entry,
    name: 'objects',
    maxMiB: MAX_MIB,
    maxMs,
  });
  return {
    async read(whose, question) {
      const json = alone(question.json);
      return (await thread.ask(whose, { ...question, json }, [json.buffer])) ?? tooCostly;
    },
  };
}

/** What is part of something that may be in use is copied: what is handed over is gone from here. */
function alone(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = bytes;
  const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
  return isWhole ? new Uint8Array(buffer) : new Uint8Array(bytes);
}

const tooCostly: ReadObject = { kind: 'problem', message: 'it takes too long to read' };
