/**
 * The JSON form of a transaction, as docs/cli.md shows it. Strict: a field that is not known is refused, since a
 * misspelt condition would otherwise hold always.
 */
import { isUtf8 } from 'node:buffer';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { compare, del, get, type KeySelector, put, range, type Transaction } from '../../client/index.ts';
import { decodeBase64 } from './base64.ts';

type Compare = NonNullable<Transaction['compares']>[number];
type Operation = NonNullable<Transaction['success']>[number];
type Fields = Readonly<Record<string, unknown>>;

/** @throws HoldfastError USAGE naming the place in the document, or TOO_LARGE naming the limit */
export function parseTransaction(bytes: Buffer): Transaction {
  const document = object(parseJson(bytes), '', ['compares', 'success', 'failure']);
  return {
    compares: list(document['compares'], 'compares', parseCompare),
    success: list(document['success'], 'success', parseOperation),
    failure: list(document['failure'], 'failure', parseOperation),
  };
}

function parseJson(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw refused('', 'is not UTF-8');
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch {
    // The parser's own message quotes the document, which may hold a secret value.
    throw refused('', 'is not JSON');
  }
}

const RELATIONS = {
  equal: 'equals',
  notEqual: 'notEquals',
  greater: 'greaterThan',
  less: 'lessThan',
} as const;
const NUMBER_TARGETS = ['version', 'createRevision', 'modRevision'] as const;
const TARGETS = ['value', ...NUMBER_TARGETS] as const;

function parseCompare(json: unknown, place: string): Compare {
  const fields = object(json, place, [
    'key',
    'keyBase64',
    'target',
    'relation',
    'value',
    'valueBase64',
    'number',
  ]);
  const key = requiredKey(fields, place);
  const target = choice(fields['target'], `${place}.target`, TARGETS);
  const relation = choice(fields['relation'] ?? 'equal', `${place}.relation`, [
    'equal',
    'notEqual',
    'greater',
    'less',
  ]);
  if (target === 'value') {
    absent(fields, place, ['number']);
    return compare.value(key)[RELATIONS[relation]](requiredBytes(fields, place, 'value'));
  }
  absent(fields, place, ['value', 'valueBase64']);
  return compare[target](key)[RELATIONS[relation]](count(fields['number'], `${place}.number`));
}

const OPERATIONS: Readonly<Record<string, (json: unknown, place: string) => Operation>> = {
  put: parsePut,
  delete: parseDelete,
  get: (json, place) => get(requiredKey(object(json, place, ['key', 'keyBase64']), place)),
  range: parseRange,
};

function parseOperation(json: unknown, place: string): Operation {
  const fields = object(json, place, Object.keys(OPERATIONS));
  const [entry, ...more] = Object.entries(fields);
  const parse = entry === undefined ? undefined : OPERATIONS[entry[0]];
  if (entry === undefined || parse === undefined || more.length > 0) {
    throw refused(place, 'must have exactly one of put, delete, get, range');
  }
  return parse(entry[1], `${place}.${entry[0]}`);
}

function parsePut(json: unknown, place: string): Operation {
  const fields = object(json, place, ['key', 'keyBase64', 'value', 'valueBase64', 'previous']);
  const value = requiredBytes(fields, place, 'value');
  if (value.length > LIMITS.valueBytesMax) {
    throw tooLarge(`${place}.value`, { length: value.length, most: LIMITS.valueBytesMax });
  }
  return put(requiredKey(fields, place), value, { previous: flag(fields['previous'], `${place}.previous`) });
}

const SELECTOR_FIELDS = [
  'key',
  'keyBase64',
  'prefix',
  'prefixBase64',
  'start',
  'startBase64',
  'end',
  'endBase64',
] as const;

function parseDelete(json: unknown, place: string): Operation {
  const fields = object(json, place, [...SELECTOR_FIELDS, 'previous']);
  return del(selector(fields, place), { previous: flag(fields['previous'], `${place}.previous`) });
}

function parseRange(json: unknown, place: string): Operation {
  const fields = object(json, place, [...SELECTOR_FIELDS, 'limit', 'keysOnly', 'countOnly']);
  const limit = fields['limit'] === undefined ? {} : { limit: count(fields['limit'], `${place}.limit`) };
  return range(selector(fields, place), {
    ...limit,
    keysOnly: flag(fields['keysOnly'], `${place}.keysOnly`),
    countOnly: flag(fields['countOnly'], `${place}.countOnly`),
  });
}

function selector(fields: Fields, place: string): KeySelector {
  const key = bytesOf(fields, place, 'key');
  const prefix = bytesOf(fields, place, 'prefix');
  const start = bytesOf(fields, place, 'start');
  const end = bytesOf(fields, place, 'end');
  if ([key, prefix, start].filter((one) => one !== undefined).length !== 1) {
    throw refused(place, 'must have exactly one of key, prefix, start');
  }
  if (end !== undefined && start === undefined) throw refused(`${place}.end`, 'goes only with start');
  if (key !== undefined) return { key: requiredKey(fields, place) };
  if (prefix !== undefined) return { prefix: withinKey(prefix, `${place}.prefix`) };
  const from = withinKey(start ?? Buffer.alloc(0), `${place}.start`);
  return end === undefined ? { start: from } : { start: from, end: withinKey(end, `${place}.end`) };
}

function requiredKey(fields: Fields, place: string): Buffer {
  const key = requiredBytes(fields, place, 'key');
  if (key.length === 0) throw refused(`${place}.key`, 'must not be empty');
  return withinKey(key, `${place}.key`);
}

function withinKey(bytes: Buffer, place: string): Buffer {
  if (bytes.length <= LIMITS.keyBytesMax) return bytes;
  throw tooLarge(place, { length: bytes.length, most: LIMITS.keyBytesMax });
}

function requiredBytes(fields: Fields, place: string, name: string): Buffer {
  const bytes = bytesOf(fields, place, name);
  if (bytes !== undefined) return bytes;
  throw refused(`${place}.${name}`, 'is missing');
}

/** A field as text, or under the name with Base64 at its end; never both. */
function bytesOf(fields: Fields, place: string, name: string): Buffer | undefined {
  const text = fields[name];
  const encoded = fields[`${name}Base64`];
  if (text !== undefined && encoded !== undefined) {
    throw refused(`${place}.${name}`, `and ${name}Base64 exclude each other`);
  }
  if (text !== undefined) return Buffer.from(textOf(text, `${place}.${name}`), 'utf8');
  if (encoded === undefined) return undefined;
  return decodeBase64(textOf(encoded, `${place}.${name}Base64`), `${place}.${name}Base64`);
}

function textOf(json: unknown, place: string): string {
  if (typeof json !== 'string') throw refused(place, 'must be a text');
  // A lone surrogate has no UTF-8: it would be stored as another character.
  if (/\p{Surrogate}/u.test(json)) throw refused(place, 'holds half of a surrogate pair');
  return json;
}

function object(json: unknown, place: string, known: readonly string[]): Fields {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw refused(place, 'must be an object');
  }
  const unknown = Object.keys(json).find((name) => !known.includes(name));
  if (unknown === undefined) return json as Fields;
  throw refused(place, `has the unknown field ${JSON.stringify(unknown)}`, `known: ${known.join(', ')}`);
}

function list<T>(json: unknown, place: string, parse: (json: unknown, place: string) => T): T[] {
  if (json === undefined) return [];
  if (!Array.isArray(json)) throw refused(place, 'must be a list');
  const most = LIMITS.transactionOperationsMax;
  if (json.length > most) throw tooLarge(place, { length: json.length, most, unit: 'items' });
  return json.map((item: unknown, position) => parse(item, `${place}[${position}]`));
}

function choice<T extends string>(json: unknown, place: string, options: readonly T[]): T {
  const chosen = options.find((option) => option === json);
  if (chosen !== undefined) return chosen;
  throw refused(place, `must be one of ${options.join(', ')}`);
}

function count(json: unknown, place: string): number {
  if (typeof json === 'number' && Number.isSafeInteger(json) && json >= 0) return json;
  throw refused(place, 'must be a whole number of at least 0');
}

function flag(json: unknown, place: string): boolean {
  if (json === undefined) return false;
  if (typeof json === 'boolean') return json;
  throw refused(place, 'must be true or false');
}

function absent(fields: Fields, place: string, names: readonly string[]): void {
  const there = names.find((name) => fields[name] !== undefined);
  if (there !== undefined) {
    throw refused(`${place}.${there}`, `does not go with target ${String(fields['target'])}`);
  }
}

function refused(place: string, problem: string, hint?: string): HoldfastError {
  const field = place === '' ? 'document' : place;
  const what = place === '' ? 'the transaction document' : place;
  return new HoldfastError('USAGE', `${what} ${problem}`, {
    field,
    hint: hint ?? 'see docs/cli.md, "holdfast kv txn", for the form',
  });
}

function tooLarge(
  field: string,
  { length, most, unit = 'bytes' }: { length: number; most: number; unit?: string },
): HoldfastError {
  return new HoldfastError('TOO_LARGE', `${field} has ${length} ${unit}; the limit is ${most}`, { field });
}
