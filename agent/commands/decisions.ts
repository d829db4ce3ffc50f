import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/resolve.ts';
import { CommandError } from '../errors.ts';
import { printable } from '../printable.ts';
import { type DecisionEntry, type DecisionFilter, openDecisionsReadOnly } from '../records/decisions.ts';
import { formatAge, parseAge } from './age.ts';
import { cutNote, MAX_LIMIT } from './limit.ts';
import { type Column, type OutputFormat, type Print, printOutput, timeText } from './output.ts';
import { createRunningOutput } from './running-output.ts';
import { requireState } from './state.ts';
import { toneOf } from './terminal.ts';

/** As they stand on the command line. */
export type DecisionsFlags = {
  readonly denied?: boolean | undefined;
  readonly since?: string | undefined;
  readonly namespace?: string | undefined;
  readonly allNamespaces?: boolean | undefined;
  readonly limit?: string | undefined;
  readonly watch?: boolean | undefined;
};

type Options = {
  readonly output: OutputFormat;
  readonly print: Print;
  /** `web` or `pod/web`: only this pod. */
  readonly pod?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Ends `--watch`. */
  readonly signal?: AbortSignal;
};

const DEFAULT_LIMIT = 100;
const WATCH_EVERY_MS = 1_000;

/**
 * `decisions`: the audit trail, the newest first; with `--watch` the oldest first, and then what comes.
 *
 * @throws RecordStoreError, CommandError
 */
export async function listDecisions(
  config: Pick<Config, 'stateDir'>,
  flags: DecisionsFlags,
  options: Options,
): Promise<number> {
  const { output, print, now = Date.now } = options;
  const filter = filterOf(flags, options.pod, now());
  requireState(config.stateDir, 'decisions.db');
  const { rows, total } = read(config, filter);
  if (flags.watch) {
    await watch(config, filter, rows.toReversed(), options);
    return 0;
  }
  printOutput(print, output, {
    data: rows.map(plainEntry),
    rows,
    columns: columnsAt(now()),
    name: podName,
    empty: emptyText(flags, options.pod),
  });
  if (total > rows.length && (output === 'table' || output === 'wide')) print(cutNote(rows.length, total));
  return 0;
}

type Found = { readonly rows: readonly DecisionEntry[]; readonly total: number };

function read(config: Pick<Config, 'stateDir'>, filter: DecisionFilter): Found {
  const decisions = openDecisionsReadOnly(config.stateDir);
  try {
    const rows = decisions.list(filter);
    return { rows, total: rows.length < filter.limit ? rows.length : decisions.count(filter) };
  } finally {
    decisions.close();
  }
}

/** Prints what is there, and every second what has come since. */
async function watch(
  config: Pick<Config, 'stateDir'>,
  filter: DecisionFilter,
  first: readonly DecisionEntry[],
  { output, print, now = Date.now, signal }: Options,
): Promise<void> {
  let entries = first;
  let newest = first.at(-1)?.time ?? now();
  /** Entries of the newest millisecond, which the next look finds again. */
  let seen = new Set(first.filter(({ time }) => time === newest).map(keyOf));
  const printMore = createRunningOutput<DecisionEntry>({
    print,
    format: output,
    columnsAt,
    name: podName,
    plain: plainEntry,
  });
  for (;;) {
    printMore(entries, now());
    try {
      await sleep(WATCH_EVERY_MS, undefined, signal ? { signal } : {});
    } catch {
      return;
    }
    const found = read(config, { ...filter, since: newest, limit: MAX_LIMIT }).rows.toReversed();
    entries = found.filter((entry) => entry.time > newest || !seen.has(keyOf(entry)));
    newest = found.at(-1)?.time ?? newest;
    seen = new Set(found.filter(({ time }) => time === newest).map(keyOf));
  }
}

function columnsAt(now: number): readonly Column<DecisionEntry>[] {
  return [
    { header: 'AGE', value: (entry) => formatAge(now - entry.time) },
    { header: 'VERDICT', value: (entry) => entry.verdict, tone: (entry) => toneOf(entry.verdict) },
    { header: 'NAMESPACE', value: (entry) => entry.namespace, cut: 'end' },
    { header: 'POD', value: (entry) => entry.pod, cut: 'end' },
    { header: 'REASON', value: (entry) => entry.reason, cut: 'end' },
    { header: 'IMAGE', value: (entry) => entry.image, cut: 'start' },
    { header: 'CONTAINER', value: (entry) => entry.container, wide: true },
    { header: 'ACTION', value: actionText, wide: true },
    { header: 'TIME', value: (entry) => timeText(entry.time), wide: true },
    { header: 'MESSAGE', value: (entry) => entry.message, maxLength: 1_024, wide: true },
  ];
}

function actionText({ action, outcome }: DecisionEntry): string {
  return [action, outcome].filter((word) => word !== '').join(': ');
}

function podName({ pod }: DecisionEntry): string {
  return `pod/${pod}`;
}

function plainEntry(entry: DecisionEntry): object {
  return { ...entry, time: timeText(entry.time) };
}

function keyOf({ containerId, time, verdict, reason, outcome }: DecisionEntry): string {
  return [containerId, time, verdict, reason, outcome].join('\0');
}

/** `(no denied decisions in namespace team-b in the last 1h)` */
function emptyText({ denied, namespace, since }: DecisionsFlags, pod: string | undefined): string {
  const words = [
    `no ${denied ? 'denied ' : ''}decisions`,
    ...(pod === undefined ? [] : [`on ${podOf(pod)}`]),
    ...(namespace === undefined ? [] : [`in namespace ${namespace}`]),
    ...(since === undefined ? [] : [`in the last ${since}`]),
  ];
  return `(${printable(words.join(' '))})`;
}

function podOf(operand: string): string {
  return operand.replace(/^pods?\//, '');
}

function filterOf(flags: DecisionsFlags, pod: string | undefined, now: number): DecisionFilter {
  const { denied, since, namespace, allNamespaces, limit } = flags;
  const age = since === undefined ? undefined : parseAge(since);
  if (since !== undefined && age === undefined) {
    throw new CommandError(
      'usage',
      `--since: ${since} is not allowed, it must be a duration such as 30m, 24h or 5d`,
    );
  }
  const most = limit === undefined ? DEFAULT_LIMIT : Number(limit);
  if (!Number.isInteger(most) || most < 1 || most > MAX_LIMIT) {
    throw new CommandError(
      'usage',
      `--limit: ${limit} is not allowed, it must be a whole number from 1 to ${MAX_LIMIT}`,
    );
  }
  if (allNamespaces && namespace !== undefined) {
    throw new CommandError('usage', '--namespace and --all-namespaces exclude each other');
  }
  return {
    limit: most,
    ...(denied ? { denied } : {}),
    ...(age === undefined ? {} : { since: now - age }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(pod === undefined ? {} : { pod: podOf(pod) }),
  };
}
