import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { NodeId } from '../../../src/base/ids.ts';
import { ControlKey } from '../../../src/envelope/controlKey.ts';
import { type Asked, possessionProof, provesPossession } from '../../../src/node/keyChange/possession.ts';

const keyOf = (byte: number): ControlKey => new ControlKey(createSecretKey(Buffer.alloc(32, byte)));
const ASKED: Asked = {
  changeId: 'change',
  nodeId: '000000000000000a' as NodeId,
  nonce: Buffer.alloc(32, 5),
};

describe('a proof that a new key is held', () => {
  const proof = possessionProof(keyOf(1), ASKED);

  it('is one, to whoever asked', () => {
    expect(provesPossession(keyOf(1), { ...ASKED }, proof)).toBe(true);
  });

  it.each<[string, Partial<Asked>]>([
    ['in another change of keys', { changeId: 'another' }],
    ['by another member', { nodeId: '000000000000000b' as NodeId }],
    ['to another question', { nonce: Buffer.alloc(32, 6) }],
  ])('is none %s', (_what, other) => {
    expect(provesPossession(keyOf(1), { ...ASKED, ...other }, proof)).toBe(false);
  });

  it('is none of another key, and no part of it is one', () => {
    expect(provesPossession(keyOf(2), ASKED, proof)).toBe(false);
    expect(provesPossession(keyOf(1), ASKED, proof.subarray(1))).toBe(false);
    expect(provesPossession(keyOf(1), ASKED, Buffer.alloc(0))).toBe(false);
    expect(provesPossession(keyOf(1), ASKED, Buffer.concat([proof, Buffer.alloc(1)]))).toBe(false);
  });
});
