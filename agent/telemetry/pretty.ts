import { isatty } from 'node:tty';
import type { DestinationStream } from 'pino';

type Fields = Readonly<Record<string, unknown>>;

/** What a verdict's line begins with; the other fields follow as they are. */
const IN_MESSAGE: ReadonlySet<string> = new Set([
  'verdict',
  'namespace',
  'pod',
  'container',
  'reason',
  'detail',
]);

/** ANSI SGR colours. */
const VERDICT_COLORS: ReadonlyMap<unknown, number> = new Map([
  ['allowed', 32],
  ['denied', 31],
  ['unverifiable', 33],
]);

/**
 * Log lines for people, in the machine's own time. In this process and not in pino's worker thread: a thread
 * would lose the last lines of a crash. `colors` is for file descriptor `fd`; NO_COLOR switches them off.
 */
export async function prettyStream(
  out: DestinationStream,
  {
    fd,
    env,
  }: { readonly fd: number | undefined; readonly env: Readonly<Record<string, string | undefined>> },
): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty');
  const colorize = fd !== undefined && isatty(fd) && (env.NO_COLOR ?? '') === '';
  const format = prettyFactory({
    colorize,
    singleLine: true,
    // It would spread errors over several lines.
    errorLikeObjectKeys: [],
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
  });
  return { write: (line) => void out.write(format(verdictFirst(line, colorize)) ?? '') };
}

/** The fields of pino's line; of a verdict with its words as the message, the verdict first. */
function verdictFirst(line: string, colorize: boolean): string {
  const fields: Fields = JSON.parse(line);
  if (fields.msg !== 'verdict') return line;
  const { verdict, namespace, pod, container, reason, detail } = fields;
  const color = colorize ? VERDICT_COLORS.get(verdict) : undefined;
  const word = color === undefined ? verdict : `\u001b[${color}m${verdict}\u001b[39m`;
  const rest = Object.entries(fields).filter(([name]) => !IN_MESSAGE.has(name));
  const msg = `${word} ${namespace}/${pod} ${container}: ${reason}: ${detail}`;
  return JSON.stringify({ ...Object.fromEntries(rest), msg });
}
