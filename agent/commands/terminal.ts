/** What is known of the place where output goes. */
export type Terminal = {
  /** Characters in a line; undefined where nobody counts them (a file, a pipe): nothing is cut there. */
  readonly columns: number | undefined;
  readonly color: boolean;
};

export const NO_TERMINAL: Terminal = { columns: undefined, color: false };

/** NO_COLOR as https://no-color.org has it: any text that is not empty switches colour off. */
export function terminalOf(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  env: Readonly<Record<string, string | undefined>>,
): Terminal {
  if (stream.isTTY !== true) return NO_TERMINAL;
  return {
    columns: stream.columns || 80,
    color: (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb',
  };
}

export type Tone = 'good' | 'bad' | 'unsure';

const CODES: Record<Tone, number> = { good: 32, bad: 31, unsure: 33 };

/** The text in the colour of its tone (ANSI SGR). */
export function toned(text: string, tone: Tone | undefined): string {
  return tone === undefined ? text : `\u001b[${CODES[tone]}m${text}\u001b[39m`;
}

const VERDICT_TONES: Readonly<Record<string, Tone>> = {
  allowed: 'good',
  ok: 'good',
  denied: 'bad',
  failure: 'bad',
  unverifiable: 'unsure',
  unknown: 'unsure',
  warning: 'unsure',
};

/** The tone of a verdict or of what doctor found; undefined for other words. */
export function toneOf(word: string): Tone | undefined {
  return VERDICT_TONES[word];
}
