import { z } from 'zod';
import { formatDuration, parseDuration } from './duration.ts';
import { type ListenAddress, parseListenAddress } from './listen-address.ts';

/** What values an option takes. */
export type OptionType<Value> = {
  /** Stands for the value in help texts. */
  readonly placeholder: string;
  /** Completes "must be …". */
  readonly allowed: string;
  /** Reads what a YAML file holds. */
  readonly schema: z.ZodType<Value>;
  /**
   * What a flag's or a variable's text would be in YAML. Text that is no such value is passed on, for the
   * schema to refuse.
   */
  readonly fromText: (text: string) => unknown;
  /** A flag may be given more than once. */
  readonly isList?: true;
};

const MAX_TEXT = 4_096;
const MAX_LIST = 1_000;

export function oneOf<const Value extends string>(values: readonly Value[]): OptionType<Value> {
  const allowed = `one of ${values.join(', ')}`;
  return { placeholder: 'VALUE', allowed, schema: z.enum(values), fromText: asIs };
}

/** Text in which nothing is looked for; `accept` may refuse it. */
export function text(
  placeholder: string,
  allowed: string,
  accept: (value: string) => boolean = () => true,
): OptionType<string> {
  return { placeholder, allowed, schema: plainText.refine(accept), fromText: asIs };
}

/** In milliseconds; `least` and `most` as well. */
export function duration(least: number, most: number): OptionType<number> {
  const schema = z.string().transform((value, context) => {
    const milliseconds = parseDuration(value);
    if (milliseconds !== undefined && milliseconds >= least && milliseconds <= most) return milliseconds;
    context.addIssue('out of range');
    return z.NEVER;
  });
  const allowed = `a duration from ${formatDuration(least)} to ${formatDuration(most)}, such as 30s or 1h30m`;
  return { placeholder: 'DURATION', allowed, schema, fromText: asIs };
}

export function wholeNumber(least: number, most: number): OptionType<number> {
  const allowed = `a whole number from ${least} to ${most}`;
  return { placeholder: 'NUMBER', allowed, schema: z.int().min(least).max(most), fromText: numberFromText };
}

/** A part of the whole, 0 to 1. */
export function share(): OptionType<number> {
  return {
    placeholder: 'NUMBER',
    allowed: 'a number from 0 to 1',
    schema: z.number().min(0).max(1),
    fromText: numberFromText,
  };
}

/** As text, items are parted by commas, and an empty text is an empty list. */
export function list(
  placeholder: string,
  allowed: string,
  accept: (item: string) => boolean,
): OptionType<readonly string[]> {
  return {
    placeholder,
    allowed: `a list of ${allowed}`,
    schema: z.array(plainText.min(1).refine(accept)).max(MAX_LIST),
    fromText: (value) => (value === '' ? [] : value.split(',').map((item) => item.trim())),
    isList: true,
  };
}

export function listenAddress(): OptionType<ListenAddress | undefined> {
  const schema = z.string().transform((value, context) => {
    const address = parseListenAddress(value);
    if (address === undefined && value !== '') context.addIssue('not an address');
    return address;
  });
  return {
    placeholder: 'HOST:PORT',
    allowed: 'host:port, [IPv6]:port, :port or empty for none',
    schema,
    fromText: asIs,
  };
}

/** Makes an option one that may be left out and has no default. */
export function optional<Value>(type: OptionType<Value>): OptionType<Value | undefined> {
  return { ...type, schema: type.schema.optional() };
}

const plainText = z
  .string()
  .max(MAX_TEXT)
  .refine((value) => !/\p{Cc}/u.test(value));

function asIs(value: string): unknown {
  return value;
}

function numberFromText(value: string): unknown {
  return /^\d{1,15}(\.\d{1,15})?$/.test(value) ? Number(value) : value;
}
