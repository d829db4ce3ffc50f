/** The q-th quantile (0 to 1) of samples, by the nearest rank. Sorts them in place. */
export function quantile(samples: Float64Array, q: number): number {
  samples.sort();
  return samples[Math.max(0, Math.min(samples.length, Math.ceil(q * samples.length)) - 1)] ?? Number.NaN;
}

export type Quantiles = { readonly median: number; readonly p90: number; readonly p99: number };

export function quantilesOf(samples: readonly number[]): Quantiles {
  const sorted = Float64Array.from(samples);
  return { median: quantile(sorted, 0.5), p90: quantile(sorted, 0.9), p99: quantile(sorted, 0.99) };
}

/** Of a handful of rounds: the middle one, and how far apart the lowest and the highest are. */
export type Spread = { readonly middle: number; readonly lowest: number; readonly highest: number };

export function spreadOf(rounds: readonly number[]): Spread {
  const sorted = Float64Array.from(rounds);
  return {
    middle: quantile(sorted, 0.5),
    lowest: sorted[0] ?? Number.NaN,
    highest: sorted[sorted.length - 1] ?? Number.NaN,
  };
}

/** What it costs to look at the clock, in ns: the median of looking twice with nothing in between. */
export function clockCostNs(): number {
  const samples = new Float64Array(100_000);
  for (let n = 0; n < samples.length; n += 1) {
    const before = performance.now();
    samples[n] = (performance.now() - before) * 1e6;
  }
  return quantile(samples, 0.5);
}

/** A stream of numbers below 2^32 that is the same on every run (xorshift32). */
export function randomNumbers(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}
