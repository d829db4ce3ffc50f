import { parseDuration } from '../config/duration.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/**
 * A duration as Go reads it, with days before it: `5d`, `1d12h`, `30m`. In milliseconds; undefined for other
 * text.
 */
export function parseAge(text: string): number | undefined {
  const [, days, rest = ''] = /^(?:(\d{1,5})d)?(.*)$/s.exec(text) ?? [];
  if (days === undefined) return parseDuration(text);
  const more = rest === '' ? 0 : parseDuration(rest);
  return more === undefined ? undefined : Number(days) * DAY + more;
}

/**
 * How long ago something was, in kubectl's words: `12s`, `3m20s`, `47m`, `5h10m`, `3d4h`, `12d`, `2y30d`
 * (k8s.io/apimachinery, duration.HumanDuration). Milliseconds; the future is `0s`.
 */
export function formatAge(milliseconds: number): string {
  const ms = Math.max(0, milliseconds);
  if (ms < 2 * MINUTE) return whole(ms, SECOND, 's');
  if (ms < 10 * MINUTE) return pair(ms, MINUTE, 'm', SECOND, 's');
  if (ms < 3 * HOUR) return whole(ms, MINUTE, 'm');
  if (ms < 8 * HOUR) return pair(ms, HOUR, 'h', MINUTE, 'm');
  if (ms < 2 * DAY) return whole(ms, HOUR, 'h');
  if (ms < 8 * DAY) return pair(ms, DAY, 'd', HOUR, 'h');
  if (ms < 2 * YEAR) return whole(ms, DAY, 'd');
  if (ms < 8 * YEAR) return pair(ms, YEAR, 'y', DAY, 'd');
  return whole(ms, YEAR, 'y');
}

function whole(ms: number, unit: number, letter: string): string {
  return `${Math.floor(ms / unit)}${letter}`;
}

function pair(ms: number, unit: number, letter: string, smaller: number, smallerLetter: string): string {
  const rest = Math.floor((ms % unit) / smaller);
  return `${whole(ms, unit, letter)}${rest === 0 ? '' : `${rest}${smallerLetter}`}`;
}
