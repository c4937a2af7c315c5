import type { HoldfastError } from '../base/errors.ts';
import type { Answer, Call } from '../proto/kv.ts';
import type { ClientRegistration } from './registration.ts';

export type Service = 'holdfast.v1.Kv' | 'holdfast.v1.Cluster' | 'holdfast.v1.Access' | 'holdfast.v1.Audit';

/**
 * What a second sending may do:
 *   read   nothing: sent again as often as needed
 *   write  nothing, since it carries a request id and the store applies an id once
 *   once   harm: not sent again after an attempt whose outcome is not known
 */
export type Repeat = 'read' | 'write' | 'once';

/** One request of the application, from its call to its answer, through as many attempts as its deadline allows. */
export class Outgoing {
  readonly service: Service;
  /** Lower-camel name of the gRPC method; also the field of a session call, when `inSession`. */
  readonly method: string;
  readonly inSession: boolean;
  readonly repeat: Repeat;
  /** The request message; a write's request id is set anew before each attempt. */
  readonly body: object;
  /** About what the body takes on the wire. */
  readonly bytes: number;
  /** 'leader', 'any', or the one address to ask. */
  readonly to: string;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly timeoutMs: number;
  readonly resolve: (response: object) => void;
  readonly reject: (error: HoldfastError) => void;

  /** Where it stands: in the queue for a number, between two attempts, in one, or over. */
  state: 'new' | 'waiting' | 'attempt' | 'done' = 'new';
  attempts = 0;
  /** Attempt that this request is in; an event that names another is stale. */
  attemptId = 0;
  attemptDeadlineMs = 0;
  notBeforeMs = 0;
  address = '';
  /** The present attempt has left this process. */
  sent = false;
  /** Some attempt may have been applied, for all that is known. */
  mayHaveApplied = false;
  lastFailure: HoldfastError | null = null;
  registration: ClientRegistration | null = null;
  number = 0;

  constructor(options: {
    readonly service: Service;
    readonly method: string;
    readonly inSession: boolean;
    readonly repeat: Repeat;
    readonly body: object;
    readonly bytes: number;
    readonly to: string;
    readonly deadlineMs: number;
    readonly timeoutMs: number;
    readonly resolve: (response: object) => void;
    readonly reject: (error: HoldfastError) => void;
  }) {
    this.service = options.service;
    this.method = options.method;
    this.inSession = options.inSession;
    this.repeat = options.repeat;
    this.body = options.body;
    this.bytes = options.bytes;
    this.to = options.to;
    this.deadlineMs = options.deadlineMs;
    this.timeoutMs = options.timeoutMs;
    this.resolve = options.resolve;
    this.reject = options.reject;
  }
}

/** The message for this attempt, with the request id of a write. */
export function attemptBody(outgoing: Outgoing): object {
  const { registration } = outgoing;
  if (registration === null) return outgoing.body;
  return {
    ...outgoing.body,
    request: {
      clientId: registration.clientId,
      number: outgoing.number,
      floor: registration.floor,
    },
  };
}

/** The call of a session frame. */
export function sessionCall(outgoing: Outgoing, timeoutMs: number): Call {
  const call: Record<string, unknown> = { id: outgoing.attemptId, timeoutMs };
  call[outgoing.method] = attemptBody(outgoing);
  return call as unknown as Call;
}

/** The one response that an answer holds, or undefined for a failure or a kind that is not known here. */
export function answerResponse(answer: Answer): object | undefined {
  return (
    answer.put ??
    answer.get ??
    answer.delete ??
    answer.range ??
    answer.txn ??
    answer.registerClient ??
    undefined
  );
}
