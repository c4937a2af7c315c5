import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  type ServerDuplexStream,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { splitAddress } from '../../base/address.ts';
import { present } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import {
  type Announcement,
  type PeerFrame,
  type ProofStep,
  type PullSnapshotRequest,
  peerFrameCodec,
  peerService,
} from '../../proto/peer.ts';
import type { Message } from '../raft/types.ts';
import { decodeMessage, presentBytes, refusalOf, refused } from './messageCodec.ts';
import type { GrpcService, NodeService, PortOfConnection } from './peerServer.ts';
import type { PortRefusal, Refusals } from './refusals.ts';
import type { SnapshotServer } from './snapshotServer.ts';
import type { PeerConnection, PeerGate, PeerMethods, PeerReceiver, RefusedMessage } from './types.ts';

export interface PeerServiceOptions {
  readonly connection: PeerConnection;
  readonly port: PortOfConnection;
  readonly methods: PeerMethods;
  /** Of this connection. */
  readonly gate: PeerGate;
  readonly nodeId: NodeId;
  readonly isMember: (nodeId: NodeId) => boolean;
  /** Null before the node is ready to hear. */
  readonly receiver: () => PeerReceiver | null;
  readonly snapshots: SnapshotServer;
  readonly clock: Clock;
  readonly refusals: Refusals;
  /** How long a stream of frames may say nothing at first. */
  readonly firstWordMs: number;
  /** Where a sender says that it listens. Believed: who is dialled there must prove the same identity. */
  readonly onAddress: (heard: { readonly nodeId: NodeId; readonly address: string }) => void;
  readonly onAnnouncement: (heard: { readonly nodeId: NodeId; readonly announcement: Announcement }) => void;
  /** A member has opened a stream of frames. */
  readonly onStream: (nodeId: NodeId) => void;
}

const DIGEST_BYTES = 32;
const PROCESS_BYTES = 16;

const raw = (bytes: Buffer): Buffer => bytes;

/**
 * All requests stay bytes until a handler has asked the gate, and knows how long they are: who has proved nothing has
 * nothing decoded; and what does not decode is refused and counted here.
 */
const definition = Object.fromEntries(
  Object.entries(peerService).map(([name, method]) => [name, { ...method, requestDeserialize: raw }]),
) as unknown as GrpcService['definition'];

/** The Peer service for one connection. */
export function peerServiceFor(options: PeerServiceOptions): NodeService {
  const frames: handleBidiStreamingCall<Buffer, object> = (call) => acceptFrames(call, options);
  return {
    definition,
    handlers: {
      prove: proveMethod(options),
      control: frames,
      bulk: frames,
      pullSnapshot: pullSnapshotMethod(options),
      ...unaryMethods(options),
    },
    refusal: () => whyNot(options),
    closed: (from) => options.gate.closed(from),
  };
}

function proveMethod(options: PeerServiceOptions): handleBidiStreamingCall<Buffer, ProofStep> {
  const { connection, gate, port, refusals } = options;
  const { peerId } = connection;
  let underWay = false;
  return (call) => {
    call.on('error', () => undefined);
    if (!options.isMember(peerId)) {
      refuse(call, 'notMember', options);
      return;
    }
    if (underWay) {
      refuse(call, 'proofUnderWay', options);
      return;
    }
    underWay = true;
    void gate.answer(call).then((error) => {
      underWay = false;
      if (error === null) return;
      refusals.count('notProved', { peerId, error: error.message });
      port.end();
    });
  };
}

function pullSnapshotMethod(options: PeerServiceOptions): handleServerStreamingCall<Buffer, object> {
  const { connection, port, snapshots, receiver } = options;
  const { peerId } = connection;
  const mayRead = (): boolean => whyNot(options) === null;
  return (call) => {
    call.on('error', () => undefined);
    const refusal = whyNot(options);
    if (refusal !== null) {
      refuse(call, refusal, options);
      return;
    }
    port.heard();
    const read = readRequest('pullSnapshot', call.request, options);
    if (read instanceof Error) {
      endWith(call, read);
      return;
    }
    const { index } = read as PullSnapshotRequest;
    void snapshots.serve(call, { peerId, receiver: receiver(), mayRead, index });
  };
}

function unaryMethods(options: PeerServiceOptions): UntypedServiceImplementation {
  const { connection, methods, port, refusals } = options;
  const handlers: UntypedServiceImplementation = {};
  for (const [name, answer] of Object.entries(methods)) {
    const handle: handleUnaryCall<Buffer, object> = (call, callback) => {
      const reason = whyNot(options);
      if (reason !== null) {
        refusals.count(reason, { peerId: connection.peerId });
        callback(REFUSED[reason]);
        port.end();
        return;
      }
      port.heard();
      const read = readRequest(name, call.request, options);
      if (read instanceof Error) callback(read);
      else answer(connection, read).then((response) => callback(null, response), callback);
    };
    handlers[name] = handle;
  }
  return handlers;
}

/** What is asked, or with which status the call ends. */
function readRequest(
  name: string,
  bytes: Buffer,
  { connection: { peerId }, refusals }: PeerServiceOptions,
): object | ReturnType<typeof grpcError> {
  if (bytes.length > LIMITS.peerRequestBytesMax) {
    refusals.count('oversizedRequest', { peerId, method: name });
    return grpcError(status.INVALID_ARGUMENT, `a request of ${bytes.length} bytes`);
  }
  try {
    return present(peerService[name], 'peer method').requestDeserialize(bytes);
  } catch (thrown) {
    const { message: error } = toHoldfastError(thrown);
    refusals.count('malformedRequest', { peerId, method: name, error });
    return grpcError(status.INVALID_ARGUMENT, error);
  }
}

/** Why nothing is heard on this connection now. */
function whyNot({ connection, isMember, gate }: PeerServiceOptions): 'notMember' | 'notProved' | null {
  if (!isMember(connection.peerId)) return 'notMember';
  return gate.isOpen ? null : 'notProved';
}

const REFUSED = {
  notMember: { code: status.PERMISSION_DENIED, details: 'not a member' },
  notProved: { code: status.UNAUTHENTICATED, details: 'nothing is heard before Prove' },
  proofUnderWay: { code: status.FAILED_PRECONDITION, details: 'Prove is being answered already' },
} as const;

/** Ends the call, and the connection with it. */
function refuse(
  call: { emit(event: 'error', error: Error): boolean },
  reason: keyof typeof REFUSED,
  { connection: { peerId }, refusals, port }: PeerServiceOptions,
): void {
  refusals.count(reason, { peerId });
  const { code, details } = REFUSED[reason];
  endWith(call, grpcError(code, details));
  port.end();
}

function acceptFrames(call: ServerDuplexStream<Buffer, object>, options: PeerServiceOptions): void {
  const { peerId } = options.connection;
  call.on('error', () => undefined);
  call.on('end', () => call.end());
  const refusal = whyNot(options);
  if (refusal !== null) {
    refuse(call, refusal, options);
    return;
  }
  options.port.heard();
  let ended = false;
  const end = (refusal: ReturnType<typeof grpcError>): void => {
    ended = true;
    endWith(call, refusal);
  };
  // Whoever opens a stream tells at once who it is and where; see PeerChannel.
  const silence = setTimeout(() => {
    options.refusals.count('silentStream', { peerId });
    end(grpcError(status.DEADLINE_EXCEEDED, 'no frame in time'));
  }, options.firstWordMs);
  for (const over of ['end', 'cancelled', 'close', 'error']) call.once(over, () => clearTimeout(silence));
  call.on('data', (bytes: Buffer) => {
    if (ended) return;
    clearTimeout(silence);
    const refusal = acceptFrame(bytes, options);
    if (refusal !== null) end(refusal);
  });
  // Tells the caller that the way to this handler is open.
  call.sendMetadata(new Metadata());
  options.onStream(peerId);
}

/** Delivers a frame whole or not at all; returns why the stream must end, or null. Never throws what a peer caused. */
function acceptFrame(bytes: Buffer, options: PeerServiceOptions): ReturnType<typeof grpcError> | null {
  const { receiver, refusals, nodeId } = options;
  const { peerId } = options.connection;
  // Asked for each frame: a node that has been removed must not disturb the term (invariant 15).
  const refusal = whyNot(options);
  if (refusal !== null) {
    refusals.count(refusal, { peerId });
    options.port.end();
    return grpcError(REFUSED[refusal].code, REFUSED[refusal].details);
  }
  options.gate.spoke();
  const target = receiver();
  if (target === null) return null;
  const parsed = parseFrame(bytes, { peerId, nodeId });
  if ('reason' in parsed) {
    refusals.count(parsed.reason, { peerId, error: parsed.error });
    return grpcError(status.INVALID_ARGUMENT, parsed.error);
  }
  const { address, announcement } = parsed.frame;
  if (address !== '') options.onAddress({ nodeId: peerId, address });
  if (announcement) options.onAnnouncement({ nodeId: peerId, announcement });
  const refused = deliver(target, peerId, {
    ...parsed,
    aheadMs: parsed.frame.wallMs - options.clock.wallMs(),
  });
  for (const { reason, type } of refused) refusals.count(reason, { peerId, type });
  return null;
}

type Parsed =
  | { readonly frame: PeerFrame; readonly messages: readonly Message[] }
  | { readonly reason: PortRefusal; readonly error: string };

function parseFrame(bytes: Buffer, route: { peerId: NodeId; nodeId: NodeId }): Parsed {
  let frame: PeerFrame;
  if (bytes.length > LIMITS.peerFrameBytesAcceptedMax) {
    return { reason: 'oversizedFrame', error: `a frame of ${bytes.length} bytes` };
  }
  try {
    // One copy: entries outlive the socket's much larger buffer, which a view would keep alive.
    frame = peerFrameCodec.decode(Buffer.from(bytes));
  } catch (thrown) {
    return { reason: 'malformedFrame', error: toHoldfastError(thrown).message };
  }
  try {
    checkFrame(frame, route.peerId);
    const messages = frame.messages.map((wire) =>
      decodeMessage(wire, { from: route.peerId, to: route.nodeId }),
    );
    return { frame, messages };
  } catch (thrown) {
    const error = toHoldfastError(thrown);
    return { reason: refusalOf(error), error: error.message };
  }
}

function checkFrame(frame: PeerFrame, peerId: NodeId): void {
  if (!Number.isSafeInteger(frame.wallMs)) throw refused('wall_ms', 'is beyond 2^53 - 1');
  if (frame.address !== '' && splitAddress(frame.address) === null)
    throw refused('address', 'is not host:port');
  for (const forward of frame.forwards) {
    if (forward.nodeId !== peerId) throw refused('forwards.node_id', 'is not the sender');
    if (!Number.isSafeInteger(forward.sequence) || forward.sequence < 1) {
      throw refused('forwards.sequence', 'is out of range');
    }
  }
  if (frame.announcement) checkAnnouncement(frame.announcement);
}

function checkAnnouncement(announcement: Announcement): void {
  const { checkpoints, trustedAuthorities, ownAuthority } = announcement;
  if (checkpoints.length > LIMITS.stateCheckpointsTold) throw refused('checkpoints', 'are too many');
  for (const { index, digest } of checkpoints) {
    if (!Number.isSafeInteger(index)) throw refused('checkpoints.index', 'is beyond 2^53 - 1');
    if (digest.length !== DIGEST_BYTES) throw refused('checkpoints.digest', 'is not 32 bytes');
  }
  if (trustedAuthorities.length > LIMITS.authoritiesMax) throw refused('trusted_authorities', 'are too many');
  if (!trustedAuthorities.every(({ length }) => length === DIGEST_BYTES))
    throw refused('trusted_authorities', 'are not 32 bytes each');
  if (ownAuthority.length !== 0 && ownAuthority.length !== DIGEST_BYTES)
    throw refused('own_authority', 'is not 32 bytes');
  checkProcesses(announcement);
}

function checkProcesses({ term, processes }: Announcement): void {
  if (!Number.isSafeInteger(term)) throw refused('announcement.term', 'is beyond 2^53 - 1');
  if (processes.length > LIMITS.membersMax) throw refused('processes', 'are too many');
  for (const { starts, process } of processes) {
    if (!Number.isSafeInteger(starts) || starts < 1) throw refused('processes.starts', 'is out of range');
    if (process.length !== PROCESS_BYTES) throw refused('processes.process', `is not ${PROCESS_BYTES} bytes`);
  }
}

function deliver(
  receiver: PeerReceiver,
  peerId: NodeId,
  parsed: { frame: PeerFrame; messages: readonly Message[]; aheadMs: number },
): readonly RefusedMessage[] {
  if (parsed.frame.wallMs > 0) receiver.clockHeard({ nodeId: peerId, aheadMs: parsed.aheadMs });
  const refusals = parsed.messages.length > 0 ? receiver.messages(parsed.messages) : [];
  for (const { sequence, envelope, refused } of parsed.frame.forwards) {
    if (refused) receiver.forwardRefused({ from: peerId, sequence });
    else receiver.forwarded({ from: peerId, sequence, envelope: presentBytes(envelope) });
  }
  return refusals;
}

/** Ends a call with a status; `destroy` would end it without one. */
export function endWith(call: { emit(event: 'error', error: Error): boolean }, error: Error): void {
  call.emit('error', error);
}

export function grpcError(code: status, details: string): Error & { code: status; details: string } {
  return Object.assign(new Error(details), { code, details });
}
