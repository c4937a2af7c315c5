import { type Cipher, createCipheriv, type KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';
import { GCM_KEY_BYTES, gcmOpen, gcmSeal } from './aes256gcm.ts';
import { NONCE_BYTES } from './format.ts';

const BLOCK_BYTES = 16;
const DERIVATION_NONCE_BYTES = 12;

export interface XaesInput {
  /** 24 random bytes. */
  readonly nonce: Uint8Array;
  readonly associatedData: Uint8Array;
}

/**
 * XAES-256-GCM (c2sp.org/XAES-256-GCM) under one key: AES-256-GCM under a key derived from the first half of a
 * 24-byte nonce by CMAC, so that random nonces have no practical limit.
 *
 * The block cipher of the derivation is made once: in ECB mode without padding each update stands for itself, so
 * one cipher object serves for ever, and a seal costs one update of two blocks and one GCM.
 */
export class Xaes256Gcm {
  readonly #block: Cipher;
  /** M1 xor K1 | M2 xor K1 (section "Derivation"); the nonce is xored in for each use. */
  readonly #template: Buffer;
  readonly #blocks = Buffer.alloc(2 * BLOCK_BYTES);

  /** @param key 32 bytes */
  constructor(key: KeyObject) {
    assert(key.symmetricKeySize === GCM_KEY_BYTES, 'an XAES-256-GCM key has 32 bytes');
    this.#block = createCipheriv('aes-256-ecb', key, null).setAutoPadding(false);
    this.#template = derivationTemplate(this.#block.update(Buffer.alloc(BLOCK_BYTES)));
  }

  /** Writes ciphertext, then the 16-byte tag, into `target` at `offset`. */
  seal(input: XaesInput, plaintext: Uint8Array, target: Buffer, offset: number): void {
    const key = this.#derive(input.nonce);
    const iv = input.nonce.subarray(DERIVATION_NONCE_BYTES);
    gcmSeal({ key, iv, associatedData: input.associatedData }, plaintext, target, offset);
    key.fill(0);
  }

  /** The plaintext of ciphertext and tag, or null when the tag does not verify. */
  open(input: XaesInput, sealed: Uint8Array): Buffer | null {
    const key = this.#derive(input.nonce);
    const iv = input.nonce.subarray(DERIVATION_NONCE_BYTES);
    const plaintext = gcmOpen({ key, iv, associatedData: input.associatedData }, sealed);
    key.fill(0);
    return plaintext;
  }

  #derive(nonce: Uint8Array): Buffer {
    assert(nonce.length === NONCE_BYTES, 'an XAES-256-GCM nonce has 24 bytes');
    const blocks = this.#blocks;
    blocks.set(this.#template);
    for (let i = 0; i < DERIVATION_NONCE_BYTES; i += 1) {
      const byte = nonce[i] ?? 0;
      blocks[i + 4] = (blocks[i + 4] ?? 0) ^ byte;
      blocks[i + 20] = (blocks[i + 20] ?? 0) ^ byte;
    }
    const key = this.#block.update(blocks);
    assert(key.length === GCM_KEY_BYTES, 'the derived key has 32 bytes');
    return key;
  }
}

/** K1 = `zeroBlock` doubled in GF(2^128) (SP 800-38B); both CMAC blocks then begin with counter, 'X', 0. */
function derivationTemplate(zeroBlock: Buffer): Buffer {
  const template = Buffer.alloc(2 * BLOCK_BYTES);
  for (let i = 0; i < BLOCK_BYTES; i += 1) {
    const doubled = ((zeroBlock[i] ?? 0) << 1) | ((zeroBlock[i + 1] ?? 0) >>> 7);
    template[i] = doubled & 0xff;
  }
  const carry = (zeroBlock[0] ?? 0) & 0x80;
  if (carry !== 0) template[15] = (template[15] ?? 0) ^ 0x87;
  template.copy(template, BLOCK_BYTES, 0, BLOCK_BYTES);
  const blockStarts = [
    [0, 0x01],
    [BLOCK_BYTES, 0x02],
  ] as const;
  for (const [start, counter] of blockStarts) {
    template[start + 1] = (template[start + 1] ?? 0) ^ counter;
    template[start + 2] = (template[start + 2] ?? 0) ^ 0x58;
  }
  return template;
}
