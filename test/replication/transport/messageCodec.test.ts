import { assert, integer, nat, property } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import {
  type LogEntry,
  peerFrameCodec,
  type RaftMessage,
  raftMessageCodec,
} from '../../../src/proto/peer.ts';
import type { Message } from '../../../src/replication/raft/types.ts';
import { decodeMessage, encodeMessage } from '../../../src/replication/transport/messageCodec.ts';
import { testNodeId } from './certificates.ts';

const from = testNodeId(1);
const to = testNodeId(2);
const routed = { from, to, term: 7 };
const hash = Buffer.alloc(32, 5);

const append: Message = {
  ...routed,
  type: 'append',
  previous: { index: 10, term: 3 },
  previousHash: hash,
  commit: 9,
  entries: [
    { index: 11, term: 3, type: 'normal', payload: Buffer.from('a'), hash },
    { index: 12, term: 7, type: 'configuration', payload: Buffer.from('b'), hash },
    { index: 13, term: 7, type: 'empty', payload: Buffer.alloc(0), hash },
  ],
};

const MESSAGES: readonly Message[] = [
  append,
  { ...routed, type: 'appendResponse', index: 5, rejected: false, hint: { index: 0, term: 0 }, suspect: 77 },
  { ...routed, type: 'appendResponse', index: 5, rejected: true, hint: { index: 4, term: 2 } },
  { ...routed, type: 'commit', commit: 4 },
  { ...routed, type: 'heartbeat', commit: 4, round: 6 },
  { ...routed, type: 'heartbeatResponse', round: 6 },
  { ...routed, type: 'vote', last: { index: 5, term: 6 }, transfer: true },
  { ...routed, type: 'preVote', last: { index: 5, term: 6 }, transfer: false },
  { ...routed, type: 'voteResponse', rejected: true },
  { ...routed, type: 'preVoteResponse', rejected: false },
  { ...routed, type: 'snapshotOffer', index: 8 },
  { ...routed, type: 'snapshotFailed', index: 8 },
  { ...routed, type: 'readIndex', requestId: 2 ** 48 },
  { ...routed, type: 'readIndexResponse', requestId: 3, index: 8, rejected: false },
  { ...routed, type: 'timeoutNow' },
  { ...routed, type: 'transferLeader', target: testNodeId(3) },
];

function overTheWire(wire: RaftMessage): RaftMessage {
  const bytes = peerFrameCodec.encode({ messages: [wire], wallMs: 1, forwards: [], address: '' });
  return peerFrameCodec.decode(bytes).messages[0] as RaftMessage;
}

test.each(MESSAGES)('$type comes back as it was sent', (message) => {
  expect(decodeMessage(overTheWire(encodeMessage(message)), { from, to })).toEqual(message);
});

test('fields that a type does not use take no bytes', () => {
  const heartbeat = encodeMessage({ ...routed, type: 'heartbeat', commit: 9, round: 2 });
  const bytes = raftMessageCodec.encode(heartbeat).length;
  expect(bytes).toBe(2 + (2 + from.length) + (2 + to.length) + 2 + 2 + 2);
  expect(raftMessageCodec.decode(raftMessageCodec.encode(heartbeat))).toMatchObject({ commit: 9, round: 2 });
});

test('a payload that is not on the wire is empty bytes, and nothing else', () => {
  const [entry] = encodeMessage(append).entries;
  const { payload: _absent, ...bare } = present(entry, 'entry');
  const wire = { ...encodeMessage(append), entries: [bare as LogEntry] };
  const decoded = decodeMessage(overTheWire(wire), { from, to });
  expect(decoded.type === 'append' && decoded.entries[0]?.payload).toEqual(new Uint8Array(0));
  expect(decoded.type === 'append' && decoded.entries[0]?.payload).toBeInstanceOf(Uint8Array);
});

describe('refused', () => {
  const entry = encodeMessage(append).entries[0];
  const cases: readonly [string, Partial<RaftMessage>, string][] = [
    ['type 0', { type: 0 }, 'type'],
    ['type 16', { type: 16 }, 'type'],
    ['another sender', { from: testNodeId(9) }, 'from'],
    ['no sender', { from: '' }, 'from'],
    ['another receiver', { to: testNodeId(9) }, 'to'],
    ['term 0', { term: 0 }, 'term'],
    ['term 2^53', { term: 2 ** 53 }, 'term'],
    ['term 2^64 - 1', { term: 2 ** 64 - 2048 }, 'term'],
    ['index 2^53', { index: 2 ** 53 }, 'index'],
    ['index that overflows by its entries', { index: Number.MAX_SAFE_INTEGER - 1 }, 'index'],
    ['commit 2^60', { commit: 2 ** 60 }, 'commit'],
    ['a short previous hash', { hash: Buffer.alloc(31) }, 'hash'],
    ['previous term above the term', { logTerm: 8 }, 'log_term'],
    [
      'entry term above the term',
      { entries: [{ ...entry, term: 8 }] as RaftMessage['entries'] },
      'entries.term',
    ],
    [
      'entry term before the previous',
      { entries: [{ ...entry, term: 2 }] as RaftMessage['entries'] },
      'entries.term',
    ],
    [
      'entry term 0',
      { logTerm: 0, entries: [{ ...entry, term: 0 }] as RaftMessage['entries'] },
      'entries.term',
    ],
    [
      'entry of an unknown type',
      { entries: [{ ...entry, type: 4 }] as RaftMessage['entries'] },
      'entries.type',
    ],
    [
      'entry with a short hash',
      { entries: [{ ...entry, hash: Buffer.alloc(31) }] as RaftMessage['entries'] },
      'entries.hash',
    ],
    [
      'empty entry with a payload',
      { entries: [{ ...entry, type: 3 }] as RaftMessage['entries'] },
      'entries.payload',
    ],
  ];

  test.each(cases)('an append with %s', (_what, change, field) => {
    const wire = raftMessageCodec.create({ ...encodeMessage(append), ...change });
    expect(() => decodeMessage(wire, { from, to })).toThrow(expect.objectContaining({ field }));
  });

  test('entries in a message that has none', () => {
    const timeoutNow = encodeMessage({ ...routed, type: 'timeoutNow' });
    const wire = raftMessageCodec.create({ ...timeoutNow, entries: encodeMessage(append).entries });
    expect(() => decodeMessage(wire, { from, to })).toThrow(expect.objectContaining({ field: 'entries' }));
  });

  test('a transfer to what is no node id', () => {
    const wire = encodeMessage({ ...routed, type: 'transferLeader', target: 'x' as NodeId });
    expect(() => decodeMessage(wire, { from, to })).toThrow(expect.objectContaining({ field: 'target' }));
  });
});

test('whatever bytes arrive: a frame or INVALID_ARGUMENT, and no message that breaks a rule', () => {
  const valid = peerFrameCodec.encode({
    messages: MESSAGES.map(encodeMessage),
    wallMs: 1,
    forwards: [],
    address: '',
  });
  assert(
    property(nat(valid.length - 1), integer({ min: 1, max: 255 }), (offset, flip) => {
      const bytes = Buffer.from(valid);
      bytes[offset] = (bytes[offset] ?? 0) ^ flip;
      try {
        for (const wire of peerFrameCodec.decode(bytes).messages) {
          const message = decodeMessage(wire, { from, to });
          expect(message.from).toBe(from);
          expect(Number.isSafeInteger(message.term)).toBe(true);
        }
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'INVALID_ARGUMENT' });
      }
    }),
    { numRuns: 500 },
  );
});
