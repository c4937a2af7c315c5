import { expect, test } from 'vitest';
import { SeededRandom } from '../../../src/base/random.ts';
import { encodeMessage } from '../../../src/replication/transport/messageCodec.ts';
import { cutEverywhere, FrameFuzz, frameOf, nextInput, VALID_MESSAGES } from './frameFuzz.ts';

const EXECUTIONS = Number(process.env['FUZZ_EXECUTIONS'] ?? 5_000);
const SEED = Number(process.env['FUZZ_SEED'] ?? 1);

test('a valid frame is delivered', () => {
  const fuzz = new FrameFuzz();
  for (const message of VALID_MESSAGES) fuzz.execute(frameOf([encodeMessage(message)]));
  expect(fuzz.counts.delivered).toBe(VALID_MESSAGES.length);
  expect(fuzz.counts.stopped).toBe(0);
});

test('a frame cut after any byte is delivered whole or refused, and stops no core', () => {
  const fuzz = new FrameFuzz();
  for (const bytes of cutEverywhere()) fuzz.execute(bytes);
  const { executions, delivered, refused, stopped } = fuzz.counts;
  expect(executions).toBeGreaterThan(2_000);
  expect(delivered).toBeGreaterThan(0);
  expect(refused.get('malformedFrame')).toBeGreaterThan(1_000);
  expect(stopped).toBe(0);
});

test(`${EXECUTIONS} frames of noise and of what was valid once: nothing throws but what must stop a node`, () => {
  const fuzz = new FrameFuzz();
  const random = new SeededRandom(SEED);
  for (let i = 0; i < EXECUTIONS; i += 1) fuzz.execute(nextInput(random));
  const { delivered, refused } = fuzz.counts;
  expect(delivered).toBeGreaterThan(EXECUTIONS / 20);
  const reasons = [
    'malformedFrame',
    'malformedMessage',
    'malformedEntries',
    'impossibleNumber',
    'wrongSender',
    'wrongReceiver',
    'malformed',
    'hashMismatch',
    'termJump',
    'commitUnproven',
  ];
  expect(reasons.filter((reason) => !refused.has(reason))).toEqual([]);
}, 600_000);
