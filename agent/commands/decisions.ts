import { parseDuration } from '../config/duration.ts';
import type { Config } from '../config/resolve.ts';
import { CommandError } from '../errors.ts';
import { type DecisionEntry, type DecisionFilter, openDecisionsReadOnly } from '../records/decisions.ts';
import { type Column, type OutputFormat, type Print, printOutput, timeText } from './output.ts';

/** As they stand on the command line. */
export type DecisionsFlags = {
  readonly denied?: boolean | undefined;
  readonly since?: string | undefined;
  readonly namespace?: string | undefined;
  readonly limit?: string | undefined;
};

const columns: readonly Column<DecisionEntry>[] = [
  { header: 'TIME', value: (entry) => timeText(entry.time) },
  { header: 'NAMESPACE', value: (entry) => entry.namespace },
  { header: 'POD', value: (entry) => entry.pod },
  { header: 'CONTAINER', value: (entry) => entry.container },
  { header: 'IMAGE', value: (entry) => entry.image },
  { header: 'VERDICT', value: (entry) => entry.verdict },
  { header: 'REASON', value: (entry) => entry.reason },
  {
    header: 'ACTION',
    value: (entry) => [entry.action, entry.outcome].filter((word) => word !== '').join(': '),
  },
];

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 100_000;

/** `decisions`: the audit trail, the newest first. `now` in milliseconds. Throws RecordStoreError, CommandError. */
export function listDecisions(
  config: Pick<Config, 'stateDir'>,
  flags: DecisionsFlags,
  {
    output,
    print,
    now = Date.now(),
  }: { readonly output: OutputFormat; readonly print: Print; readonly now?: number },
): number {
  const filter = filterOf(flags, now);
  const decisions = openDecisionsReadOnly(config.stateDir);
  try {
    const rows = decisions.list(filter);
    const data = rows.map((entry) => ({ ...entry, time: timeText(entry.time) }));
    printOutput(print, output, { data, rows, columns });
    return 0;
  } finally {
    decisions.close();
  }
}

function filterOf({ denied, since, namespace, limit }: DecisionsFlags, now: number): DecisionFilter {
  const age = since === undefined ? undefined : parseDuration(since);
  if (since !== undefined && age === undefined) {
    throw new CommandError(
      'usage',
      `--since: ${since} is not allowed, it must be a duration such as 30m or 24h`,
    );
  }
  const most = limit === undefined ? DEFAULT_LIMIT : Number(limit);
  if (!Number.isInteger(most) || most < 1 || most > MAX_LIMIT) {
    throw new CommandError(
      'usage',
      `--limit: ${limit} is not allowed, it must be a whole number from 1 to ${MAX_LIMIT}`,
    );
  }
  return {
    limit: most,
    ...(denied ? { denied } : {}),
    ...(age === undefined ? {} : { since: now - age }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}
