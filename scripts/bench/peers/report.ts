import { type Column, formatTable } from '../../../agent/commands/output.ts';
import type { Quantiles } from '../statistics.ts';
import type { PeerFigures, PeersReport } from './main.ts';

const columns: readonly Column<PeerFigures>[] = [
  { header: 'WAY', value: ({ way }) => way },
  { header: 'STARTS', value: ({ starts }) => String(starts) },
  {
    header: 'REQUESTS (FIRST STARTS)',
    value: ({ requests, firstRequests }) => `${requests} (${firstRequests})`,
  },
  { header: 'FIRST START P50 / P90 MS', value: ({ first }) => text(first) },
  { header: 'LATER P50 / P90 MS', value: ({ later }) => text(later) },
  { header: 'TRIED AGAIN', value: ({ triedAgain }) => String(triedAgain) },
  { header: 'REFUSED IN OUTAGE', value: ({ outage }) => `${outage.refused} of ${outage.starts}` },
  {
    header: 'STRANGER RAN (IN OUTAGE)',
    value: ({ stranger: { starts, ran, ranInOutage } }) => `${ran} (${ranInOutage}) of ${starts}`,
  },
];

/** For people. */
export function peersTable({ peers, load }: PeersReport): string {
  return `load ${load.map((one) => one.toFixed(1)).join(' / ')}\n${formatTable(columns, peers)}`;
}

function text({ median, p90 }: Quantiles): string {
  return Number.isNaN(median) ? '-' : `${median.toFixed(0)} / ${p90.toFixed(0)}`;
}
