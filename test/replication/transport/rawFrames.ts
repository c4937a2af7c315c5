import { Client, credentials as grpcCredentials } from '@grpc/grpc-js';
import { systemClock } from '../../../src/base/clock.ts';
import { type PeerFrame, peerService } from '../../../src/proto/peer.ts';
import type { MethodDefinition } from '../../../src/proto/registry.ts';

/** Sends frames, or bytes that are none, on a stream of its own; resolves with how the other side ends it. */
export async function sendRawFrames(
  frames: readonly (PeerFrame | Buffer)[],
  to: {
    readonly address: string;
    readonly trusted: Buffer;
    readonly issued: { readonly privateKey: Buffer; readonly certificate: Buffer };
  },
): Promise<{ code: number; details: string }> {
  const { privateKey, certificate } = to.issued;
  const trust = { checkServerIdentity: () => undefined };
  const client = new Client(
    to.address,
    grpcCredentials.createSsl(to.trusted, privateKey, certificate, trust),
    {
      'grpc.max_send_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.ssl_target_name_override': 'peer',
    },
  );
  const method = peerService['control'] as MethodDefinition<PeerFrame, object>;
  const serialize = (frame: PeerFrame | Buffer): Buffer =>
    Buffer.isBuffer(frame) ? frame : method.requestSerialize(frame);
  const stream = client.makeBidiStreamRequest(method.path, serialize, method.responseDeserialize, {
    deadline: systemClock.wallMs() + 5_000,
  });
  stream.on('data', () => undefined);
  stream.on('error', () => undefined);
  const ended = new Promise<{ code: number; details: string }>((resolve) => stream.on('status', resolve));
  for (const frame of frames) stream.write(frame);
  stream.end();
  const status = await ended;
  client.close();
  return status;
}
