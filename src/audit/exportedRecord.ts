/** A record that was read from a line of an export. */
import type { ChainedRecordFields } from '../proto/audit.ts';
import { RECORD_TEXTS } from './record/chain.ts';

const NUMBERS = ['sequence', 'index', 'revision', 'count'] as const;
const HASH_PATTERN = /^[0-9a-f]{64}$/;

/** A record as it was read, at the place that it says. */
export type Exported = Omit<ChainedRecordFields, 'hash' | 'previousHash'> & {
  readonly hash: Buffer;
  readonly previousHash: Buffer;
};

/** Null: a field is missing, or is none. Whether its hash is right is not looked at. */
export function exportedRecord(json: Record<string, unknown>): Exported | null {
  const texts = RECORD_TEXTS.map((field) => [field, json[field]] as const);
  const numbers = NUMBERS.map((field) => [field, json[field]] as const);
  const { time, hash, previousHash } = json;
  const timeMs = typeof time === 'string' ? Date.parse(time) : Number.NaN;
  const resource = bytesOf(json, 'resource');
  const isWhole =
    texts.every(([, value]) => typeof value === 'string') &&
    numbers.every(([, value]) => Number.isSafeInteger(value) && (value as number) >= 0) &&
    Number.isSafeInteger(timeMs) &&
    new Date(timeMs).toISOString() === time &&
    isHash(hash) &&
    isHash(previousHash);
  if (!isWhole || resource === null) return null;
  return {
    ...(Object.fromEntries([...texts, ...numbers]) as Record<(typeof RECORD_TEXTS)[number], string> &
      Record<(typeof NUMBERS)[number], number>),
    timeMs,
    resource,
    resourceEnd: bytesOf(json, 'resourceEnd') ?? Buffer.alloc(0),
    hash: Buffer.from(hash as string, 'hex'),
    previousHash: Buffer.from(previousHash as string, 'hex'),
  };
}

const isHash = (value: unknown): boolean => typeof value === 'string' && HASH_PATTERN.test(value);

function bytesOf(json: Record<string, unknown>, field: string): Buffer | null {
  const text = json[field];
  if (typeof text === 'string') return Buffer.from(text, 'utf8');
  const base64 = json[`${field}Base64`];
  return typeof base64 === 'string' ? Buffer.from(base64, 'base64') : null;
}
