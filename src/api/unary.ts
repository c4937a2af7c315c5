/** How every unary method runs: identify the caller, call, map, within the caller's deadline. */
import type { handleUnaryCall } from '@grpc/grpc-js';
import { HoldfastError } from '../base/errors.ts';
import type { Callers } from './caller.ts';
import { letIn } from './letIn.ts';
import type { AccessPort, Caller } from './ports.ts';
import { callerError, grpcStatus } from './status.ts';

export interface HandlerContext {
  readonly callers: Callers;
  readonly access: AccessPort;
  /** host:port of the leader's API as far as this node knows, or null. */
  readonly leaderApiAddress: () => string | null;
}

/** The certificate (DER) of the caller's connection. */
export type ShownCertificate = () => Uint8Array;

/**
 * A gRPC handler that answers with what `work` resolves to. `work` may throw or reject; whatever it is, the caller
 * gets a status of the closed list. When the deadline passes first, the caller hears DEADLINE_EXCEEDED and a later
 * result is dropped.
 */
export function unary<Request, Response>(
  context: HandlerContext,
  work: (caller: Caller, request: Request, shown: ShownCertificate) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    let timer: NodeJS.Timeout | undefined;
    let answered = false;
    const finish = (error: HoldfastError | null, response: Response | null): void => {
      if (answered) return;
      answered = true;
      clearTimeout(timer);
      callback(error === null ? null : grpcStatus(error, context.leaderApiAddress()), response);
    };
    const run = async (): Promise<void> => {
      try {
        const { callers } = context;
        const deadlineMs = callers.deadlineMs(callers.timeoutMs(call.getDeadline()));
        timer = setTimeout(() => finish(deadlineExceeded(), null), deadlineMs - callers.nowMs());
        const caller = await letIn(context, call, deadlineMs);
        if (answered) return;
        const shown = (): Uint8Array => callers.certificate(call);
        finish(null, await work(caller, call.request, shown));
      } catch (thrown) {
        finish(callerError(thrown), null);
      }
    };
    // Comes after every call, also one that was answered.
    call.on('cancelled', () => {
      if (!answered) finish(new HoldfastError('CANCELLED', 'the caller gave up'), null);
    });
    void run();
  };
}

export function deadlineExceeded(): HoldfastError {
  return new HoldfastError('DEADLINE_EXCEEDED', 'no answer within the deadline');
}
