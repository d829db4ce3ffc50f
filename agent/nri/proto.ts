import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import { NriError } from '../errors.ts';

const root = new protobuf.Root().loadSync([protoFile('ttrpc.proto'), protoFile('nri.proto')]);

/** A message type of proto/ttrpc.proto or proto/nri.proto by its full name. */
export function messageType(name: string): protobuf.Type {
  return root.lookupType(name);
}

export function encode(type: protobuf.Type, fields: Record<string, unknown>): Uint8Array {
  return type.encode(type.create(fields)).finish();
}

/** Fields of type int64; beyond 2^53 they lose what nobody needs. */
export type Int64 = number | { toNumber(): number };

export function toNumber(value: Int64): number {
  return typeof value === 'number' ? value : value.toNumber();
}

/** A field of type bytes: protobufjs gives an empty list for one that is not there. */
export type Bytes = Uint8Array | readonly [];

export function toBytes(value: Bytes): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

/**
 * Throws when it comes to more fields than it was given, those of messages and map entries within counted as
 * well.
 */
class BoundedReader extends protobuf.BufferReader {
  #fieldsLeft: number;

  constructor(bytes: Buffer, maxFields: number) {
    super(bytes);
    this.#fieldsLeft = maxFields;
  }

  override tag(): number {
    this.#fieldsLeft -= 1;
    if (this.#fieldsLeft < 0) throw new NriError('malformed', 'a message of too many fields');
    return super.tag();
  }
}

/** For {@link decode}, of a message that a tenant can make long. */
export function boundedReader(bytes: Uint8Array, maxFields: number): protobuf.Reader {
  return new BoundedReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), maxFields);
}

/**
 * Untrusted bytes as a message. `Fields` says what the .proto file says of it: scalars are always there,
 * messages may be null.
 * @throws NriError `malformed`
 */
export function decode<Fields>(type: protobuf.Type, bytes: Uint8Array | protobuf.Reader): Fields {
  try {
    // protobufjs builds the decoder from the .proto file, so a field can only be of the kind that stands
    // there; a schema on top of it took longer than the decoding, and every container waits for this.
    return type.decode(bytes) as unknown as Fields;
  } catch (cause) {
    if (cause instanceof NriError) throw cause;
    throw new NriError('malformed', `these bytes are no ${type.name}`, { cause });
  }
}

/** proto/ stands beside agent/ in the sources and beside dist/ where the agent was built. */
function protoFile(name: string): string {
  const places = ['../../proto/', '../../../proto/'].map((folder) =>
    fileURLToPath(new URL(`${folder}${name}`, import.meta.url)),
  );
  const found = places.find((place) => existsSync(place));
  if (found === undefined) throw new Error(`${name} is neither at ${places.join(' nor at ')}`);
  return found;
}
