import { ERROR_CODES, type ErrorCode } from '../../src/base/errors.ts';
import type { Status } from './types.ts';

/**
 * What a refusal says of the operation. `fail` only where the request alone, or the one who asks, was the reason, or
 * where a node has said that it proposed nothing; all else may have been applied, as far as a history is concerned.
 */
const STATUS_OF = {
  INVALID_ARGUMENT: 'fail',
  NOT_FOUND: 'fail',
  AUDIT_TAMPERED: 'info',
  IN_USE: 'info',
  TOO_LARGE: 'fail',
  COMPACTED: 'fail',
  FUTURE_REVISION: 'fail',
  PURGED: 'fail',
  REQUEST_FORGOTTEN: 'info',
  REQUEST_MISMATCH: 'fail',
  PERMISSION_DENIED: 'fail',
  UNAUTHENTICATED: 'fail',
  NOT_LEADER: 'fail',
  NO_LEADER: 'fail',
  OVERLOADED: 'fail',
  NO_SPACE: 'fail',
  UNAVAILABLE: 'info',
  OUTCOME_UNKNOWN: 'info',
  DEADLINE_EXCEEDED: 'info',
  CANCELLED: 'info',
  WATCH_BEHIND: 'info',
  MEMBER_UNKNOWN: 'info',
  MEMBERSHIP_CHANGE_PENDING: 'info',
  KEY_CHANGE_PENDING: 'info',
  QUORUM_AT_RISK: 'info',
  TOKEN_UNKNOWN: 'info',
  TOKEN_EXPIRED: 'info',
  TOKEN_USED: 'info',
  TOKEN_MALFORMED: 'info',
  NODE_ID_REUSED: 'info',
  CONTROL_KEY_MISMATCH: 'info',
  ENCRYPTION_MISMATCH: 'info',
  JWT_SECRET_MISMATCH: 'info',
  CLUSTER_MISMATCH: 'info',
  VERSION_UNSUPPORTED: 'info',
  CERTIFICATE_INVALID: 'info',
  CONFIG_INVALID: 'info',
  KEY_FILE_INVALID: 'info',
  DATA_DIR_INVALID: 'info',
  PORT_IN_USE: 'info',
  CLOCK_INVALID: 'info',
  ENVELOPE_UNREADABLE: 'info',
  ENVELOPE_VERSION_UNKNOWN: 'info',
  ENVELOPE_SUITE_UNKNOWN: 'info',
  KEY_UNKNOWN: 'info',
  LOG_CORRUPT: 'info',
  STATE_CORRUPT: 'info',
  DISK_FAILED: 'info',
  FILE_UNREADABLE: 'info',
  USAGE: 'info',
  INTERNAL: 'info',
} as const satisfies Partial<Record<ErrorCode, Exclude<Status, 'ok'>>>;

const STATUSES: ReadonlyMap<string, Exclude<Status, 'ok'>> = new Map(Object.entries(STATUS_OF));

/** The codes that this table knows; a test holds it against ERROR_CODES. */
export const KNOWN_CODES: ReadonlySet<string> = new Set(STATUSES.keys());

/** `fail` or `info`; a code that is not known here may mean anything. */
export function statusOf(code: string): Exclude<Status, 'ok'> {
  return STATUSES.get(code) ?? 'info';
}

/**
 * Whether the code is the promise that nothing was applied. Wider than `fail`: a history takes a broken connection
 * for an open outcome, and yet what the client library promised can be held against it.
 */
export function promisesNothingApplied(code: string): boolean {
  return Object.hasOwn(ERROR_CODES, code) && ERROR_CODES[code as ErrorCode].retry !== 'same-id';
}
