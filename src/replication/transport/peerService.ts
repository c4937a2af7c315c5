import {
  type handleBidiStreamingCall,
  type handleServerStreamingCall,
  Metadata,
  type ServerDuplexStream,
  status,
} from '@grpc/grpc-js';
import { splitAddress } from '../../base/address.ts';
import type { Clock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import {
  type Announcement,
  type PeerFrame,
  type PullSnapshotRequest,
  peerFrameCodec,
  peerService,
} from '../../proto/peer.ts';
import type { Message } from '../raft/types.ts';
import { decodeMessage, presentBytes, refusalOf, refused } from './messageCodec.ts';
import type { GrpcService } from './peerServer.ts';
import type { PortRefusal, Refusals } from './refusals.ts';
import type { SnapshotServer } from './snapshotServer.ts';
import type { PeerReceiver, RefusedMessage } from './types.ts';

export interface PeerServiceOptions {
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

const raw = (bytes: Buffer): Buffer => bytes;

/** Frames stay bytes until a handler decodes them: what does not decode is then refused and counted here. */
const definition = {
  ...peerService,
  control: { ...peerService['control'], requestDeserialize: raw },
  bulk: { ...peerService['bulk'], requestDeserialize: raw },
} as unknown as GrpcService['definition'];

/** The Peer service for one connection whose certificate names `peerId`. */
export function peerServiceFor(peerId: NodeId, options: PeerServiceOptions): GrpcService {
  const frames: handleBidiStreamingCall<Buffer, object> = (call) => acceptFrames(call, peerId, options);
  const pullSnapshot: handleServerStreamingCall<PullSnapshotRequest, object> = (call) => {
    if (!options.isMember(peerId)) {
      options.refusals.count('notMember', { peerId });
      endWith(call, grpcError(status.PERMISSION_DENIED, 'not a member'));
      return;
    }
    const isMember = (): boolean => options.isMember(peerId);
    void options.snapshots.serve(call, { peerId, receiver: options.receiver(), isMember });
  };
  return { definition, handlers: { control: frames, bulk: frames, pullSnapshot } };
}

function acceptFrames(
  call: ServerDuplexStream<Buffer, object>,
  peerId: NodeId,
  options: PeerServiceOptions,
): void {
  call.on('error', () => undefined);
  call.on('end', () => call.end());
  if (!options.isMember(peerId)) {
    options.refusals.count('notMember', { peerId });
    endWith(call, grpcError(status.PERMISSION_DENIED, 'not a member'));
    return;
  }
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
    const refusal = acceptFrame(bytes, peerId, options);
    if (refusal !== null) end(refusal);
  });
  // Tells the caller that the way to this handler is open.
  call.sendMetadata(new Metadata());
  options.onStream(peerId);
}

/** Delivers a frame whole or not at all; returns why the stream must end, or null. Never throws what a peer caused. */
function acceptFrame(
  bytes: Buffer,
  peerId: NodeId,
  options: PeerServiceOptions,
): ReturnType<typeof grpcError> | null {
  const { receiver, refusals, nodeId } = options;
  // Asked for each frame: a node that has been removed must not disturb the term (invariant 15).
  if (!options.isMember(peerId)) {
    refusals.count('notMember', { peerId });
    return grpcError(status.PERMISSION_DENIED, 'not a member');
  }
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

function checkAnnouncement({ checkpoints }: Announcement): void {
  if (checkpoints.length > LIMITS.stateCheckpointsTold) throw refused('checkpoints', 'are too many');
  for (const { index, digest } of checkpoints) {
    if (!Number.isSafeInteger(index)) throw refused('checkpoints.index', 'is beyond 2^53 - 1');
    if (digest.length !== DIGEST_BYTES) throw refused('checkpoints.digest', 'is not 32 bytes');
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
