/** The records of one entry in a row: what all of them say alike is written once, and what says nothing takes no bytes. */
import { RECORD_TEXTS } from '../audit/record/chain.ts';
import { bytesField } from '../command/keys.ts';
import { type AuditRecord, type AuditRow, auditRowCodec } from '../proto/audit.ts';

export type AuditRecords = Omit<AuditRow, 'common'>;

/** The fields of a record that are no bytes. */
const SCALARS = [...RECORD_TEXTS, 'revision', 'count'] as const satisfies readonly (keyof AuditRecord)[];
type Scalar = (typeof SCALARS)[number];

/** Plaintext of a row of table `l`. */
export function encodeAuditRow({ records, ...row }: AuditRecords): Buffer {
  const [first, ...others] = records;
  const isShared = (field: Scalar): boolean => others.every((record) => record[field] === first?.[field]);
  const shared = new Set(others.length === 0 ? [] : SCALARS.filter(isShared));
  const common = first === undefined || shared.size === 0 ? null : scalarsOf(first, shared);
  const own = SCALARS.filter((field) => !shared.has(field));
  return auditRowCodec.encode({ ...row, common, records: records.map((record) => written(record, own)) });
}

/** @throws HoldfastError INVALID_ARGUMENT */
export function decodeAuditRow(plaintext: Uint8Array): AuditRecords {
  const { index, timeMs, previousHash, records, common } = auditRowCodec.decode(plaintext);
  return { index, timeMs, previousHash, records: records.map((record) => whole(record, common)) };
}

/** Only these fields, and of them only what says something. */
function scalarsOf(record: AuditRecord, fields: Iterable<Scalar>): AuditRecord {
  const given: Partial<Record<Scalar, string | number>> = {};
  for (const field of fields) if (record[field] !== '' && record[field] !== 0) given[field] = record[field];
  return given as unknown as AuditRecord;
}

function written(record: AuditRecord, own: readonly Scalar[]): AuditRecord {
  const { resource, resourceEnd } = record;
  const given: Writable<AuditRecord> = scalarsOf(record, own);
  if (resource.length > 0) given.resource = resource;
  if (resourceEnd.length > 0) given.resourceEnd = resourceEnd;
  return given;
}

/** With every field of its own. A field that all have in common is in no record, and no other is in `common`. */
function whole(record: AuditRecord, common: AuditRecord | Unset): AuditRecord {
  const { resource, resourceEnd } = record;
  const fields: Partial<Record<Scalar, string | number>> = {};
  for (const field of SCALARS) fields[field] = record[field] || (common?.[field] ?? record[field]);
  return {
    ...(fields as Pick<AuditRecord, Scalar>),
    resource: bytesField(resource),
    resourceEnd: bytesField(resourceEnd),
  };
}

type Unset = null | undefined;
type Writable<T> = { -readonly [Field in keyof T]: T[Field] };
