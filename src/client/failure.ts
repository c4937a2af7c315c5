/** What came back from a node, or from the way to it, as a HoldfastError. The only place that reads a gRPC status. */
import { type Metadata, type StatusObject, status } from '@grpc/grpc-js';
import { ERROR_CODES, type ErrorCode, errorOfFields, HoldfastError, isErrorCode } from '../base/errors.ts';
import type { ApiFailure } from '../proto/kv.ts';

/** An error and where the leader is, when the node said so. */
export interface AttemptFailure {
  readonly error: HoldfastError;
  /** host:port, or empty. */
  readonly leader: string;
  /** The node itself answered; false: the way to it broke, or something between answered. */
  readonly answered: boolean;
}

const CODE_WITHOUT_TRAILER: ReadonlyMap<status, ErrorCode> = new Map<status, ErrorCode>([
  [status.CANCELLED, 'UNAVAILABLE'],
  [status.DEADLINE_EXCEEDED, 'DEADLINE_EXCEEDED'],
  [status.RESOURCE_EXHAUSTED, 'TOO_LARGE'],
  [status.UNAUTHENTICATED, 'UNAUTHENTICATED'],
  [status.PERMISSION_DENIED, 'PERMISSION_DENIED'],
  [status.UNIMPLEMENTED, 'VERSION_UNSUPPORTED'],
]);

export function failureOfStatus(thrown: StatusObject, endpoint: string): AttemptFailure {
  const code = trailer(thrown.metadata, 'holdfast-code');
  if (isErrorCode(code)) {
    const error = errorOfFields({
      code,
      message: thrown.details,
      field: trailer(thrown.metadata, 'holdfast-field'),
      hint: trailer(thrown.metadata, 'holdfast-hint'),
    });
    return { error, leader: trailer(thrown.metadata, 'holdfast-leader'), answered: true };
  }
  const message = `${endpoint}: ${thrown.details || 'the connection broke'}`;
  const error = new HoldfastError(CODE_WITHOUT_TRAILER.get(thrown.code) ?? 'UNAVAILABLE', message);
  return { error, leader: '', answered: false };
}

export function failureOfAnswer(failure: ApiFailure): AttemptFailure {
  return { error: errorOfFields(failure), leader: failure.leader, answered: true };
}

export function unreachableNode(endpoint: string, reason: string): AttemptFailure {
  const error = new HoldfastError('UNAVAILABLE', `${endpoint}: ${reason}`);
  return { error, leader: '', answered: false };
}

/** After this failure the request may be sent again: it was not applied, or is protected by its id. */
export function isTransient(error: HoldfastError): boolean {
  if (error.code === 'DEADLINE_EXCEEDED' || error.code === 'OUTCOME_UNKNOWN') return true;
  return ERROR_CODES[error.code].retry === 'safe';
}

/** The node took the request and cannot say what became of it. */
export function leavesOutcomeOpen(error: HoldfastError): boolean {
  return ERROR_CODES[error.code].retry === 'same-id';
}

function trailer(metadata: Metadata | undefined, name: string): string {
  const value = metadata?.get(name)[0];
  if (typeof value !== 'string') return '';
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
