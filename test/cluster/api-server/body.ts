import type { IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';

export type Fields = Readonly<Record<string, unknown>>;

/** The object that was sent; undefined where it is none. */
export async function readBody(request: IncomingMessage): Promise<Fields | undefined> {
  try {
    const object: unknown = JSON.parse(await text(request));
    return isFields(object) ? object : undefined;
  } catch {
    return undefined;
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function fieldsOf(value: unknown): Fields {
  return isFields(value) ? value : {};
}
