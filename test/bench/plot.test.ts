import { describe, expect, it } from 'vitest';
import { plotSheet } from '../../scripts/bench/plot.ts';

const growth = {
  title: 'Growth',
  x: 'images',
  y: 'ms',
  series: [
    {
      name: 'p99 < 1',
      points: [
        [100, 5],
        [1_000, 10],
        [10_000, 10],
      ] as const,
    },
  ],
};

function dotsOf(svg: string): readonly (readonly [number, number])[] {
  return [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)].map(([, x, y]) => [Number(x), Number(y)]);
}

describe('a plot', () => {
  it('puts tenfold steps at equal distances where the axis is logarithmic', () => {
    const [[first = 0] = [], [second = 0] = [], [third = 0] = []] = dotsOf(
      plotSheet([{ ...growth, xScale: 'log' }]),
    );
    expect(third - second).toBeCloseTo(second - first, 0);
    const linear = dotsOf(plotSheet([growth]));
    expect((linear[2]?.[0] ?? 0) - (linear[1]?.[0] ?? 0)).toBeGreaterThan(
      5 * ((linear[1]?.[0] ?? 0) - (linear[0]?.[0] ?? 0)),
    );
  });

  it('begins at zero: what is half as much stands half as high', () => {
    const svg = plotSheet([growth]);
    const zero = Number(/<path d="M56 ([\d.]+)H/.exec(svg)?.[1]);
    const [[, half = 0] = [], [, whole = 0] = []] = dotsOf(svg);
    expect(zero - half).toBeCloseTo((zero - whole) / 2, 0);
  });

  it('writes names as text', () => {
    expect(plotSheet([growth])).toContain('p99 &lt; 1');
  });
});
