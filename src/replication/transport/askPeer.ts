import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { present } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { peerService } from '../../proto/peer.ts';
import type { Dialled } from './peerDialing.ts';
import type { PeerMethod } from './types.ts';

/** One question to one member, over a connection of its own, which is closed afterwards. */
export async function askPeer<Response extends object>(
  { client, prove, over, close }: Dialled,
  {
    method: name,
    request,
    clock,
  }: { readonly method: PeerMethod; readonly request: object; readonly clock: Clock },
): Promise<Response> {
  try {
    await prove();
    over.throwIfAborted();
    const method = present(peerService[name], 'method of a peer');
    return await new Promise<Response>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        new Metadata(),
        { deadline: clock.wallMs() + LIMITS.peerCallTimeoutMs },
        (failure: ServiceError | null, response?: object) => {
          if (failure === null) resolve(response as Response);
          else reject(over.aborted ? toHoldfastError(over.reason) : failure);
        },
      );
      over.addEventListener('abort', () => call.cancel(), { once: true });
    });
  } finally {
    close();
  }
}
