/** A line, or points where there is no order between them; x from left to right. */
export type Series = { readonly name: string; readonly points: readonly (readonly [x: number, y: number])[] };

export type Plot = {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly xScale?: 'linear' | 'log';
  readonly series: readonly Series[];
};

const WIDTH = 420;
const HEIGHT = 250;
const LEFT = 56;
const RIGHT = 14;
const TOP = 48;
const BOTTOM = 42;
const COLUMNS = 2;
/** Told apart also without colours (Okabe and Ito). */
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00'];

/** Plots side by side as one SVG; each y axis begins at zero, so that growth looks as large as it is. */
export function plotSheet(plots: readonly Plot[]): string {
  const rows = Math.ceil(plots.length / COLUMNS);
  const size = `width="${WIDTH * COLUMNS}" height="${HEIGHT * rows}"`;
  const placed = plots.map((plot, n) => {
    const at = `${(n % COLUMNS) * WIDTH} ${Math.floor(n / COLUMNS) * HEIGHT}`;
    return `<g transform="translate(${at})">\n${plotted(plot)}\n</g>`;
  });
  const style = 'font-family="sans-serif" font-size="11" fill="#333"';
  const background = '<rect width="100%" height="100%" fill="#fff"/>';
  const title = `<title>${escaped(plots.map((plot) => plot.title).join('; '))}</title>`;
  const begin = `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${style}>`;
  return `${[begin, title, background, ...placed, '</svg>'].join('\n')}\n`;
}

function plotted({ title, x, y, xScale = 'linear', series }: Plot): string {
  const points = series.flatMap((one) => one.points);
  const xs = [...new Set(points.map(([at]) => at))].sort((a, b) => a - b);
  const onAxis = xScale === 'log' ? Math.log10 : (value: number): number => value;
  const [first = 0, last = 1] = [xs[0], xs.at(-1)].map((value) => onAxis(value ?? 1));
  const top = niceAbove(Math.max(...points.map(([, value]) => value)));
  const across = (value: number): number =>
    LEFT + ((onAxis(value) - first) / (last - first || 1)) * (WIDTH - LEFT - RIGHT);
  const up = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const bottom = HEIGHT - BOTTOM;
  const grid = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
    const at = up(share * top).toFixed(1);
    return [
      `<path d="M${LEFT} ${at}H${WIDTH - RIGHT}" stroke="#ddd"/>`,
      `<text x="${LEFT - 6}" y="${at}" dy="4" text-anchor="end">${short(share * top)}</text>`,
    ];
  });
  const ticks = xs.map(
    (value) =>
      `<text x="${across(value).toFixed(1)}" y="${bottom + 16}" text-anchor="middle">${short(value)}</text>`,
  );
  const lines = series.map((one, n) => lineOf(one, COLOURS[n % COLOURS.length] ?? '#000', across, up));
  const legend = series.map(({ name }, n) => {
    const at = LEFT + n * ((WIDTH - LEFT - RIGHT) / series.length);
    return `<text x="${at.toFixed(0)}" y="36" fill="${COLOURS[n % COLOURS.length]}">${escaped(name)}</text>`;
  });
  return [
    `<text x="${LEFT}" y="18" font-size="13">${escaped(title)}</text>`,
    ...legend,
    ...grid,
    ...ticks,
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">${escaped(x)}</text>`,
    `<text transform="translate(12 ${bottom}) rotate(-90)">${escaped(y)}</text>`,
    ...lines,
  ].join('\n');
}

function lineOf(
  { points }: Series,
  colour: string,
  across: (x: number) => number,
  up: (y: number) => number,
): string {
  const placed = points.map(([x, y]) => `${across(x).toFixed(1)} ${up(y).toFixed(1)}`);
  const dots = placed.map((at) => {
    const [cx, cy] = at.split(' ');
    return `<circle cx="${cx}" cy="${cy}" r="2.5" fill="${colour}"/>`;
  });
  return `<path d="M${placed.join('L')}" fill="none" stroke="${colour}" stroke-width="1.5"/>${dots.join('')}`;
}

/** The next of 1, 2, 4, 5, 8 and 10 of its power of ten: a quarter of each is a short number. */
function niceAbove(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 5, 8].find((step) => step * power >= value) ?? 10) * power;
}

function short(value: number): string {
  return value >= 1_000 ? `${Number((value / 1_000).toPrecision(3))}k` : String(Number(value.toPrecision(3)));
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
