import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Callers } from './caller.ts';
import { boundMessages } from './messageBound.ts';
import { RPC_RULES } from './rpcRules.ts';
import { callerError, grpcStatus } from './status.ts';

/**
 * Of who shows no certificate nothing is read but the headers, before his token is known to be good: gRPC would keep whatever
 * he sends in memory, up to the longest request, and only then ask the method. To log in he may send something short, and
 * little of it at a time.
 */
export function strangersShowTokensFirst(callers: Callers): ServerInterceptor {
  const logins = new LoginsInFlight();
  return ({ path }, call) => {
    let end = (): void => undefined;
    const refuse = (thrown: unknown): void => call.sendStatus(grpcStatus(callerError(thrown), null));
    return new ServerInterceptingCall(call, {
      start: (next) => {
        next({
          onReceiveMetadata: (metadata, goOn) => {
            const { sslPeerCertificate } = call.getAuthContext();
            const isStranger = sslPeerCertificate === undefined;
            try {
              if (RPC_RULES.get(path) === 'stranger') {
                if (!boundMessages(call, LIMITS.loginRequestBytesMax)) throw builtOtherwise();
                if (isStranger) end = logins.begin(call.getPeer());
              } else if (isStranger) {
                callers
                  .identified(shownBy(call, metadata), callers.deadlineMs(0))
                  .then(() => goOn(metadata))
                  .catch(refuse);
                return;
              }
              goOn(metadata);
            } catch (thrown) {
              refuse(thrown);
            }
          },
          // Comes after every call, also one that was answered.
          onCancel: () => end(),
        });
      },
    });
  };
}

function shownBy(call: ServerInterceptingCallInterface, metadata: Metadata) {
  return { metadata, getPeer: () => call.getPeer(), getAuthContext: () => ({}) };
}

/** Of connections that have shown nobody, by remote address and port. */
class LoginsInFlight {
  readonly #counts = new Map<string, number>();

  /** @returns to be called once, at the end. @throws HoldfastError OVERLOADED */
  begin(peer: string): () => void {
    const count = this.#counts.get(peer) ?? 0;
    if (count >= LIMITS.loginsPerStrangerMax) {
      throw new HoldfastError('OVERLOADED', 'this connection logs in too often at a time', {
        hint: 'wait for the answers',
      });
    }
    this.#counts.set(peer, count + 1);
    return () => this.#end(peer);
  }

  #end(peer: string): void {
    const left = (this.#counts.get(peer) ?? 0) - 1;
    if (left > 0) this.#counts.set(peer, left);
    else this.#counts.delete(peer);
  }
}

function builtOtherwise(): HoldfastError {
  return new HoldfastError('INTERNAL', 'nobody can log in with this release of gRPC');
}
