import { isatty } from 'node:tty';
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import type { Verdict } from '../access/verdict.ts';
import { loggable, loggableText } from './log-fields.ts';
import { prettyStream } from './pretty.ts';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

/** `log.info({ fields }, 'message')`. */
export type Log = Pick<Logger, LogLevel>;

export type LogOptions = {
  readonly level: LogLevel;
  readonly format: 'auto' | 'json' | 'pretty';
  /** Standard error unless it is given. */
  readonly destination?: DestinationStream;
};

/** What the log says of one verdict. */
export type VerdictLine = {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly containerId: string;
  readonly image: string;
  readonly imageRef: string;
  readonly verdict: Verdict;
  readonly durationMs: number;
};

const STANDARD_ERROR = 2;

/**
 * A log to standard error: JSON lines, or lines for people on a terminal. Writes are synchronous, so that the
 * last line before a crash is there; a reader that went away does not end the agent.
 */
export async function createLog({ level, format, destination }: LogOptions): Promise<Log> {
  const pretty = format === 'pretty' || (format === 'auto' && isatty(STANDARD_ERROR));
  const stacks = level === 'debug';
  const options: LoggerOptions = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: (fields) => loggable(fields, stacks) },
    // loggable has described the error before any serializer sees it.
    serializers: { err: (described: unknown) => described },
    hooks: {
      logMethod(inputs, method) {
        Reflect.apply(method, this, boundedInputs(inputs));
      },
    },
  };
  const out = destination ?? standardError();
  const colors = destination === undefined && isatty(STANDARD_ERROR) && (process.env.NO_COLOR ?? '') === '';
  return pino(options, pretty ? await prettyStream(out, { colors }) : out);
}

/** One line per verdict: `info` for one that allows, `warn` otherwise. */
export function logVerdict(log: Log, { verdict, durationMs, ...subject }: VerdictLine): void {
  const fields = {
    ...subject,
    verdict: verdict.verdict,
    reason: verdict.reason,
    // `message` would stand beside pino's own `msg`.
    detail: verdict.message,
    durationMs,
  };
  if (verdict.verdict === 'allowed') log.info(fields, 'verdict');
  else log.warn(fields, 'verdict');
}

/** What the log says of what was done about a container. */
export type EnforcementLine = Omit<VerdictLine, 'verdict' | 'durationMs' | 'imageRef'> & {
  readonly action: string;
  readonly outcome: string;
};

/**
 * One line for each container that was stopped or refused, or should have been: `error` where that failed.
 */
export function logEnforcement(log: Log, line: EnforcementLine): void {
  if (line.outcome === 'failed') log.error({ ...line }, 'enforcement');
  else log.warn({ ...line }, 'enforcement');
}

/** Messages are bounded as fields are. Left without one, pino would take an error's, whatever it holds. */
function boundedInputs([first, ...rest]: readonly unknown[]): unknown[] {
  const inputs = [first, ...rest].map((input) => (typeof input === 'string' ? loggableText(input) : input));
  return rest.length > 0 || typeof first === 'string' ? inputs : [first, ''];
}

function standardError(): DestinationStream {
  return pino.destination({ fd: STANDARD_ERROR, sync: true });
}
