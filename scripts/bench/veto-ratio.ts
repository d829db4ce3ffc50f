import { quantile, randomNumbers } from './statistics.ts';

/** Times (ms) of the same thing done with a plugin and without, or with a lesser one, right after each other. */
export type Pair = { readonly withPlugin: number; readonly without: number };

/**
 * A quotient of two quantiles, and where 95 % of the quotients lie when the pairs are drawn again and again.
 */
export type Ratio = { readonly value: number; readonly lowest: number; readonly highest: number };

const DRAWS = 1_000;

/** The q-th quantile (0 to 1) with the plugin, by that without. */
export function ratioOf(pairs: readonly Pair[], q: number): Ratio {
  const random = randomNumbers(1);
  const drawn = Float64Array.from({ length: DRAWS }, () =>
    quotient(
      pairs.map((pair) => pairs[random(pairs.length)] ?? pair),
      q,
    ),
  );
  return { value: quotient(pairs, q), lowest: quantile(drawn, 0.025), highest: quantile(drawn, 0.975) };
}

function quotient(pairs: readonly Pair[], q: number): number {
  const withPlugin = Float64Array.from(pairs, (pair) => pair.withPlugin);
  const without = Float64Array.from(pairs, (pair) => pair.without);
  return quantile(withPlugin, q) / quantile(without, q);
}
