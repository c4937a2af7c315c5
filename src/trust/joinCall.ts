import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { Client, type ClientDuplexStream, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { assert, present } from '../base/assert.ts';
import { asBuffer } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { ControlKey } from '../envelope/controlKey.ts';
import {
  type ClusterStep,
  type JoinChallenge,
  type JoinerStep,
  type JoinRequest,
  type JoinResponse,
  joinChallengeCodec,
  joinRequestCodec,
  joinResponseCodec,
  joinService,
} from '../proto/peer.ts';
import type { MethodDefinition } from '../proto/registry.ts';
import { JOIN_FORMAT, joinFormatUnsupported } from './joinFormat.ts';
import { answererProof, type Conversation, callerProof, isProof, PROOF_NONCE_BYTES } from './proof.ts';
import { isServiceError } from './refusalStatus.ts';
import { StepReader } from './stepReader.ts';
import { requireSameTerms } from './terms.ts';
import { pemOf } from './tls.ts';

export interface JoinCallOptions {
  /** host:port */
  readonly address: string;
  /** DER: the only root that is trusted. */
  readonly authorityCertificate: Uint8Array;
  readonly request: JoinRequest;
  /** SHA-256 of the SubjectPublicKeyInfo of the key in the request. */
  readonly csrKeyHash: Uint8Array;
  /** Those that the request names by their fingerprints. */
  readonly controlKeys: readonly ControlKey[];
  /** On the monotonic clock. */
  readonly deadlineMs: number;
  readonly clock: Clock;
}

export type JoinCallOutcome = { readonly response: JoinResponse } | { readonly failure: ServiceError };

type JoinStream = ClientDuplexStream<JoinerStep, ClusterStep>;

const NOTHING = new Uint8Array(0);

/**
 * One Join call over a channel of its own, which verifies the server and is closed afterwards: request, challenge, our
 * proof, the answer with theirs, which holds for every byte of it.
 * @throws HoldfastError when what the cluster says of itself does not fit this node, or its proof is none
 */
export async function callJoin(options: JoinCallOptions): Promise<JoinCallOutcome> {
  const dialled = dial(options);
  try {
    return { response: await converse(dialled, options) };
  } catch (thrown) {
    if (isServiceError(thrown)) return { failure: thrown };
    throw thrown;
  } finally {
    dialled.stream.cancel();
    dialled.client.close();
  }
}

interface Dialled {
  readonly client: Client;
  readonly stream: JoinStream;
  /** DER: what the server has shown in the handshake, once there was one. */
  readonly presented: () => Buffer;
}

function dial({ address, authorityCertificate, deadlineMs, clock }: JoinCallOptions): Dialled {
  const method = present(joinService['join'], 'method Join.Join') as MethodDefinition<
    JoinerStep,
    ClusterStep
  >;
  let presented: Buffer | null = null;
  const secured = credentials.createSsl(Buffer.from(pemOf(authorityCertificate)), null, null, {
    // Called only once the chain is verified.
    checkServerIdentity: (host: string, certificate: PeerCertificate) => {
      presented = certificate.raw;
      return checkServerIdentity(host, certificate);
    },
  });
  const client = new Client(`dns:${address}`, secured, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_channelz': 0,
    'grpc.max_receive_message_length': LIMITS.peerMessageBytesMax,
  });
  const deadline = clock.wallMs() + Math.max(0, deadlineMs - clock.monotonicMs());
  const stream = client.makeBidiStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    new Metadata(),
    { deadline },
  );
  return { client, stream, presented: () => present(presented, 'certificate of the server') };
}

async function converse({ stream, presented }: Dialled, options: JoinCallOptions): Promise<JoinResponse> {
  const reader = new StepReader<ClusterStep>(stream);
  const said = joinRequestCodec.encode(options.request);
  stream.write({ request: said, proof: NOTHING });
  // The call has a deadline of its own; what ends it comes as the call's status.
  const { challenge } = await reader.next(LIMITS.joinCallTimeoutMs * 2);
  const { clusterId, storeId, key } = readChallenge(asBuffer(challenge), options);
  const conversation: Conversation = {
    purpose: 'join',
    callerSaid: said,
    answererSaid: challenge,
    caller: options.csrKeyHash,
    answerer: presented(),
  };
  const proof = callerProof(key, conversation);
  stream.write({ request: NOTHING, proof });
  stream.end();
  const answer = await reader.next(LIMITS.joinCallTimeoutMs * 2);
  // Before a field of it is read: until then anybody may have said it.
  const expected = answererProof(key, conversation, { proof, response: answer.response });
  if (!isProof(expected, answer.proof)) throw notProved();
  const response = joinResponseCodec.decode(asBuffer(answer.response));
  if (response.clusterId !== clusterId) throw wrong('it is of another cluster than its challenge');
  if (response.storeId !== storeId) throw wrong('it is of another store than its challenge');
  return response;
}

function notProved(): HoldfastError {
  return new HoldfastError(
    'CONTROL_KEY_MISMATCH',
    'the cluster did not prove that it holds the control key, and that the answer is its own',
    {
      field: 'control_key',
      hint: 'Something else than the cluster has answered with a certificate of its CA. Find out what listens there.',
    },
  );
}

function readChallenge(
  bytes: Buffer,
  { request, controlKeys }: JoinCallOptions,
): { readonly clusterId: string; readonly storeId: string; readonly key: ControlKey } {
  const challenge: JoinChallenge = joinChallengeCodec.decode(bytes);
  if (challenge.format !== JOIN_FORMAT)
    throw joinFormatUnsupported({ cluster: challenge.format, node: JOIN_FORMAT });
  if (challenge.nonce.length !== PROOF_NONCE_BYTES) throw wrong('its nonce is not 32 bytes');
  requireSameTerms(challenge, request);
  const key = controlKeys.find(({ fingerprint }) => fingerprint === challenge.controlKeyFingerprint);
  assert(key !== undefined, 'a request names the control keys that the node holds');
  const { clusterId, storeId } = challenge;
  return { clusterId, storeId, key };
}

function wrong(what: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `the cluster's answer to the join is wrong: ${what}`);
}
