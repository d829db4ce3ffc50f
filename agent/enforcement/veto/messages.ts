import type { NriError } from '../../errors.ts';
import type { CreateContainerRequest, NriConfiguration } from '../../nri/messages.ts';
import type { EnforcementSettings } from '../plan.ts';
import type { PreparedContainer } from './create-request.ts';

/** What the main thread and the NRI thread say to each other. Everything in it is plain data. */

/** What the NRI thread is started with. */
export type VetoWorkerData = {
  readonly socketPath: string;
  readonly index: string;
  readonly settings: EnforcementSettings;
};

export type ToVetoWorker =
  /** To the `createContainer` of this number; without a refusal the container may be created. */
  | { readonly type: 'created'; readonly number: number; readonly refusal: string | undefined }
  /** To the last `mayRegister`: there is one at a time. */
  | { readonly type: 'registration'; readonly mayRegister: boolean }
  | { readonly type: 'prepared'; readonly container: PreparedContainer }
  /** What names of images are known to mean counts no longer. */
  | { readonly type: 'namesChanged' };

export type FromVetoWorker =
  | {
      readonly type: 'createContainer';
      readonly number: number;
      readonly request: CreateContainerRequest;
      /** When the thread answers by itself, in ms of {@link monotonicMs}. */
      readonly answerByMs: number;
    }
  /** Allowed because it was prepared: the main thread was not asked, or did not answer in time. */
  | { readonly type: 'createdAsPrepared'; readonly request: CreateContainerRequest }
  | { readonly type: 'refusedInProgress' }
  /** A container's question was answered, by whichever thread; the runtime waited so long for it. */
  | { readonly type: 'answered'; readonly waitedMs: number }
  | { readonly type: 'mayRegister'; readonly waitedMs: number }
  | { readonly type: 'configured'; readonly configuration: NriConfiguration }
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected'; readonly reason: NriError['reason']; readonly message: string };

/**
 * Milliseconds of a clock that all threads share; `performance.now()` counts from each thread's own start.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
