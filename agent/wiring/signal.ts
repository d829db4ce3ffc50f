/**
 * Something announced to parts that are made later than who announces it, so that everything can be wired
 * from top to bottom. Listeners must not throw.
 */
export type Signal<Value> = {
  readonly emit: (value: Value) => void;
  readonly on: (listener: (value: Value) => void) => void;
};

export function createSignal<Value>(): Signal<Value> {
  const listeners: ((value: Value) => void)[] = [];
  return {
    emit(value) {
      for (const listener of listeners) listener(value);
    },
    on(listener) {
      listeners.push(listener);
    },
  };
}
