import { DecodingError } from '../errors.ts';
import { type Nanoseconds, parseGoDuration } from './go-duration.ts';
import { isNull, itemsOf, type JsonMember, membersOf, type RawJson, stringOf } from './go-json.ts';

/**
 * JSON on its way into a Go struct, strictly and with regard to case, as the Kubernetes serializers decode
 * with EnableStrict (sigs.k8s.io/json): no unknown field, no name twice, every value of its field's type.
 * `null` is nothing said, everywhere.
 */

/** The fields that are there; those that are null are left out. */
export type StructFields<Name extends string> = ReadonlyMap<Name, RawJson>;

/** Ours: of one object or list. */
const MOST = 10_000;

/** @throws DecodingError */
export function structOf<Name extends string>(
  raw: RawJson,
  names: readonly Name[],
  where: string,
): StructFields<Name> {
  const fields = new Map<Name, RawJson>();
  for (const [written, value] of uniqueMembers(raw, where)) {
    const name = names.find((known) => known === written);
    if (name === undefined) {
      throw new DecodingError('unknownField', `${where} has a field that is not known`, written);
    }
    if (!isNull(value)) fields.set(name, value);
  }
  return fields;
}

/** A Go map: its names are data, and may be secret. @throws DecodingError */
export function mapOf(raw: RawJson, where: string): readonly JsonMember[] {
  return uniqueMembers(raw, where);
}

/** Empty where the field is absent. @throws DecodingError */
export function stringIn<Name extends string>(fields: StructFields<Name>, name: Name, where: string): string {
  return textOf(fields.get(name), `${where}.${name}`);
}

/** Undefined where the field is absent. @throws DecodingError */
export function booleanIn<Name extends string>(
  fields: StructFields<Name>,
  name: Name,
  where: string,
): boolean | undefined {
  const raw = fields.get(name);
  if (raw === undefined) return undefined;
  if (raw !== 'true' && raw !== 'false') throw wrongType(`${where}.${name}`, 'neither true nor false');
  return raw === 'true';
}

/** Undefined where the field is absent. @throws DecodingError */
export function durationIn<Name extends string>(
  fields: StructFields<Name>,
  name: Name,
  where: string,
): Nanoseconds | undefined {
  const raw = fields.get(name);
  if (raw === undefined) return undefined;
  const duration = parseGoDuration(textOf(raw, `${where}.${name}`));
  if (duration === undefined) {
    throw new DecodingError('durationMalformed', `${where}.${name} is no duration (like 5m or 1h30m)`);
  }
  return duration;
}

/** Empty where the field is absent. @throws DecodingError */
export function listIn<Name extends string>(
  fields: StructFields<Name>,
  name: Name,
  where: string,
): readonly RawJson[] {
  const raw = fields.get(name);
  if (raw === undefined) return [];
  const items = itemsOf(raw, MOST);
  if (items === undefined) throw wrongType(`${where}.${name}`, 'no list');
  if (items === 'tooMany')
    throw new DecodingError('tooLarge', `${where}.${name} has more than ${MOST} items`);
  return items;
}

/** Empty where the field is absent. @throws DecodingError */
export function stringsIn<Name extends string>(
  fields: StructFields<Name>,
  name: Name,
  where: string,
): readonly string[] {
  return listIn(fields, name, where).map((item, n) => textOf(item, `${where}.${name}[${n}]`));
}

function textOf(raw: RawJson | undefined, where: string): string {
  if (raw === undefined || isNull(raw)) return '';
  const text = stringOf(raw);
  if (text === undefined) throw wrongType(where, 'no string');
  return text;
}

function uniqueMembers(raw: RawJson, where: string): readonly JsonMember[] {
  if (isNull(raw)) return [];
  const members = membersOf(raw, MOST);
  if (members === undefined) throw wrongType(where, 'no object');
  if (members === 'tooMany') throw new DecodingError('tooLarge', `${where} has more than ${MOST} fields`);
  if (new Set(members.map(([name]) => name)).size !== members.length) {
    throw new DecodingError('duplicateField', `${where} has a field twice`);
  }
  return members;
}

function wrongType(where: string, what: string): DecodingError {
  return new DecodingError('wrongType', `${where} is ${what}`);
}
