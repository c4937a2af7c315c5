import type { RandomSource } from '../base/random.ts';
import { NONCE_BYTES } from './format.ts';

const BLOCK_NONCES = 170;

/** Hands out random nonces, each once. They are drawn in blocks of about 4 KiB, since drawing is the slow part. */
export class NonceSource {
  readonly #random: RandomSource;
  #block: Buffer = Buffer.alloc(0);
  #offset = 0;

  constructor(random: RandomSource) {
    this.#random = random;
  }

  /** Copies the next 24 bytes into `target` at `offset`. */
  writeNext(target: Buffer, offset: number): void {
    if (this.#offset === this.#block.length) {
      this.#block = this.#random.bytes(BLOCK_NONCES * NONCE_BYTES);
      this.#offset = 0;
    }
    this.#block.copy(target, offset, this.#offset, this.#offset + NONCE_BYTES);
    this.#offset += NONCE_BYTES;
  }
}
