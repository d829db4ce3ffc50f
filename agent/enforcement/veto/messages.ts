import type { NriError } from '../../errors.ts';
import type { NriConfiguration } from '../../nri/messages.ts';
import type { NriHold } from '../../nri/nri-connection.ts';
import type { EnforcementSettings } from '../plan.ts';
import type { CreateRequest, PreparedContainer } from './create-request.ts';

/** What the NRI thread is started with. */
export type VetoWorkerData = {
  readonly socketPath: string;
  readonly index: string;
  readonly settings: EnforcementSettings;
};

/** What the main thread is asked. */
export type VetoQuestion = CreateRequest & {
  readonly type: 'question';
  readonly number: number;
  /** When the thread answers by itself, in ms of {@link monotonicMs}. */
  readonly answerByMs: number;
};

/** The answer to a question; undefined lets the container be created. */
export type VetoAnswer = {
  readonly type: 'answer';
  readonly number: number;
  readonly refusal: string | undefined;
};

/** The answer to `mayRegister`, of which there is one at a time; undefined lets the plugin register. */
export type RegistrationAnswer = { readonly type: 'registration'; readonly hold: NriHold | undefined };

export type ToVetoWorker =
  | VetoAnswer
  | RegistrationAnswer
  | (PreparedContainer & { readonly type: 'prepared' });

export type FromVetoWorker =
  | VetoQuestion
  /** Let by without a question. */
  | (CreateRequest & { readonly type: 'createdAsPrepared' })
  | { readonly type: 'refusedInProgress' }
  | { readonly type: 'mayRegister'; readonly waitedMs: number }
  | { readonly type: 'configured'; readonly configuration: NriConfiguration }
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected'; readonly reason: NriError['reason']; readonly message: string };

/** Milliseconds of a clock that all threads share; `performance.now()` counts from each thread's own start. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
