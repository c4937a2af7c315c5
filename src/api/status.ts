/** The only place that makes a gRPC status out of an error. */
import { Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { InvariantViolation } from '../base/assert.ts';
import { type ErrorCode, HoldfastError } from '../base/errors.ts';
import type { ApiFailure } from '../proto/kv.ts';

/** Every code of base/errors.ts with the gRPC status that generic gRPC tools see. */
export const STATUS_OF_CODE: Readonly<Record<ErrorCode, status>> = {
  INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  NOT_FOUND: status.NOT_FOUND,
  AUDIT_TAMPERED: status.DATA_LOSS,
  IN_USE: status.FAILED_PRECONDITION,
  TOO_LARGE: status.INVALID_ARGUMENT,
  COMPACTED: status.OUT_OF_RANGE,
  FUTURE_REVISION: status.OUT_OF_RANGE,
  PURGED: status.FAILED_PRECONDITION,
  REQUEST_FORGOTTEN: status.FAILED_PRECONDITION,
  REQUEST_MISMATCH: status.INVALID_ARGUMENT,
  PERMISSION_DENIED: status.PERMISSION_DENIED,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  NOT_LEADER: status.UNAVAILABLE,
  NO_LEADER: status.UNAVAILABLE,
  OVERLOADED: status.RESOURCE_EXHAUSTED,
  NO_SPACE: status.RESOURCE_EXHAUSTED,
  UNAVAILABLE: status.UNAVAILABLE,
  OUTCOME_UNKNOWN: status.UNKNOWN,
  DEADLINE_EXCEEDED: status.DEADLINE_EXCEEDED,
  CANCELLED: status.CANCELLED,
  WATCH_BEHIND: status.ABORTED,
  MEMBER_UNKNOWN: status.NOT_FOUND,
  MEMBERSHIP_CHANGE_PENDING: status.FAILED_PRECONDITION,
  KEY_CHANGE_PENDING: status.FAILED_PRECONDITION,
  QUORUM_AT_RISK: status.FAILED_PRECONDITION,
  TOKEN_UNKNOWN: status.UNAUTHENTICATED,
  TOKEN_EXPIRED: status.UNAUTHENTICATED,
  TOKEN_USED: status.UNAUTHENTICATED,
  TOKEN_MALFORMED: status.INVALID_ARGUMENT,
  NODE_ID_REUSED: status.ALREADY_EXISTS,
  CONTROL_KEY_MISMATCH: status.FAILED_PRECONDITION,
  ENCRYPTION_MISMATCH: status.FAILED_PRECONDITION,
  JWT_SECRET_MISMATCH: status.FAILED_PRECONDITION,
  CLUSTER_MISMATCH: status.FAILED_PRECONDITION,
  VERSION_UNSUPPORTED: status.UNIMPLEMENTED,
  CERTIFICATE_INVALID: status.UNAUTHENTICATED,
  CONFIG_INVALID: status.FAILED_PRECONDITION,
  KEY_FILE_INVALID: status.FAILED_PRECONDITION,
  DATA_DIR_INVALID: status.FAILED_PRECONDITION,
  PORT_IN_USE: status.FAILED_PRECONDITION,
  CLOCK_INVALID: status.FAILED_PRECONDITION,
  ENVELOPE_UNREADABLE: status.DATA_LOSS,
  ENVELOPE_VERSION_UNKNOWN: status.DATA_LOSS,
  ENVELOPE_SUITE_UNKNOWN: status.DATA_LOSS,
  KEY_UNKNOWN: status.DATA_LOSS,
  LOG_CORRUPT: status.DATA_LOSS,
  STATE_CORRUPT: status.DATA_LOSS,
  DISK_FAILED: status.INTERNAL,
  FILE_UNREADABLE: status.INTERNAL,
  USAGE: status.INVALID_ARGUMENT,
  INTERNAL: status.INTERNAL,
};

/** Trailers together stay far below the 8 KiB that some proxies allow. */
const TEXT_CHARACTERS_MAX = 1_024;

/**
 * What a handler caught, as the error that its caller may see. Only a HoldfastError speaks for itself; the text of
 * any other throw may hold anything, a value too, so it stays here.
 * @throws InvariantViolation later, outside of every handler: the process must stop
 */
export function callerError(thrown: unknown): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  if (thrown instanceof InvariantViolation) {
    setImmediate(() => {
      throw thrown;
    });
  }
  return new HoldfastError('INTERNAL', 'a defect in this node', { cause: thrown });
}

/** The error as a gRPC status with `holdfast-*` trailers. `leader`: host:port of the leader's API, or null. */
export function grpcStatus(error: HoldfastError, leader: string | null): StatusObject {
  const metadata = new Metadata();
  metadata.set('holdfast-code', error.code);
  if (error.field) metadata.set('holdfast-field', asTrailer(error.field));
  if (error.hint) metadata.set('holdfast-hint', asTrailer(error.hint));
  if (leader !== null && pointsToLeader(error.code)) metadata.set('holdfast-leader', asTrailer(leader));
  return { code: STATUS_OF_CODE[error.code], details: wellFormed(error.message), metadata };
}

/** The error as a message inside a stream. */
export function apiFailure(error: HoldfastError, leader: string | null): ApiFailure {
  return {
    code: error.code,
    message: wellFormed(error.message),
    field: wellFormed(error.field ?? ''),
    hint: wellFormed(error.hint ?? ''),
    leader: leader !== null && pointsToLeader(error.code) ? leader : '',
  };
}

function pointsToLeader(code: ErrorCode): boolean {
  return code === 'NOT_LEADER' || code === 'NO_LEADER' || code === 'UNAVAILABLE';
}

/** A lone surrogate would make the status itself unsendable. */
function wellFormed(text: string): string {
  return Buffer.from(text.slice(0, TEXT_CHARACTERS_MAX), 'utf8').toString('utf8');
}

/** Trailers are printable ASCII; the rest goes as %XX of its UTF-8, as gRPC does with its own message. */
function asTrailer(text: string): string {
  return wellFormed(text).replaceAll(/[^ -~]|%/gu, (character) =>
    [...Buffer.from(character, 'utf8')]
      .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join(''),
  );
}
