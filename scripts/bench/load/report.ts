import { type Column, formatTable } from '../../../agent/commands/output.ts';
import { type Plot, plotSheet } from '../plot.ts';
import type { Quantiles } from '../statistics.ts';
import type { GrowthCell } from './growth.ts';
import type { LoadFigures } from './main.ts';
import type { GuardFigures, VetoFigures } from './phases.ts';

type Row = { readonly figure: string; readonly veto: string; readonly guard: string };

const columns: readonly Column<Row>[] = [
  { header: 'FIGURE (MEDIAN / P90 / P99)', value: ({ figure }) => figure },
  { header: 'WITH THE VETO', value: ({ veto }) => veto },
  { header: 'GUARD ALONE', value: ({ guard }) => guard },
];

const grown: readonly Column<GrowthCell>[] = [
  { header: 'IMAGES', value: ({ images }) => String(images) },
  { header: 'PODS', value: ({ pods }) => String(pods) },
  { header: 'VETO µS', value: ({ veto }) => quantilesText(veto.answerUs, 0) },
  { header: 'VERDICTS/S', value: ({ veto }) => veto.verdictsPerSecond.toFixed(0) },
  { header: 'CPU MS', value: ({ veto }) => veto.cpuMsPerVerdict.toFixed(1) },
  { header: 'GUARD LAG MS', value: ({ guard }) => quantilesText(guard.lag) },
  { header: 'VERDICT MS', value: ({ guard }) => quantilesText(guard.known) },
  { header: 'CPU MS', value: ({ guard }) => guard.cpuMsPerVerdict.toFixed(1) },
  { header: 'MIB', value: ({ veto, guard }) => `${lastOf(veto)} / ${lastOf(guard)}` },
];

/** For people. */
export function loadTable(figures: LoadFigures): string {
  const { veto, guard, rounds, containers } = figures;
  const rows: Row[] = [
    row('verdicts a second', veto.verdictsPerSecond.toFixed(0), guard.verdictsPerSecond.toFixed(0)),
    row('CPU of the agent, ms a verdict', veto.cpuMsPerVerdict.toFixed(2), guard.cpuMsPerVerdict.toFixed(2)),
    row('the veto’s answer, µs', quantilesText(veto.answerUs, 0), '-'),
    row('CreateContainer, known, ms', quantilesText(veto.known), '-'),
    row('until created, unknown, ms', quantilesText(veto.unknown), '-'),
    row('until refused, ms', quantilesText(veto.refused), '-'),
    row('event lag, ms', '-', quantilesText(guard.lag)),
    row('event to verdict, known, ms', '-', quantilesText(guard.known)),
    row('event to verdict, unknown, ms', '-', quantilesText(guard.unknown)),
    row('event to verdict, refused, ms', '-', quantilesText(guard.refused)),
    row('start to stop, refused, ms', '-', quantilesText(guard.toStop)),
    row('resident MiB, by round', usesText(veto, 'residentMiB'), usesText(guard, 'residentMiB')),
    row('open files, by round', usesText(veto, 'openFiles'), usesText(guard, 'openFiles')),
  ];
  const load = figures.load.map((one) => one.toFixed(1)).join(' / ');
  const head = `${rounds} rounds of ${containers} containers, load ${load}`;
  return `${head}\n${formatTable(columns, rows)}\n${formatTable(grown, figures.growth)}`;
}

/** What could grow, as SVG. */
export function loadPlots({ veto, guard, growth }: LoadFigures): string {
  const byRound = (key: 'residentMiB' | 'openFiles', title: string, y: string): Plot => ({
    title,
    x: 'round',
    y,
    series: [
      { name: 'with the veto', points: veto.uses.map((use, n) => [n + 1, use[key]]) },
      { name: 'guard alone', points: guard.uses.map((use, n) => [n + 1, use[key]]) },
    ],
  });
  const images = growth.filter(({ pods }) => pods === growth[0]?.pods);
  const pods = growth.filter(({ images: count }) => count === growth.at(-1)?.images);
  return plotSheet([
    byRound('residentMiB', 'Memory over rounds', 'MiB resident'),
    byRound('openFiles', 'Open files over rounds', 'descriptors'),
    vetoPlot('The veto, by images on record', 'images', images, (cell) => cell.images),
    guardPlot('Event to verdict, by images on record', 'images', images, (cell) => cell.images),
    vetoPlot('The veto, by pods of the node', 'pods', pods, (cell) => cell.pods),
    guardPlot('Event to verdict, by pods of the node', 'pods', pods, (cell) => cell.pods),
  ]);
}

function vetoPlot(
  title: string,
  x: string,
  cells: readonly GrowthCell[],
  at: (cell: GrowthCell) => number,
): Plot {
  const series = seriesOf(cells, at, ({ veto }, quantile) => veto.answerUs[quantile] / 1_000);
  return { title, x, y: 'ms', xScale: 'log', series };
}

function guardPlot(
  title: string,
  x: string,
  cells: readonly GrowthCell[],
  at: (cell: GrowthCell) => number,
): Plot {
  const series = seriesOf(cells, at, ({ guard }, quantile) => guard.known[quantile]);
  return { title, x, y: 'ms, known', xScale: 'log', series };
}

function seriesOf(
  cells: readonly GrowthCell[],
  at: (cell: GrowthCell) => number,
  of: (cell: GrowthCell, quantile: 'median' | 'p99') => number,
): Plot['series'] {
  return (['median', 'p99'] as const).map((name) => ({
    name,
    points: cells.map((cell) => [at(cell), of(cell, name)] as const),
  }));
}

function row(figure: string, veto: string, guard: string): Row {
  return { figure, veto, guard };
}

function quantilesText({ median, p90, p99 }: Quantiles, decimals = 1): string {
  return [median, p90, p99].map((value) => value.toFixed(decimals)).join(' / ');
}

function usesText({ uses }: VetoFigures | GuardFigures, key: 'residentMiB' | 'openFiles'): string {
  return uses.map((use) => use[key].toFixed(0)).join(' ');
}

function lastOf({ uses }: VetoFigures | GuardFigures): string {
  return (uses.at(-1)?.residentMiB ?? Number.NaN).toFixed(0);
}
