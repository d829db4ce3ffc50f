import { ManifestError } from '../../errors.ts';
import { podFromObject } from '../manifest.ts';
import type { Pod } from '../pod-source.ts';

/**
 * Of one pod in a list or one line of a watch, in bytes. A larger pod is asked for by name when it matters.
 */
const MAX_POD_BYTES = 4 * 1_048_576;

/**
 * Turns what the API server sends into pods; what cannot be read is passed over, counted and reported, never
 * thrown.
 */
export type PodReader = {
  readonly maxBytes: number;
  readPod(json: Buffer): Pod | undefined;
  /** As `readPod`, of an object that is parsed already. */
  podOf(object: unknown): Pod | undefined;
  /** Of JSON text; undefined where it is none. */
  parse(json: Buffer): unknown;
  tooLarge(): void;
  /** Something else that was not understood. */
  notUnderstood(what: string): undefined;
  /** How many were passed over so far. */
  passedOver(): number;
};

export function createPodReader(
  onPassedOver: (message: string) => void,
  maxBytes = MAX_POD_BYTES,
): PodReader {
  let count = 0;
  let reported = '';

  /** Reported once where the same comes again and again, as with every change of one malformed pod. */
  function passOver(what: string): undefined {
    count += 1;
    if (what !== reported) onPassedOver(what);
    reported = what;
    return undefined;
  }

  function parse(json: Buffer): unknown {
    try {
      return JSON.parse(json.toString('utf8'));
    } catch {
      return passOver('the API server sent something that is not JSON');
    }
  }

  function podOf(object: unknown): Pod | undefined {
    try {
      return { configSource: 'api', ...podFromObject(object) };
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error;
      return passOver(`a pod is malformed: ${error.message}`);
    }
  }

  return {
    maxBytes,
    parse,
    podOf,
    readPod(json) {
      const object = parse(json);
      return object === undefined ? undefined : podOf(object);
    },
    tooLarge: () => passOver(`a pod takes more than ${maxBytes} bytes`),
    notUnderstood: passOver,
    passedOver: () => count,
  };
}
