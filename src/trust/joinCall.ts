import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import { type JoinRequest, type JoinResponse, joinService } from '../proto/peer.ts';
import { pemOf } from './tls.ts';

export interface JoinCallOptions {
  /** host:port */
  readonly address: string;
  /** DER: the only root that is trusted. */
  readonly authorityCertificate: Uint8Array;
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly clock: Clock;
}

export type JoinCallOutcome = { readonly response: JoinResponse } | { readonly failure: ServiceError };

/** One Join call over a channel of its own, which verifies the server and is closed afterwards. Never rejects. */
export function callJoin(request: JoinRequest, options: JoinCallOptions): Promise<JoinCallOutcome> {
  const { address, authorityCertificate, deadlineMs, clock } = options;
  const method = present(joinService['join'], 'method Join.Join');
  const root = Buffer.from(pemOf(authorityCertificate));
  const client = new Client(`dns:${address}`, credentials.createSsl(root), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_channelz': 0,
    'grpc.max_receive_message_length': LIMITS.peerMessageBytesMax,
  });
  const deadline = clock.wallMs() + Math.max(0, deadlineMs - clock.monotonicMs());
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      { deadline },
      (failure, response) => {
        client.close();
        resolve(failure === null ? { response: response as JoinResponse } : { failure });
      },
    );
  });
}
