import { unreachable } from '../../base/assert.ts';
import { HoldfastError } from '../../base/errors.ts';
import { type LogIndex, type NodeId, parseNodeId, type Term } from '../../base/ids.ts';
import { type LogEntry, type RaftMessage, raftMessageCodec } from '../../proto/peer.ts';
import { ENTRY_TYPE_CODES } from '../raft/entryHash.ts';
import type { Entry, EntryType, Message, MessageType } from '../raft/types.ts';
import type { PortRefusal } from './refusals.ts';

/** The numbers of RaftMessage.Type in peer.proto. */
const MESSAGE_TYPE_CODES: Readonly<Record<MessageType, number>> = {
  append: 1,
  appendResponse: 2,
  heartbeat: 3,
  heartbeatResponse: 4,
  vote: 5,
  preVote: 6,
  voteResponse: 7,
  preVoteResponse: 8,
  snapshotOffer: 9,
  snapshotFailed: 10,
  readIndex: 11,
  readIndexResponse: 12,
  timeoutNow: 13,
  transferLeader: 14,
  commit: 15,
};

const MESSAGE_TYPES: ReadonlyMap<number, MessageType> = new Map(
  Object.entries(MESSAGE_TYPE_CODES).map(([type, code]) => [code, type as MessageType]),
);
const ENTRY_TYPES: ReadonlyMap<number, EntryType> = new Map(
  Object.entries(ENTRY_TYPE_CODES).map(([type, code]) => [code, type as EntryType]),
);

const HASH_BYTES = 32;
const NO_BYTES = new Uint8Array(0);

/** The fields of the flat wire shape that a type uses: the one table of what travels where. */
function bodyOf(message: Message): Partial<RaftMessage> {
  switch (message.type) {
    case 'append':
      return {
        index: message.previous.index,
        logTerm: message.previous.term,
        hash: message.previousHash,
        commit: message.commit,
        entries: message.entries.map(encodeEntry),
        ...(message.suspicion === undefined
          ? {}
          : { suspectMark: message.suspicion.mark, suspectThrough: message.suspicion.through }),
      };
    case 'appendResponse':
      return {
        index: message.index,
        rejected: message.rejected,
        hintIndex: message.hint.index,
        hintTerm: message.hint.term,
        ...(message.suspect === undefined ? {} : { suspectMark: message.suspect }),
      };
    case 'commit':
      return { commit: message.commit };
    case 'heartbeat':
      return { commit: message.commit, round: message.round };
    case 'heartbeatResponse':
      return { round: message.round };
    case 'vote':
    case 'preVote':
      return { index: message.last.index, logTerm: message.last.term, transfer: message.transfer };
    case 'voteResponse':
    case 'preVoteResponse':
      return { rejected: message.rejected };
    case 'snapshotOffer':
    case 'snapshotFailed':
      return { index: message.index };
    case 'readIndex':
      return { requestId: message.requestId };
    case 'readIndexResponse':
      return { requestId: message.requestId, index: message.index, rejected: message.rejected };
    case 'timeoutNow':
      return {};
    case 'transferLeader':
      return { target: message.target };
    default:
      return unreachable(message, 'message');
  }
}

function encodeEntry(entry: Entry): LogEntry {
  return { term: entry.term, type: ENTRY_TYPE_CODES[entry.type], payload: entry.payload, hash: entry.hash };
}

export function encodeMessage(message: Message): RaftMessage {
  return raftMessageCodec.create({
    type: MESSAGE_TYPE_CODES[message.type],
    from: message.from,
    to: message.to,
    term: message.term,
    ...bodyOf(message),
  });
}

export function refused(field: string, reason: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `peer message: ${field} ${reason}`, { field });
}

const REFUSALS_BY_FIELD: ReadonlyMap<string, PortRefusal> = new Map([
  ['from', 'wrongSender'],
  ['forwards.node_id', 'wrongSender'],
  ['to', 'wrongReceiver'],
  ['hash', 'malformedEntries'],
  ['entries', 'malformedEntries'],
  ['entries.type', 'malformedEntries'],
  ['entries.term', 'malformedEntries'],
  ['entries.hash', 'malformedEntries'],
  ['entries.payload', 'malformedEntries'],
  ['term', 'impossibleNumber'],
  ['index', 'impossibleNumber'],
  ['log_term', 'impossibleNumber'],
  ['commit', 'impossibleNumber'],
  ['hint_index', 'impossibleNumber'],
  ['hint_term', 'impossibleNumber'],
  ['round', 'impossibleNumber'],
  ['request_id', 'impossibleNumber'],
  ['wall_ms', 'impossibleNumber'],
  ['forwards.sequence', 'impossibleNumber'],
  ['checkpoints.index', 'impossibleNumber'],
  ['announcement.term', 'impossibleNumber'],
  ['processes.starts', 'impossibleNumber'],
]);

/** As what a message counts that was refused for `error`. */
export function refusalOf({ field }: HoldfastError): PortRefusal {
  return REFUSALS_BY_FIELD.get(field ?? '') ?? 'malformedMessage';
}

/** A bytes field that was not on the wire is an empty array to protobufjs, which nobody else takes for bytes. */
export function presentBytes(field: Uint8Array): Uint8Array {
  return field instanceof Uint8Array ? field : NO_BYTES;
}

const isCount = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** The first 64-bit field that no number here can hold (protobufjs rounds what is beyond 2^53), or null. */
function unsafeField(wire: RaftMessage): string | null {
  const { term, index, logTerm, commit, hintIndex, hintTerm, round, requestId } = wire;
  const { suspectMark, suspectThrough } = wire;
  const safe =
    isCount(term) &&
    isCount(index) &&
    isCount(logTerm) &&
    isCount(commit) &&
    isCount(hintIndex) &&
    isCount(hintTerm) &&
    isCount(round) &&
    isCount(requestId) &&
    isCount(suspectMark) &&
    isCount(suspectThrough);
  return safe ? null : nameUnsafeField(wire);
}

function nameUnsafeField(wire: RaftMessage): string | null {
  const numbers = {
    term: wire.term,
    index: wire.index,
    log_term: wire.logTerm,
    commit: wire.commit,
    hint_index: wire.hintIndex,
    hint_term: wire.hintTerm,
    round: wire.round,
    request_id: wire.requestId,
    suspect_mark: wire.suspectMark,
    suspect_through: wire.suspectThrough,
  };
  for (const [field, value] of Object.entries(numbers)) {
    if (!isCount(value)) return field;
  }
  return null;
}

function decodeEntry(wire: LogEntry, expected: { index: LogIndex; termMin: Term; termMax: Term }): Entry {
  const type = ENTRY_TYPES.get(wire.type);
  if (type === undefined) throw refused('entries.type', 'is unknown');
  if (!Number.isSafeInteger(wire.term)) throw refused('entries.term', 'is beyond 2^53 - 1');
  if (wire.term < Math.max(1, expected.termMin)) throw refused('entries.term', 'goes back');
  if (wire.term > expected.termMax) throw refused('entries.term', 'is above the term of the message');
  if (wire.hash.length !== HASH_BYTES) throw refused('entries.hash', `is not ${HASH_BYTES} bytes`);
  if (type === 'empty' && wire.payload.length > 0) throw refused('entries.payload', 'must be empty here');
  return {
    index: expected.index,
    term: wire.term,
    type,
    payload: presentBytes(wire.payload),
    hash: wire.hash,
  };
}

/**
 * Entries carry no index of their own: they follow `previous` one by one, so that they cannot have a gap.
 * Invariant 3: their terms never go back, and none is above the term of the message.
 */
function decodeAppend(wire: RaftMessage, routed: { from: NodeId; to: NodeId; term: Term }): Message {
  if (wire.hash.length !== HASH_BYTES) throw refused('hash', `is not ${HASH_BYTES} bytes`);
  if (wire.logTerm > wire.term) throw refused('log_term', 'is above the term of the message');
  if (!Number.isSafeInteger(wire.index + wire.entries.length)) throw refused('index', 'overflows');
  const entries: Entry[] = [];
  let termMin = wire.logTerm;
  for (const each of wire.entries) {
    const entry = decodeEntry(each, {
      index: wire.index + entries.length + 1,
      termMin,
      termMax: wire.term,
    });
    termMin = entry.term;
    entries.push(entry);
  }
  return {
    ...routed,
    type: 'append',
    previous: { index: wire.index, term: wire.logTerm },
    previousHash: wire.hash,
    entries,
    commit: wire.commit,
    ...(wire.suspectThrough === 0
      ? {}
      : { suspicion: { mark: wire.suspectMark, through: wire.suspectThrough } }),
  };
}

/**
 * A message of the core from its wire shape. Bytes are views on the frame.
 * @throws HoldfastError INVALID_ARGUMENT naming the field that cannot be
 */
export function decodeMessage(
  wire: RaftMessage,
  route: { readonly from: NodeId; readonly to: NodeId },
): Message {
  const type = MESSAGE_TYPES.get(wire.type);
  if (type === undefined) throw refused('type', 'is unknown');
  const unsafe = unsafeField(wire);
  if (unsafe !== null) throw refused(unsafe, 'is beyond 2^53 - 1');
  if (wire.from !== route.from) throw refused('from', 'is not the node that the certificate names');
  if (wire.to !== route.to) throw refused('to', 'is not this node');
  if (wire.term < 1) throw refused('term', 'is zero');
  if (wire.entries.length > 0 && type !== 'append') throw refused('entries', 'do not belong here');
  const routed = { from: route.from, to: route.to, term: wire.term };
  switch (type) {
    case 'append':
      return decodeAppend(wire, routed);
    case 'appendResponse':
      return {
        ...routed,
        type,
        index: wire.index,
        rejected: wire.rejected,
        hint: { index: wire.hintIndex, term: wire.hintTerm },
        ...(wire.suspectMark === 0 ? {} : { suspect: wire.suspectMark }),
      };
    case 'commit':
      return { ...routed, type, commit: wire.commit };
    case 'heartbeat':
      return { ...routed, type, commit: wire.commit, round: wire.round };
    case 'heartbeatResponse':
      return { ...routed, type, round: wire.round };
    case 'vote':
    case 'preVote':
      if (wire.logTerm > wire.term) throw refused('log_term', 'is above the term of the message');
      return {
        ...routed,
        type,
        last: { index: wire.index, term: wire.logTerm },
        transfer: wire.transfer,
      };
    case 'voteResponse':
    case 'preVoteResponse':
      return { ...routed, type, rejected: wire.rejected };
    case 'snapshotOffer':
    case 'snapshotFailed':
      return { ...routed, type, index: wire.index };
    case 'readIndex':
      return { ...routed, type, requestId: wire.requestId };
    case 'readIndexResponse':
      return { ...routed, type, requestId: wire.requestId, index: wire.index, rejected: wire.rejected };
    case 'timeoutNow':
      return { ...routed, type };
    case 'transferLeader':
      return { ...routed, type, target: parseNodeId(wire.target, 'target') };
    default:
      return unreachable(type, 'message type');
  }
}

/** About how much memory and wire the message takes, for the bounds of queues. */
export function messageBytes(message: Message): number {
  if (message.type !== 'append') return 128;
  let bytes = 192;
  for (const entry of message.entries) bytes += entry.payload.length + 64;
  return bytes;
}
