import type { Attributes } from './authorizer.ts';

export type FaultAction =
  /** The request is taken and never answered. */
  | { readonly kind: 'hang' }
  /** Answered as usual, but only after so long. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Answered with this code and the body that the real one gives it. */
  | { readonly kind: 'status'; readonly code: number; readonly retryAfterSeconds?: number }
  /** The connection is broken instead of an answer. */
  | { readonly kind: 'drop' }
  /** The connection is broken after so many bytes of the body: for a watch, in the middle of a line. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** A watch that is opened and never says anything. */
  | { readonly kind: 'silent' }
  /** 200, these bytes, one HTTP chunk each, and the end. */
  | { readonly kind: 'body'; readonly chunks: readonly Buffer[] };

export type Fault = {
  /** Which requests; where something is not given, all. */
  readonly on?: Partial<Pick<Attributes, 'verb' | 'resource' | 'namespace' | 'name' | 'user'>>;
  /** How many requests it befalls; without it, all until it is cleared. */
  readonly times?: number;
  readonly does: FaultAction;
};

export type Faults = {
  add(fault: Fault): { clear(): void };
  /** What befalls this request; counts. */
  take(attributes: Attributes): FaultAction | undefined;
  clear(): void;
};

export function createFaults(): Faults {
  const faults = new Map<Fault, number>();

  function concerns({ on = {} }: Fault, attributes: Attributes): boolean {
    return (['verb', 'resource', 'namespace', 'name', 'user'] as const).every(
      (field) => on[field] === undefined || on[field] === attributes[field],
    );
  }

  return {
    add(fault) {
      faults.set(fault, fault.times ?? Number.POSITIVE_INFINITY);
      return { clear: () => void faults.delete(fault) };
    },
    take(attributes) {
      for (const [fault, left] of faults) {
        if (!concerns(fault, attributes)) continue;
        if (left <= 1) faults.delete(fault);
        else faults.set(fault, left - 1);
        return fault.does;
      }
      return undefined;
    },
    clear: () => faults.clear(),
  };
}
