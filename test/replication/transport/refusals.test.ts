import { describe, expect, test } from 'vitest';
import type { Clock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { Refusals } from '../../../src/replication/transport/refusals.ts';

function rig(): { refusals: Refusals; lines: object[]; pass: (ms: number) => void } {
  let nowMs = 1_000;
  const clock: Clock = { monotonicMs: () => nowMs, wallMs: () => nowMs };
  const lines: object[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void lines.push(fields) };
  return {
    refusals: new Refusals({ logger, clock }),
    lines,
    pass: (ms) => {
      nowMs += ms;
    },
  };
}

describe('what is refused', () => {
  test('is counted by reason, and logged at most once a minute for each reason and peer', () => {
    const { refusals, lines, pass } = rig();
    for (let i = 0; i < 100; i += 1) {
      refusals.count('termJump', { peerId: 'a' });
      refusals.count('termJump', { peerId: 'b' });
      refusals.count('wrongSender', { peerId: 'a' });
    }
    expect([...refusals.counts]).toEqual([
      ['termJump', 200],
      ['wrongSender', 100],
    ]);
    expect(lines).toEqual([
      { reason: 'termJump', peerId: 'a', count: 1 },
      { reason: 'termJump', peerId: 'b', count: 2 },
      { reason: 'wrongSender', peerId: 'a', count: 1 },
    ]);
    pass(59_999);
    refusals.count('termJump', { peerId: 'a' });
    expect(lines).toHaveLength(3);
    pass(1);
    refusals.count('termJump', { peerId: 'a' });
    expect(lines.at(-1)).toEqual({ reason: 'termJump', peerId: 'a', count: 202 });
  });

  test('by strangers is one line a minute for each reason, wherever they come from', () => {
    const { refusals, lines } = rig();
    for (let i = 0; i < 50; i += 1) refusals.count('handshake', { address: `10.0.0.${i}` });
    expect(lines).toHaveLength(1);
  });

  test('by ever new peers is remembered for so many, and logged for no more within a minute', () => {
    const { refusals, lines, pass } = rig();
    for (let i = 0; i < 1_000; i += 1) refusals.count('notMember', { peerId: `node ${i}` });
    expect(lines).toHaveLength(LIMITS.rareLineKeysMax);
    pass(LIMITS.rareLineIntervalMs);
    refusals.count('notMember', { peerId: 'one more' });
    expect(lines.at(-1)).toEqual({ reason: 'notMember', peerId: 'one more', count: 1_001 });
    expect(lines).toHaveLength(LIMITS.rareLineKeysMax + 1);
  });
});
