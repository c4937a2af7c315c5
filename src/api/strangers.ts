import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';
import type { Callers } from './caller.ts';
import { callerError, grpcStatus } from './status.ts';

/**
 * Of who shows no certificate nothing is read but the headers, before his access token is known to be good: gRPC would keep
 * whatever he sends in memory, up to the longest request, and only then ask the method.
 */
export function strangersShowTokensFirst(callers: Callers): ServerInterceptor {
  return (_method, call) =>
    new ServerInterceptingCall(call, {
      start: (next) => {
        next({
          onReceiveMetadata: (metadata, goOn) => {
            const { sslPeerCertificate } = call.getAuthContext();
            if (sslPeerCertificate !== undefined) {
              goOn(metadata);
              return;
            }
            const shown = {
              metadata,
              getPeer: () => call.getPeer(),
              getAuthContext: () => ({ sslPeerCertificate }),
            };
            callers.principal(shown, callers.deadlineMs(0)).then(
              () => goOn(metadata),
              (thrown: unknown) => call.sendStatus(grpcStatus(callerError(thrown), null)),
            );
          },
        });
      },
    });
}
