import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type Column, formatTable } from '../../agent/commands/output.ts';
import { abuserNames, benchAbuse } from './abuse/main.ts';
import type { Floor, Phase, Row } from './abuse/row.ts';
import { benchBytes } from './bytes.ts';
import { benchCheck, type CheckRow } from './check.ts';
import { benchLoad, LOAD_SIZE } from './load/main.ts';
import { loadPlots, loadTable } from './load/report.ts';
import { benchNode, NODE_BENCH, PROVIDER_BENCH } from './node.ts';
import { benchPeers, TIMES } from './peers/main.ts';
import { peersTable } from './peers/report.ts';
import type { Quantiles, Spread } from './statistics.ts';
import { benchVeto } from './veto.ts';
import type { Ratio } from './veto-ratio.ts';

/**
 * `npm run bench -- NAME [--json]`: measures one part on this machine. Figures are for people to judge, not
 * for a test. `abuse` takes the names of rows (`npm run bench -- abuse 'wrong passwords'`), `node` may be
 * one with a credential provider plugin (`--provider`), and of `load` and `peers` the size can be chosen
 * (`--containers 300 --rounds 3`, `--times 2`); `load --svg docs/load.svg` writes its plots.
 */
const benches: Readonly<Record<string, (json: boolean) => void | Promise<void>>> = {
  bytes,
  abuse,
  check,
  load,
  node,
  peers,
  veto,
};

const [name = '', ...rest] = process.argv.slice(2);
const bench = Object.hasOwn(benches, name) ? benches[name] : undefined;
const ownOptions: Readonly<Record<string, Readonly<Record<string, { type: 'boolean' | 'string' }>>>> = {
  node: { provider: { type: 'boolean' } },
  load: { containers: { type: 'string' }, rounds: { type: 'string' }, svg: { type: 'string' } },
  peers: { times: { type: 'string' } },
};
const { values, rows } = argumentsOf(rest);
if (bench && values !== undefined && values.help !== true) {
  await bench(values.json === true);
} else {
  const isHelp = name === '--help' || values?.help === true;
  (isHelp ? process.stdout : process.stderr).write(
    `usage: npm run bench -- ${Object.keys(benches).join('|')} [--json]; node [--provider]; ` +
      'load [--containers N] [--rounds N] [--svg FILE]; peers [--times N]; ' +
      `abuse [ROW…], of ${abuserNames.join(', ')}\n`,
  );
  process.exitCode = isHelp ? 0 : 2;
}

type Arguments = {
  /** Undefined where something is not understood. */
  readonly values: Readonly<Record<string, string | boolean | undefined>> | undefined;
  readonly rows: readonly string[];
};

function argumentsOf(args: readonly string[]): Arguments {
  const own = Object.hasOwn(ownOptions, name) ? ownOptions[name] : {};
  try {
    const parsed = parseArgs({
      args: [...args],
      options: { json: { type: 'boolean' }, help: { type: 'boolean' }, ...own },
      allowPositionals: name === 'abuse',
    });
    const isKnown = parsed.positionals.every((row) => abuserNames.includes(row));
    return { values: isKnown ? parsed.values : undefined, rows: parsed.positionals };
  } catch {
    return { values: undefined, rows: [] };
  }
}

/** A positive whole number. */
function countOf(option: string, otherwise: number): number {
  const value = values?.[option];
  if (value === undefined) return otherwise;
  const count = Number(value);
  if (!Number.isSafeInteger(count) || count < 1) throw new RangeError(`--${option} is a number above 0`);
  return count;
}

async function bytes(json: boolean): Promise<void> {
  const figures = await benchBytes((round) => progress(`measured round ${round}`));
  if (json) {
    const plain = Object.entries(figures).map(([figure, value]) => [figure, rounded(value)]);
    process.stdout.write(`${JSON.stringify({ machine: machine(), ...Object.fromEntries(plain) })}\n`);
    return;
  }
  const rows = Object.entries(figures).map(([figure, value]) => ({ figure, value: spreadText(value) }));
  const columns: readonly Column<(typeof rows)[number]>[] = [
    { header: 'FIGURE', value: ({ figure }) => figure },
    { header: 'MIDDLE (LOWEST-HIGHEST)', value: ({ value }) => value },
  ];
  process.stdout.write(`${machine()}\n${formatTable(columns, rows)}`);
}

function check(json: boolean): void {
  const rows = benchCheck(({ images, secrets }: CheckRow) =>
    progress(`measured ${images} images with ${secrets} secrets each`),
  );
  if (json) {
    const plain = rows.map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([key, value]) => [key, typeof value === 'number' ? value : rounded(value)]),
      ),
    );
    process.stdout.write(`${JSON.stringify({ machine: machine(), rows: plain })}\n`);
    return;
  }
  const columns: readonly Column<CheckRow>[] = [
    { header: 'IMAGES', value: (row) => String(row.images) },
    { header: 'SECRETS', value: (row) => String(row.secrets) },
    { header: 'HIT MEDIAN NS', value: (row) => spreadText(row.hitMedianNs) },
    { header: 'HIT P99 NS', value: (row) => spreadText(row.hitP99Ns) },
    { header: 'MISS MEDIAN NS', value: (row) => spreadText(row.missMedianNs) },
    { header: 'MISS P99 NS', value: (row) => spreadText(row.missP99Ns) },
    { header: 'SETTLE MEDIAN US', value: (row) => spreadText(row.settleMedianUs) },
    { header: 'SETTLE P99 US', value: (row) => spreadText(row.settleP99Us) },
    { header: 'START MS', value: (row) => spreadText(row.startMs) },
  ];
  process.stdout.write(`${machine()}\n${formatTable(columns, rows)}`);
}

async function load(json: boolean): Promise<void> {
  const size = {
    containers: countOf('containers', LOAD_SIZE.containers),
    rounds: countOf('rounds', LOAD_SIZE.rounds),
  };
  const figures = await benchLoad(size, progress);
  if (typeof values?.svg === 'string') writeFileSync(values.svg, loadPlots(figures));
  if (json) process.stdout.write(`${JSON.stringify({ machine: machine(), ...figures })}\n`);
  else process.stdout.write(`${machine()}\n${loadTable(figures)}`);
}

async function peers(json: boolean): Promise<void> {
  const figures = await benchPeers(countOf('times', TIMES), progress);
  if (json) process.stdout.write(`${JSON.stringify({ machine: machine(), ...figures })}\n`);
  else process.stdout.write(`${machine()}, ${peersTable(figures)}`);
}

async function node(json: boolean): Promise<void> {
  const figures = await benchNode(values?.provider === true ? PROVIDER_BENCH : NODE_BENCH, progress);
  if (json) {
    const plain = Object.entries(figures).map(([key, value]) => [key, round(value)]);
    process.stdout.write(`${JSON.stringify({ machine: machine(), ...Object.fromEntries(plain) })}\n`);
    return;
  }
  const rows = Object.entries(figures).map(([figure, value]) => ({ figure, value: String(round(value)) }));
  const columns: readonly Column<(typeof rows)[number]>[] = [
    { header: 'FIGURE', value: ({ figure }) => figure },
    { header: 'VALUE', value: ({ value }) => value },
  ];
  process.stdout.write(`${machine()}\n${formatTable(columns, rows)}`);
}

async function abuse(json: boolean): Promise<void> {
  const figures = await benchAbuse(rows.length > 0 ? rows : abuserNames, progress);
  const { load } = figures;
  if (json) {
    process.stdout.write(`${JSON.stringify({ machine: machine(), ...figures })}\n`);
    return;
  }
  const all = (header: string, read: (phase: Floor) => number): Column<Row> => ({
    header,
    value: ({ alone, beside, floor }) => [alone, beside, floor].map((of) => round(read(of))).join(' / '),
  });
  const both = (header: string, read: (phase: Phase) => number): Column<Row> => ({
    header,
    value: ({ alone, beside }) => `${round(read(alone))} / ${round(read(beside))}`,
  });
  const columns: readonly Column<Row>[] = [
    { header: 'ALONE / BESIDE / BESIDE WITHOUT AGENT', value: ({ abuser }) => abuser },
    all('RECORDED P50 MS', ({ recordedP50 }) => recordedP50),
    all('P99', ({ recordedP99 }) => recordedP99),
    all('FRESH P50 MS', ({ freshP50 }) => freshP50),
    all('P99', ({ freshP99 }) => freshP99),
    all('TRIED AGAIN', ({ triedAgain }) => triedAgain),
    all('PULL MS', ({ pullMs }) => pullMs),
    all('MACHINE BUSY %', ({ busyPercent }) => busyPercent),
    all('BENCH LOOP WORST MS', ({ benchLoopWorst }) => benchLoopWorst),
    both('RUNTIME HELD %', ({ heldPercent }) => heldPercent),
    both('AGENT CPU %', ({ cpuPercent }) => cpuPercent),
    both('HEALTHZ WORST MS', ({ healthzWorst }) => healthzWorst),
    both('LOOP WORST MS', ({ loopWorst }) => loopWorst),
    both('MIB', ({ memory }) => memory),
    both('REGISTRY/MIN', ({ registryPerMinute }) => registryPerMinute),
    both('API/MIN', ({ apiPerMinute }) => apiPerMinute),
    { header: 'VETO', value: (row) => (row.connectedAtEnd ? `lost ${row.disconnects}` : 'away') },
    { header: 'STARTED', value: ({ created }) => String(created) },
  ];
  const text = load.map((value) => value.toFixed(1)).join(' / ');
  process.stdout.write(`${machine()}, load before / after ${text}\n${formatTable(columns, figures.rows)}`);
}

async function veto(json: boolean): Promise<void> {
  const figures = await benchVeto(progress);
  const { rounds, withPlugin, without, floor, plugin, questions, load } = figures;
  const { createMedianRatio, createP99Ratio, floorMedianRatio } = figures;
  if (json) {
    const plain = {
      pairs: rounds,
      createMedianRatio: thousandths(createMedianRatio.value),
      createP99Ratio: thousandths(createP99Ratio.value),
      floorMedianRatio: thousandths(floorMedianRatio.value),
      pluginMedianUs: round(plugin.median),
      pluginP99Us: round(plugin.p99),
    };
    process.stdout.write(`${JSON.stringify(plain)}\n`);
    return;
  }
  const quantilesText = ({ median, p90, p99 }: Quantiles, decimals: number): string =>
    [median, p90, p99].map((value) => value.toFixed(decimals)).join(' / ');
  const ratioText = ({ value, lowest, highest }: Ratio): string =>
    `${value.toFixed(3)} (95 %: ${lowest.toFixed(3)}-${highest.toFixed(3)})`;
  const rows = [
    { figure: 'rounds', value: String(rounds) },
    { figure: 'with the plugin, median / p90 / p99 ms', value: quantilesText(withPlugin, 2) },
    { figure: 'without it, median / p90 / p99 ms', value: quantilesText(without, 2) },
    { figure: 'with one that says yes, median / p90 / p99 ms', value: quantilesText(floor, 2) },
    { figure: 'ratio of the medians', value: ratioText(createMedianRatio) },
    { figure: 'the same above the one that says yes', value: ratioText(floorMedianRatio) },
    { figure: 'ratio of the p99', value: ratioText(createP99Ratio) },
    { figure: `plugin, ${questions} questions, median / p90 / p99 µs`, value: quantilesText(plugin, 0) },
    { figure: 'load average before / after', value: load.map((value) => value.toFixed(1)).join(' / ') },
  ];
  const columns: readonly Column<(typeof rows)[number]>[] = [
    { header: 'CREATECONTAINER', value: ({ figure }) => figure },
    { header: 'VALUE', value: ({ value }) => value },
  ];
  process.stdout.write(`${machine()}\n${formatTable(columns, rows)}`);
}

function thousandths(value: number): number {
  return Math.round(value * 1_000) / 1_000;
}

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

function spreadText(spread: Spread): string {
  return `${rounded(spread)} (${round(spread.lowest)}-${round(spread.highest)})`;
}

function rounded({ middle }: Spread): number {
  return round(middle);
}

function round(value: number): number {
  return value < 100 ? Math.round(value * 10) / 10 : Math.round(value);
}

function machine(): string {
  const processors = cpus();
  const model = processors[0]?.model.trim() ?? 'unknown processor';
  return `${model}, ${processors.length} cores, ${process.platform} ${process.arch}, Node ${process.version}`;
}
