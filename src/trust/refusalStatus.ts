import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { splitAddress } from '../base/address.ts';
import { type ErrorCode, HoldfastError, isErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { printable } from '../base/printable.ts';

/** Codes after which the same request may succeed here or elsewhere; gRPC's own name for that is UNAVAILABLE. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'NOT_LEADER',
  'NO_LEADER',
  'OVERLOADED',
  'UNAVAILABLE',
  'MEMBERSHIP_CHANGE_PENDING',
  'OUTCOME_UNKNOWN',
  'DEADLINE_EXCEEDED',
]);

const METADATA_TEXT_MAX = 1_024;

/** Why a node is turned away, in gRPC's form; `leader` is the leader's peer address when it is known. */
export function toRefusalStatus(error: HoldfastError, leader: string | null): Partial<ServiceError> {
  const metadata = new Metadata();
  metadata.set('holdfast-code', error.code);
  if (error.field !== undefined) metadata.set('holdfast-field', metadataText(error.field));
  if (error.hint !== undefined) metadata.set('holdfast-hint', metadataText(error.hint));
  if (leader !== null) metadata.set('holdfast-leader', metadataText(leader));
  const code = PASSING.has(error.code) ? status.UNAVAILABLE : status.FAILED_PRECONDITION;
  // What went wrong inside is for this node's log, not for who has proved nothing yet.
  const details = error.code === 'INTERNAL' ? 'a defect in holdfast; see the log of the node' : error.message;
  return { code, details, metadata };
}

/** The same, as the node that was turned away sees it. */
export interface RemoteRefusal {
  readonly error: HoldfastError;
  /** The peer address that the answering node named, if it is one. */
  readonly leader: string | null;
  /** Whether it may go better at another node or a moment later. */
  readonly passing: boolean;
}

/** `speaker`: who said it, for the message. It may have proved nothing: what it says is cut, and steers no terminal. */
export function fromRefusalStatus(failure: ServiceError, speaker: string): RemoteRefusal {
  const text = (name: string) => {
    const said = failure.metadata?.get(name)[0]?.toString();
    return said === undefined ? undefined : harmless(said);
  };
  const sent = text('holdfast-code');
  const code =
    sent !== undefined && isErrorCode(sent) ? sent : (CODE_OF_STATUS.get(failure.code) ?? 'INTERNAL');
  const field = text('holdfast-field');
  const hint = text('holdfast-hint');
  const error = new HoldfastError(code, `${speaker}: ${harmless(failure.details)}`, {
    ...(field === undefined ? {} : { field }),
    ...(hint === undefined ? {} : { hint }),
    cause: failure,
  });
  const leader = text('holdfast-leader');
  const known = leader !== undefined && splitAddress(leader) !== null;
  return { error, leader: known ? leader : null, passing: PASSING.has(code) };
}

function harmless(said: string): string {
  return printable(Buffer.from(said.slice(0, LIMITS.refusalCharactersMax)).toString());
}

/** For answers that carry no code of ours: they come from gRPC itself. What is not listed is INTERNAL. */
const CODE_OF_STATUS: ReadonlyMap<status, ErrorCode> = new Map([
  [status.DEADLINE_EXCEEDED, 'DEADLINE_EXCEEDED'],
  [status.UNAVAILABLE, 'UNAVAILABLE'],
  [status.RESOURCE_EXHAUSTED, 'TOO_LARGE'],
  [status.PERMISSION_DENIED, 'PERMISSION_DENIED'],
  [status.UNAUTHENTICATED, 'UNAUTHENTICATED'],
  [status.UNIMPLEMENTED, 'VERSION_UNSUPPORTED'],
]);

/** Metadata takes printable ASCII only, and throws on anything else. */
function metadataText(text: string): string {
  return text.replaceAll(/[^ -~]/g, '?').slice(0, METADATA_TEXT_MAX);
}

/** What a call of grpc-js fails with. */
export function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'details' in thrown && 'metadata' in thrown;
}
