import type { ServiceError, UntypedServiceImplementation } from '@grpc/grpc-js';
import { asBuffer } from '../base/bytes.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type { ClusterId, NodeId, StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import type { ControlKey } from '../envelope/controlKey.ts';
import {
  type ClusterStep,
  type JoinerStep,
  type JoinRequest,
  type JoinResponse,
  joinChallengeCodec,
  joinRequestCodec,
  joinResponseCodec,
  joinService,
  type RenewResponse,
} from '../proto/peer.ts';
import type { Member, UseToken } from '../proto/storage.ts';
import { verifyCertificateRequest } from './certificateRequest.ts';
import { JOIN_FORMAT } from './joinFormat.ts';
import { type CheckedRequest, checkJoinRequest } from './joinRequest.ts';
import { hashTokenSecret } from './joinToken.ts';
import { answererProof, type Conversation, callerProof, isProof, PROOF_NONCE_BYTES } from './proof.ts';
import { toRefusalStatus } from './refusalStatus.ts';
import { StepReader, type StepSource } from './stepReader.ts';
import { type ClusterTerms, requireSameTerms } from './terms.ts';
import type { RecordTrustEvent } from './trustEvent.ts';

/** What somebody shows who has a token. */
export type TokenClaim = Pick<UseToken, 'id' | 'secretHash'>;

/** And by which node and key he wants to use it. */
export type TokenUse = TokenClaim & { readonly nodeId: NodeId; readonly csrKeyHash: Uint8Array };

/** What the Join service asks of the node behind it. Methods reject only with a HoldfastError, each within its own deadline. */
export interface JoinPort {
  readonly clusterId: ClusterId;
  readonly storeId: StoreId;
  /** DER: those that members trust now. */
  authorities(): readonly Uint8Array[];
  isLeader(): boolean;
  /** host:port of the leader's peer port as far as this node knows, for one whose token its state knows; else null. */
  leaderPeerAddress(token: TokenClaim): string | null;
  /**
   * Refuses a token that is not there or past its time, from the applied state, without an entry: anyone can ask.
   * @throws HoldfastError TOKEN_UNKNOWN, TOKEN_EXPIRED
   */
  checkToken(token: TokenClaim): Promise<void>;
  /** The same, with who has used it. @throws HoldfastError TOKEN_UNKNOWN, TOKEN_EXPIRED, TOKEN_USED */
  checkTokenUse(use: TokenUse): void;
  /** @throws HoldfastError INVALID_ARGUMENT when there is no room for one more member, and this node is none yet */
  checkRoom(nodeId: NodeId): void;
  /**
   * Consumes the token by a committed entry; for the same node id and key again with the same result until it
   * expires.
   * @throws HoldfastError TOKEN_UNKNOWN, TOKEN_EXPIRED, TOKEN_USED, NODE_ID_REUSED
   */
  useToken(use: TokenUse): Promise<{ readonly role: string }>;
  /**
   * The node's certificate. `hosts`: all it asks for; the node may add to them. `advertised`: host:port, its own.
   * @throws HoldfastError INVALID_ARGUMENT for a host that is another member's
   */
  issue(request: {
    readonly csr: Uint8Array;
    readonly nodeId: NodeId;
    readonly hosts: readonly string[];
    readonly advertised: readonly string[];
  }): Promise<RenewResponse>;
  /** Resolves once the cluster configuration with this learner is committed; at once when it is already. */
  addLearner(member: Member): Promise<void>;
  members(): readonly Member[];
  /** What a joiner must hold too, as it is now. */
  terms(): ClusterTerms;
  /** The one in force: `terms` names it. */
  controlKey(): ControlKey;
  /** The stored form of the keyring: data keys wrapped by the control key. */
  keyring(): Uint8Array;
}

/** A gRPC service as a server's addService takes it. */
export interface JoinGrpcService {
  readonly definition: typeof joinService;
  readonly handlers: UntypedServiceImplementation;
}

/** A connection of somebody who has shown no certificate of a node. */
export interface StrangerConnection {
  /** DER: what this node has shown in the TLS handshake of this connection. */
  readonly ownCertificate: Uint8Array;
}

/** One call, as its server sees it. */
export interface JoinCall extends StepSource<JoinerStep> {
  write(step: ClusterStep): unknown;
  end(): unknown;
  emit(event: 'error', error: Partial<ServiceError>): unknown;
}

export interface JoinServiceOptions {
  readonly port: JoinPort;
  readonly record: RecordTrustEvent;
  readonly random: RandomSource;
}

const NOTHING = new Uint8Array(0);

/** `holdfast.peer.v1.Join`, for connections without a certificate on the peer port: token and control key are the proof. */
export class JoinService {
  readonly #port: JoinPort;
  readonly #record: RecordTrustEvent;
  readonly #random: RandomSource;
  #inFlight = 0;

  constructor({ port, record, random }: JoinServiceOptions) {
    this.#port = port;
    this.#record = record;
    this.#random = random;
  }

  /** For one connection: proofs hold for nothing but the certificate that was shown on it. */
  serviceFor(connection: StrangerConnection): JoinGrpcService {
    const join = (call: JoinCall): void => void this.answer(call, connection);
    return { definition: joinService, handlers: { join } };
  }

  /** Never rejects: what goes wrong ends the call with a status. */
  async answer(call: JoinCall, connection: StrangerConnection): Promise<void> {
    // Also for what comes after the end; whoever waits for a step hears of it from the reader.
    call.on('error', () => undefined);
    const reader = new StepReader<JoinerStep>(call);
    let token: TokenClaim | null = null;
    try {
      const { request } = await reader.next(LIMITS.peerHandshakeTimeoutMs);
      const asked = askedIn(asBuffer(request));
      token = asked.token;
      const answer = await this.#counted(() => this.#join(asked, { call, reader, ...connection }));
      call.write({ challenge: NOTHING, ...answer });
      call.end();
    } catch (thrown) {
      const error = toHoldfastError(thrown);
      this.#record({ kind: 'joinRefused', error });
      call.emit('error', toRefusalStatus(error, this.#leaderFor(token, error)));
    }
  }

  /** Where the leader is, for nobody but one who has a token and has to ask there. */
  #leaderFor(token: TokenClaim | null, { code }: HoldfastError): string | null {
    const isToBeTold = token !== null && code === 'NOT_LEADER' && !this.#port.isLeader();
    return isToBeTold ? this.#port.leaderPeerAddress(token) : null;
  }

  async #counted<T>(join: () => Promise<T>): Promise<T> {
    if (this.#inFlight >= LIMITS.joinsInFlightMax) {
      throw new HoldfastError('OVERLOADED', `${LIMITS.joinsInFlightMax} joins are being answered already`);
    }
    this.#inFlight += 1;
    try {
      return await join();
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #join(asked: Asked, conversing: Conversing): Promise<Pick<ClusterStep, 'response' | 'proof'>> {
    const port = this.#port;
    const { bytes, request, joiner, token } = asked;
    if (!port.isLeader()) throw new HoldfastError('NOT_LEADER', 'only the leader lets a node join');
    // Before anything is said or parsed: who has no token learns nothing, and may send much.
    await port.checkToken(token);
    const { csrKeyHash } = await verifyCertificateRequest(request.csr);
    const use = { ...token, nodeId: joiner.nodeId, csrKeyHash };
    port.checkTokenUse(use);
    requireSameTerms(port.terms(), request);
    const proved = await this.#prove({ ...conversing, request: bytes, csrKeyHash });
    const response = joinResponseCodec.encode(await this.#admit(asked, use));
    const { key, conversation, proof } = proved;
    return { response, proof: answererProof(key, conversation, { proof, response }) };
  }

  /** Has the joiner prove the control key in force. @throws HoldfastError CONTROL_KEY_MISMATCH */
  async #prove({ call, reader, ownCertificate, request, csrKeyHash }: Proving): Promise<Proved> {
    const { clusterId, storeId } = this.#port;
    const key = this.#port.controlKey();
    const challenge = joinChallengeCodec.encode({
      format: JOIN_FORMAT,
      nonce: this.#random.bytes(PROOF_NONCE_BYTES),
      clusterId,
      storeId,
      ...this.#port.terms(),
    });
    call.write({ challenge, response: NOTHING, proof: NOTHING });
    const { proof } = await reader.next(LIMITS.peerHandshakeTimeoutMs);
    const conversation: Conversation = {
      purpose: 'join',
      callerSaid: request,
      answererSaid: challenge,
      caller: csrKeyHash,
      answerer: ownCertificate,
    };
    if (!isProof(callerProof(key, conversation), proof)) {
      throw new HoldfastError(
        'CONTROL_KEY_MISMATCH',
        `the node names the control key of the cluster, ${key.fingerprint}, and did not prove that it holds it`,
        {
          field: 'control_key',
          hint: 'Something between may have changed what was said; try it again from elsewhere.',
        },
      );
    }
    return { key, conversation, proof };
  }

  /** From here on the joiner is believed: it holds a token and the control key. */
  async #admit({ request, joiner }: Asked, use: TokenUse): Promise<JoinResponse> {
    const port = this.#port;
    const { nodeId, hosts } = joiner;
    const { csr, name, peerAddress, apiAddress } = request;
    // All that can be wrong with the request comes before the token is used: it may be mended, and the token is good yet.
    port.checkRoom(nodeId);
    const advertised = [peerAddress, apiAddress];
    const { certificate, authorityCertificate } = await port.issue({ csr, nodeId, hosts, advertised });
    const { role } = await port.useToken(use);
    // Others may have come into force meanwhile, since this node was no member that had to hold them first.
    requireSameTerms(port.terms(), request);
    await port.addLearner({ nodeId, name, peerAddress, apiAddress, wantedRole: role });
    this.#record({ kind: 'joined', nodeId, tokenId: use.id, role, hosts });
    return {
      clusterId: port.clusterId,
      storeId: port.storeId,
      authorityCertificate,
      trustedAuthorities: port.authorities(),
      nodeCertificate: certificate,
      keyring: port.keyring(),
      members: port.members(),
      role,
    };
  }
}

interface Asked {
  /** As they were sent. */
  readonly bytes: Uint8Array;
  readonly request: JoinRequest;
  readonly joiner: CheckedRequest;
  readonly token: TokenClaim;
}

/** @throws HoldfastError as checkJoinRequest, or INVALID_ARGUMENT for bytes that are no request */
function askedIn(bytes: Buffer): Asked {
  const request = joinRequestCodec.decode(bytes);
  const joiner = checkJoinRequest(request);
  const token = { id: request.tokenId, secretHash: hashTokenSecret(request.tokenSecret) };
  return { bytes, request, joiner, token };
}

interface Conversing extends StrangerConnection {
  readonly call: JoinCall;
  readonly reader: StepReader<JoinerStep>;
}

interface Proving extends Conversing {
  /** As it was sent. */
  readonly request: Uint8Array;
  readonly csrKeyHash: Uint8Array;
}

/** What both sides have said, under the key that the joiner has proved. */
interface Proved {
  readonly key: ControlKey;
  readonly conversation: Conversation;
  /** The joiner's. */
  readonly proof: Uint8Array;
}
