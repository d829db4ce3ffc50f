import { type Terminal, type Tone, terminalOf, toned } from '../../agent/commands/terminal.ts';
import { wrappedLines } from '../../agent/commands/wrap.ts';

/** Where the demo tells its story: at most 80 columns, in colour on a terminal, with what goes on meanwhile. */
export type Screen = {
  readonly terminal: Terminal;
  /** The begin of an act. */
  title(text: string): void;
  /** One step: whether it went as promised, what happened, how it ended, and the small print. */
  step(told: ToldStep): void;
  /** A paragraph. */
  say(text?: string): void;
  /** As it is: tables, whose lines fit already. */
  print(text: string): void;
  /** What is being done now, where it may take long; on a terminal it goes away with the next text. */
  progress(what: string): void;
  /** The same for what is over in a moment: only on a terminal. */
  meanwhile(what: string): void;
  /** Nothing is told any more. */
  close(): void;
};

export type ToldStep = {
  readonly kept: boolean;
  readonly title: string;
  readonly outcome: string;
  readonly tone: Tone;
  readonly details: readonly string[];
};

const WIDTH = 80;
const ERASE_LINE = '\r\u001b[K';

export function openScreen(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Screen {
  const found = terminalOf(stream, env);
  const columns = Math.min(found.columns ?? WIDTH, WIDTH);
  const terminal: Terminal = { columns, color: found.color };
  const isTerminal = found.columns !== undefined;
  let isProgressShown = false;
  let isClosed = false;

  const write = (text: string): void => {
    if (isClosed) return;
    stream.write(`${isProgressShown ? ERASE_LINE : ''}${text}`);
    isProgressShown = false;
  };
  const passing = (what: string): void => {
    write(`… ${what}`.slice(0, columns - 1));
    isProgressShown = true;
  };
  const styled = (code: number, text: string): string =>
    terminal.color ? `\u001b[${code}m${text}\u001b[0m` : text;
  const paragraph = (text: string, indent: number): string =>
    wrappedLines(text, columns - indent)
      .map((line) => `${' '.repeat(indent)}${line}\n`)
      .join('');

  return {
    terminal,
    title(text) {
      write(`\n${styled(1, text)}\n${styled(2, '─'.repeat(columns))}\n`);
    },
    step({ kept, title, outcome, tone, details }) {
      const mark = kept ? 'ok ' : 'NOT';
      const head = `${mark} ${title}`;
      const fits = head.length + 2 + outcome.length <= columns;
      const shown = terminal.color ? toned(outcome, tone) : outcome;
      write(fits ? `${head}: ${shown}\n` : `${head}:\n    ${shown}\n`);
      for (const detail of details) write(styled(2, paragraph(detail, 4).trimEnd()).concat('\n'));
    },
    say: (text = '') => write(text === '' ? '\n' : paragraph(text, 0)),
    print: write,
    progress(what) {
      if (isTerminal) passing(what);
      else write(`… ${what}\n`);
    },
    meanwhile(what) {
      if (isTerminal) passing(what);
    },
    close() {
      isClosed = true;
    },
  };
}
