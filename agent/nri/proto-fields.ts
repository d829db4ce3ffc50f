import type protobuf from 'protobufjs';

/** Wire type of strings, bytes and messages: a length and as many bytes. All others here are varints (0). */
const LENGTH_DELIMITED = 2;
const VARINT = 0;
const varints: ReadonlySet<string> = new Set(['bool', 'int32', 'uint32', 'int64']);
/** A map is a list of messages with these two fields (protobuf, encoding of maps). */
const KEY_TAG = (1 << 3) | LENGTH_DELIMITED;
const VALUE_TAG = (2 << 3) | LENGTH_DELIMITED;

/** What stands before a field of this message on the wire: its number and its wire type. */
export function tagOf(type: protobuf.Type, name: string): number {
  const field = type.fields[name]?.resolve();
  if (field === undefined) throw new Error(`${type.name} has no field ${name}`);
  const isVarint = varints.has(field.type) || (field.resolvedType !== null && 'values' in field.resolvedType);
  return (field.id << 3) | (isVarint ? VARINT : LENGTH_DELIMITED);
}

/**
 * Goes through the fields of the message that takes up the next `length` bytes. `take` reads a field's value, or
 * returns false for one that nobody wants.
 * @throws RangeError a field, or the message, is longer than what it is in; Error where the bytes are no fields
 */
export function readFields(reader: protobuf.Reader, length: number, take: (tag: number) => boolean): void {
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError('a message that is longer than what it is in');
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (!take(tag)) reader.skipType(tag & 7, 0, tag >>> 3);
  }
  if (reader.pos !== end) throw new RangeError('a field that is longer than its message');
}

/**
 * Reads one entry of a map<string, string>: its value if it is one of these keys. They are compared as bytes, because
 * most keys are none that anybody wants, and no text need be made of them.
 */
export function valueInMap(reader: protobuf.Reader, ...keys: readonly Uint8Array[]): string | undefined {
  let isWanted = false;
  let valueAt: number | undefined;
  readFields(reader, reader.uint32(), (tag) => {
    if (tag === KEY_TAG) {
      const length = reader.uint32();
      isWanted = keys.some((key) => startsHere(reader, length, key));
      reader.skip(length);
      return true;
    }
    if (tag === VALUE_TAG) valueAt = reader.pos;
    return false;
  });
  if (!isWanted) return undefined;
  if (valueAt === undefined) return '';
  const end = reader.pos;
  reader.pos = valueAt;
  const value = reader.string();
  reader.pos = end;
  return value;
}

function startsHere({ buf, pos }: protobuf.Reader, length: number, text: Uint8Array): boolean {
  return length === text.length && text.every((byte, at) => buf[pos + at] === byte);
}
