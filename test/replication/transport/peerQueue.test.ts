import { describe, expect, test } from 'vitest';
import type { Message } from '../../../src/replication/raft/types.ts';
import { PeerQueue } from '../../../src/replication/transport/peerQueue.ts';
import { testNodeId } from './certificates.ts';

const from = testNodeId(1);
const to = testNodeId(2);
const bounds = { messagesMax: 4, bytesMax: 1_000, frameBytesMax: 500 };

function heartbeat(round: number): Message {
  return { type: 'heartbeat', from, to, term: 1, commit: 0, round };
}

function forward(sequence: number, bytes = 1) {
  return { nodeId: from, sequence, envelope: Buffer.alloc(bytes), refused: false };
}

function rounds(queue: PeerQueue): number[] {
  const all: number[] = [];
  for (let frame = queue.takeFrame(1); frame !== null; frame = queue.takeFrame(1)) {
    all.push(...frame.messages.map(({ round }) => round));
  }
  return all;
}

describe('PeerQueue', () => {
  test('drops its oldest messages when there are too many', () => {
    const queue = new PeerQueue(bounds);
    for (let round = 1; round <= 6; round += 1) queue.push(heartbeat(round));
    expect(queue.dropped).toBe(2);
    expect(rounds(queue)).toEqual([3, 4, 5, 6]);
  });

  test('drops by bytes too, but never the newest', () => {
    const queue = new PeerQueue({ ...bounds, messagesMax: 100, bytesMax: 300 });
    for (let round = 1; round <= 3; round += 1) queue.push(heartbeat(round));
    expect(queue.bytes).toBeLessThanOrEqual(300);
    expect(rounds(queue)).toEqual([2, 3]);
    const tiny = new PeerQueue({ ...bounds, bytesMax: 1 });
    tiny.push(heartbeat(9));
    expect(rounds(tiny)).toEqual([9]);
  });

  test('refuses forwards when full, and no message pushes one out', () => {
    const queue = new PeerQueue(bounds);
    for (let sequence = 1; sequence <= 4; sequence += 1)
      expect(queue.pushForward(forward(sequence))).toBe(true);
    expect(queue.pushForward(forward(5))).toBe(false);
    for (let round = 1; round <= 50; round += 1) queue.push(heartbeat(round));
    expect(queue.length).toBe(8);
  });

  test('a frame takes what fits, in order, and always something', () => {
    const queue = new PeerQueue(bounds);
    for (let round = 1; round <= 4; round += 1) queue.push(heartbeat(round));
    expect(queue.pushForward(forward(1, 900))).toBe(true);
    expect(queue.takeFrame(7)?.messages.map(({ round }) => round)).toEqual([1, 2, 3]);
    expect(queue.takeFrame(7)).toMatchObject({ wallMs: 7, forwards: [] });
    expect(queue.takeFrame(7)?.forwards.map(({ sequence }) => sequence)).toEqual([1]);
    expect(queue.takeFrame(7)).toBeNull();
    expect(queue.bytes).toBe(0);
  });
});
