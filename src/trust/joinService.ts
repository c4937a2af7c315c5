import { isIP } from 'node:net';
import type { handleUnaryCall, ServiceError } from '@grpc/grpc-js';
import { isHostName, parseAddress } from '../base/address.ts';
import { assert } from '../base/assert.ts';
import { type Clock, systemClock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import { type ClusterId, type NodeId, parseNodeId, type StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { RareLines } from '../base/rareLines.ts';
import { type JoinRequest, type JoinResponse, joinService } from '../proto/peer.ts';
import type { Member } from '../proto/storage.ts';
import { verifyCertificateRequest } from './certificateRequest.ts';
import { JOIN_FORMAT, type JoinerStatement } from './handshake.ts';
import { toJoinStatus } from './joinErrors.ts';
import { hashTokenSecret } from './joinToken.ts';

/** What the Join service asks of the node behind it. Methods reject only with a HoldfastError, each within its own deadline. */
export interface JoinPort {
  readonly clusterId: ClusterId;
  readonly storeId: StoreId;
  /** DER. */
  readonly authorityCertificate: Uint8Array;
  isLeader(): boolean;
  /** host:port of the leader's peer port as far as this node knows, or null. */
  leaderPeerAddress(): string | null;
  /**
   * Refuses a token that is not there, from the applied state, without an entry: anyone can ask.
   * @throws HoldfastError TOKEN_UNKNOWN
   */
  checkToken(token: { readonly id: string; readonly secretHash: Uint8Array }): Promise<void>;
  /**
   * Consumes the token by a committed entry; for the same node id and key again with the same result until it
   * expires.
   * @throws HoldfastError TOKEN_UNKNOWN, TOKEN_EXPIRED, TOKEN_USED, NODE_ID_REUSED
   */
  useToken(use: {
    readonly id: string;
    readonly secretHash: Uint8Array;
    readonly nodeId: NodeId;
    readonly csrKeyHash: Uint8Array;
  }): Promise<{ readonly role: string }>;
  /** The node's certificate (DER). `hosts`: those of its addresses; the node may add to them. */
  issue(request: {
    readonly csr: Uint8Array;
    readonly nodeId: NodeId;
    readonly hosts: readonly string[];
  }): Promise<Uint8Array>;
  /** Resolves once the cluster configuration with this learner is committed; at once when it is already. */
  addLearner(member: Member): Promise<void>;
  members(): readonly Member[];
  /** The stored form of the keyring: data keys wrapped by the control key. */
  keyring(): Uint8Array;
}

/** A gRPC service as a server's addService takes it. */
export interface JoinGrpcService {
  readonly definition: typeof joinService;
  readonly handlers: { readonly join: handleUnaryCall<JoinRequest, JoinResponse> };
}

/** `holdfast.peer.v1.Join`, for connections without a certificate on the peer port: the token is the proof. */
export function joinServiceFor(options: {
  readonly port: JoinPort;
  readonly logger: Logger;
  readonly clock?: Clock;
}): JoinGrpcService {
  const service = new JoinService(options);
  const join: handleUnaryCall<JoinRequest, JoinResponse> = (call, callback) => {
    service.answer(call.request).then(
      (response) => callback(null, response),
      (failure: Partial<ServiceError>) => callback(failure),
    );
  };
  return { definition: joinService, handlers: { join } };
}

class JoinService {
  readonly #port: JoinPort;
  readonly #logger: Logger;
  readonly #lines: RareLines;
  #inFlight = 0;
  #refused = 0;

  constructor({ port, logger, clock = systemClock }: Parameters<typeof joinServiceFor>[0]) {
    this.#port = port;
    this.#logger = logger;
    this.#lines = new RareLines(clock);
  }

  /** Rejects only with a gRPC status. */
  async answer(request: JoinRequest): Promise<JoinResponse> {
    const { nodeId, tokenId } = request;
    this.#inFlight += 1;
    try {
      if (this.#inFlight > LIMITS.joinsInFlightMax) {
        throw new HoldfastError('OVERLOADED', `${LIMITS.joinsInFlightMax} joins are being answered already`);
      }
      const response = await this.#join(request);
      this.#logger.info({ nodeId, tokenId, role: response.role }, 'a node has joined');
      return response;
    } catch (thrown) {
      const error = toHoldfastError(thrown);
      this.#refused += 1;
      // Whoever reaches the port can be refused, without any proof: one line a minute for each kind.
      if (this.#lines.isDue(`${error.code} ${error.field ?? ''}`)) {
        const { code, field, message: reason } = error;
        this.#logger.warn({ code, field, reason, count: this.#refused }, 'a join was refused');
      }
      throw toJoinStatus(error, this.#port.isLeader() ? null : this.#port.leaderPeerAddress());
    } finally {
      this.#inFlight -= 1;
    }
  }

  async #join(request: JoinRequest): Promise<JoinResponse> {
    const port = this.#port;
    const joiner = checkRequest(request);
    if (!port.isLeader()) throw new HoldfastError('NOT_LEADER', 'only the leader lets a node join');
    const secretHash = hashTokenSecret(request.tokenSecret);
    // Before the request is parsed: what a stranger sends may take long, and whoever has no token may send much.
    await port.checkToken({ id: request.tokenId, secretHash });
    // Before the token is used up, so that a bad request does not cost the operator a token.
    const { csrKeyHash } = await verifyCertificateRequest(request.csr);
    const { format, tokenId: id, nodeId }: JoinerStatement = { ...joiner.statement, csrKeyHash };
    assert(format === JOIN_FORMAT, 'a join goes on only in a format that is known here');
    const { role } = await port.useToken({ id, secretHash, nodeId, csrKeyHash });
    const nodeCertificate = await port.issue({ csr: request.csr, nodeId, hosts: joiner.hosts });
    const { name, peerAddress, apiAddress } = request;
    await port.addLearner({ nodeId, name, peerAddress, apiAddress, wantedRole: role });
    return {
      clusterId: port.clusterId,
      storeId: port.storeId,
      authorityCertificate: port.authorityCertificate,
      nodeCertificate,
      keyring: port.keyring(),
      members: port.members(),
      role,
    };
  }
}

interface CheckedRequest {
  readonly statement: Omit<JoinerStatement, 'csrKeyHash'>;
  /** By which others reach the joiner. */
  readonly hosts: readonly string[];
}

function checkRequest(request: JoinRequest): CheckedRequest {
  const { format, tokenId, name } = request;
  if (format !== JOIN_FORMAT) {
    const message = `the cluster speaks join format ${JOIN_FORMAT}, the node ${format}`;
    throw new HoldfastError('VERSION_UNSUPPORTED', message, {
      field: 'format',
      hint: 'Run the same release of holdfast on both.',
    });
  }
  if (!/^[0-9a-f]{16}$/.test(tokenId)) throw invalid('token_id', 'must be 16 lower-case hex digits');
  if (request.tokenSecret.length !== 32) throw invalid('token_secret', 'must have 32 bytes');
  const nodeId = parseNodeId(request.nodeId);
  if (name.length === 0 || Buffer.byteLength(name) > LIMITS.nameBytesMax) {
    throw invalid('name', `must have 1 to ${LIMITS.nameBytesMax} bytes`);
  }
  if (/\p{Cc}/u.test(name)) throw invalid('name', 'must have no control characters');
  const peer = parseAddress(request.peerAddress, 'peer_address');
  const api = parseAddress(request.apiAddress, 'api_address');
  if (request.hosts.length > LIMITS.certificateHostsMax - 2) throw invalid('hosts', 'names too many hosts');
  for (const host of request.hosts)
    if (!isHostName(host) && isIP(host) === 0) throw invalid('hosts', `${JSON.stringify(host)} is no host`);
  return {
    statement: { format, tokenId, nodeId },
    hosts: [...new Set([peer.host, api.host, ...request.hosts])],
  };
}

function invalid(field: string, rule: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `${field} ${rule}`, { field });
}
