import { z } from 'zod';

/** One line of an agent's audit trail, as `pullwarden decisions -o json` prints it. */
const entry = z.object({
  time: z
    .string()
    .transform((text) => Date.parse(text))
    .refine(Number.isFinite),
  namespace: z.string(),
  pod: z.string(),
  podUid: z.string(),
  container: z.string(),
  containerId: z.string(),
  image: z.string(),
  verdict: z.string(),
  reason: z.string(),
  message: z.string(),
  mode: z.string(),
  action: z.string(),
  outcome: z.string(),
});

export type Entry = z.infer<typeof entry>;

/** @throws SyntaxError, ZodError */
export function readEntries(stdout: string): readonly Entry[] {
  return z.array(entry).parse(JSON.parse(stdout));
}

/** A line of `decisions --watch -o json`. @throws SyntaxError, ZodError */
export function readEntry(line: string): Entry {
  return entry.parse(JSON.parse(line));
}

/** Tells entries of one agent apart. */
export function entryKey({ containerId, container, time, verdict, reason, outcome }: Entry): string {
  return [containerId, container, time, verdict, reason, outcome].join('\0');
}
