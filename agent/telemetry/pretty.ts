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

/** The same of an enforcement's. */
const IN_ENFORCEMENT: ReadonlySet<string> = new Set(['action', 'outcome', 'namespace', 'pod', 'container']);

/** ANSI SGR colours. */
const VERDICT_COLORS: ReadonlyMap<string, number> = new Map([
  ['allowed', 32],
  ['denied', 31],
  ['unverifiable', 33],
]);

/**
 * Log lines for people, in the machine's own time, a verdict first and in its colour. In this process and not
 * in pino's worker thread: a thread would lose the last lines of a crash.
 */
export async function prettyStream(
  out: DestinationStream,
  { colors }: { readonly colors: boolean },
): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty');
  const format = prettyFactory({
    colorize: colors,
    singleLine: true,
    // It would spread errors over several lines.
    errorLikeObjectKeys: [],
    translateTime: 'SYS:yyyy-mm-dd HH:MM:ss.l',
    // Only what this returns may hold colours: from what is logged pino-pretty takes every control character.
    messageFormat: (fields) => (colors ? colored(textOf(fields.msg)) : textOf(fields.msg)),
  });
  return { write: (line) => void out.write(format(inWords(line)) ?? '') };
}

/** The fields of pino's line; of a verdict and an enforcement with their words as the message. */
function inWords(line: string): string {
  const fields: Fields = JSON.parse(line);
  if (fields.msg === 'verdict') {
    const { verdict, namespace, pod, container, reason, detail } = fields;
    return withMessage(
      fields,
      IN_MESSAGE,
      `${verdict} ${namespace}/${pod} ${container}: ${reason}: ${detail}`,
    );
  }
  if (fields.msg === 'enforcement' && fields.pod !== undefined) {
    const { action, outcome, namespace, pod, container } = fields;
    return withMessage(fields, IN_ENFORCEMENT, `${outcome} ${namespace}/${pod} ${container} (${action})`);
  }
  return line;
}

function withMessage(fields: Fields, inMessage: ReadonlySet<string>, msg: string): string {
  const rest = Object.entries(fields).filter(([name]) => !inMessage.has(name));
  return JSON.stringify({ ...Object.fromEntries(rest), msg });
}

function colored(text: string): string {
  const [word = ''] = text.split(' ', 1);
  const color = VERDICT_COLORS.get(word);
  return color === undefined ? text : `\u001b[${color}m${word}\u001b[39m${text.slice(word.length)}`;
}

function textOf(message: unknown): string {
  return typeof message === 'string' ? message : '';
}
