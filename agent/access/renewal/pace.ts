/** Lets what is done in the background go one by one, and never more of it than so many times a minute. */
export type Pace = {
  /** Resolves with true when the turn has come; with false when there are none any more. */
  turn(): Promise<boolean>;
  close(): void;
};

/** Turns are spread evenly: what comes at once is no burst, but a row. */
export function createPace(perMinute: number): Pace {
  const waiting: ((isOpen: boolean) => void)[] = [];
  let pausing: NodeJS.Timeout | undefined;
  let closed = false;

  function next(): void {
    pausing = undefined;
    const go = waiting.shift();
    if (go === undefined) return;
    pausing = setTimeout(next, 60_000 / perMinute).unref();
    go(true);
  }

  return {
    turn() {
      if (closed) return Promise.resolve(false);
      const turn = new Promise<boolean>((resolve) => waiting.push(resolve));
      if (pausing === undefined) next();
      return turn;
    },
    close() {
      closed = true;
      clearTimeout(pausing);
      for (const go of waiting.splice(0)) go(false);
    },
  };
}
