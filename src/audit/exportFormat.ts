/** Audit records as lines: JSON, which can be verified, and CSV for spreadsheets. docs/formats.md has the fields. */
import { isUtf8 } from 'node:buffer';
import { asBuffer } from '../base/bytes.ts';
import { printable, printableJson } from '../base/printable.ts';
import type { ChainedRecordFields, KeptCheckpoint } from '../proto/audit.ts';
import { type ExportedCheckpoint, exportedCheckpoint } from './signedCheckpoint.ts';

export const EXPORT_VERSION = 1;

/** The first line of an export. */
export interface ExportHead {
  readonly holdfastAudit: number;
  readonly clusterId: string;
  /** Of the first record; 0: there is none. */
  readonly firstSequence: number;
  /** Of the record before it, hex. */
  readonly previousHash: string;
  /** Some records are left out on purpose, so that gaps say nothing. */
  readonly filtered: boolean;
  /** What came before the first record is left out on purpose: by a time that was asked for, or since another file has it. */
  readonly continues: boolean;
  readonly exportedAt: string;
  /** What the first record goes on from, where the records before it are no longer kept. */
  readonly checkpoint?: ExportedCheckpoint;
}

/** The last line: what is cut off is missed. */
export interface ExportEnd {
  readonly records: number;
  readonly lastSequence: number;
  readonly lastHash: string;
}

/** The fields of a record as they are written, in order. */
export function exportFields(record: ChainedRecordFields): Record<string, string | number> {
  const { sequence, timeMs, index, principalKind, principal, session, address, node, action } = record;
  const { result, requestId, revision, count, detail } = record;
  return {
    sequence,
    time: new Date(timeMs).toISOString(),
    index,
    principalKind,
    principal,
    session,
    address,
    node,
    action,
    ...bytesFields('resource', record.resource),
    ...(record.resourceEnd.length === 0 ? {} : bytesFields('resourceEnd', record.resourceEnd)),
    result,
    requestId,
    revision,
    count,
    detail,
    previousHash: hexOf(record.previousHash),
    hash: hexOf(record.hash),
  };
}

/** A record as a line of an export: JSON without a line end, and without a control character that is not escaped. */
export const exportLine = (record: ChainedRecordFields): string => printableJson(exportFields(record));

/** Whether a line is the one that an export has for a record; an older one has some control characters as they are. */
export function isExportLine(line: string, record: ChainedRecordFields): boolean {
  return line === exportLine(record) || line === JSON.stringify(exportFields(record));
}

export const hexOf = (bytes: Uint8Array): string => asBuffer(bytes).toString('hex');

/** As text where that says it all. */
function bytesFields(name: string, bytes: Uint8Array): Record<string, string> {
  const buffer = asBuffer(bytes);
  return isUtf8(buffer)
    ? { [name]: buffer.toString('utf8') }
    : { [`${name}Base64`]: buffer.toString('base64') };
}

const CSV_COLUMNS = [
  'sequence',
  'time',
  'index',
  'principalKind',
  'principal',
  'session',
  'address',
  'node',
  'action',
  'resource',
  'resourceBase64',
  'resourceEnd',
  'resourceEndBase64',
  'result',
  'requestId',
  'revision',
  'count',
  'detail',
  'previousHash',
  'hash',
];

export const CSV_HEAD = CSV_COLUMNS.join(',');

/** Before the head of the columns, where the chain goes on from a checkpoint. */
export function csvCheckpoint(checkpoint: KeptCheckpoint): string {
  return ['# checkpoint', ...Object.values(exportedCheckpoint(checkpoint))].join(',');
}

/** RFC 4180, with control characters written out; what a spreadsheet would take for a formula gets an apostrophe before it. */
export function csvLine(record: ChainedRecordFields): string {
  const fields = exportFields(record);
  return CSV_COLUMNS.map((column) => csvField(fields[column] ?? '')).join(',');
}

/** A spreadsheet passes over what is blank before a formula, and some take the wide signs for the others. */
const FORMULA = /^\s*[=+\-@＝＋－＠]/;

function csvField(value: string | number): string {
  if (typeof value === 'number') return String(value);
  const written = printable(value);
  const text = FORMULA.test(written) ? `'${written}` : written;
  return /[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
