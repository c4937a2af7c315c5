import { createSecretKey } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ControlKey } from '../../src/envelope/controlKey.ts';
import { answererProof, type Conversation, callerProof, isProof } from '../../src/trust/proof.ts';

const keyOf = (byte: number): ControlKey => new ControlKey(createSecretKey(Buffer.alloc(32, byte)));
const KEY = keyOf(7);

const CONVERSATION: Conversation = {
  purpose: 'peer',
  callerSaid: Buffer.from('caller says, nonce one'),
  answererSaid: Buffer.from('answerer says, nonce two'),
  caller: Buffer.from('certificate of the caller'),
  answerer: Buffer.from('certificate of the answerer'),
};

const RESPONSE = Buffer.from('all that the joiner is given');

/** Made once, by another implementation of the same text (docs/formats.md). */
const KNOWN = {
  peer: [
    '8fbf5dd428927f6ad7833b48de6dbb5a53fbcf2a1921a7253745d987ae604ffb',
    'b79e00e4a54547492ccb98d64eac8f1076c63c85cc2769f996744be337a58a95',
  ],
  join: [
    '3fa38dad682f125295fd88af94dda9f853e221adae46d9902b821ac249b30119',
    '3b8c01e8e62a694328c01e20626ca9a7543cb0546a080f853677f38a99c5fb9d',
  ],
};

const PARTS = ['callerSaid', 'answererSaid', 'caller', 'answerer'] as const;

describe('a proof', () => {
  test('is accepted for its own conversation and key', () => {
    const proof = callerProof(KEY, CONVERSATION);
    expect(isProof(callerProof(keyOf(7), { ...CONVERSATION }), proof)).toBe(true);
    const answer = answererProof(KEY, CONVERSATION, { proof, response: null });
    expect(isProof(answererProof(keyOf(7), { ...CONVERSATION }, { proof, response: null }), answer)).toBe(
      true,
    );
  });

  test('of a cluster holds for no other response, not one bit of it, and for none without', () => {
    const join = { ...CONVERSATION, purpose: 'join' } as const;
    const proof = callerProof(KEY, join);
    const answer = answererProof(KEY, join, { proof, response: RESPONSE });
    for (let bit = 0; bit < RESPONSE.length * 8; bit += 1) {
      const response = Buffer.from(RESPONSE);
      response[bit >> 3] = (response[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(isProof(answererProof(KEY, join, { proof, response }), answer)).toBe(false);
    }
    expect(isProof(answererProof(KEY, join, { proof, response: Buffer.alloc(0) }), answer)).toBe(false);
    expect(() => answererProof(KEY, join, { proof, response: null })).toThrow('answered with a response');
    expect(() => answererProof(KEY, CONVERSATION, { proof, response: RESPONSE })).toThrow('nothing else is');
  });

  test.each(PARTS)('holds for no other %s, not one bit of it', (part) => {
    const proof = callerProof(KEY, CONVERSATION);
    const answer = answererProof(KEY, CONVERSATION, { proof, response: null });
    for (let bit = 0; bit < CONVERSATION[part].length * 8; bit += 1) {
      const changed = Buffer.from(CONVERSATION[part]);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const other = { ...CONVERSATION, [part]: changed };
      expect(isProof(callerProof(KEY, other), proof)).toBe(false);
      expect(isProof(answererProof(KEY, other, { proof, response: null }), answer)).toBe(false);
    }
  });

  test('holds for no other purpose, and for no other key', () => {
    const proof = callerProof(KEY, CONVERSATION);
    expect(isProof(callerProof(KEY, { ...CONVERSATION, purpose: 'join' }), proof)).toBe(false);
    expect(isProof(callerProof(keyOf(8), CONVERSATION), proof)).toBe(false);
  });

  test('cannot be sent back: the two sides prove under keys of their own', () => {
    const proof = callerProof(KEY, CONVERSATION);
    const answer = answererProof(KEY, CONVERSATION, { proof, response: null });
    expect(isProof(answer, proof)).toBe(false);
    const mirrored: Conversation = {
      purpose: 'peer',
      callerSaid: CONVERSATION.answererSaid,
      answererSaid: CONVERSATION.callerSaid,
      caller: CONVERSATION.answerer,
      answerer: CONVERSATION.caller,
    };
    expect(isProof(callerProof(KEY, mirrored), answer)).toBe(false);
  });

  test('cannot be moved from one field into the next', () => {
    const shifted = {
      ...CONVERSATION,
      callerSaid: Buffer.from('caller says, nonce on'),
      answererSaid: Buffer.from('eanswerer says, nonce two'),
    };
    expect(isProof(callerProof(KEY, shifted), callerProof(KEY, CONVERSATION))).toBe(false);
  });

  test.each([0, 31, 33])('of %s bytes is none', (length) => {
    expect(isProof(callerProof(KEY, CONVERSATION), Buffer.alloc(length))).toBe(false);
  });

  test.each(['peer', 'join'] as const)('is the same on every release: %s', (purpose) => {
    const conversation = { ...CONVERSATION, purpose };
    const proof = callerProof(KEY, conversation);
    const response = purpose === 'join' ? RESPONSE : null;
    const proofs = [proof, answererProof(KEY, conversation, { proof, response })];
    expect(proofs.map((one) => one.toString('hex'))).toEqual(KNOWN[purpose]);
  });
});
