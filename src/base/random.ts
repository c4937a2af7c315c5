import { randomFillSync, randomInt } from 'node:crypto';

/** The only source of randomness. Simulations inject a seeded one. */
export interface RandomSource {
  /** Fresh, unpooled random bytes. */
  bytes(length: number): Buffer;
  /** An integer in [min, max). */
  integer(range: { min: number; max: number }): number;
}

export const systemRandom: RandomSource = {
  bytes(length) {
    const bytes = Buffer.alloc(length);
    randomFillSync(bytes);
    return bytes;
  },
  integer({ min, max }) {
    return randomInt(min, max);
  },
};

/** Characters that nobody takes for one another; 32 of them, so that each holds 5 bits. */
const READABLE = 'abcdefghijkmnpqrstuvwxyz23456789';

/** A password that nobody guesses: 140 random bits, to be read and typed. */
export function newPassword(random: RandomSource): string {
  const characters = [...random.bytes(28)].map((byte) => READABLE[byte % READABLE.length]).join('');
  return (characters.match(/.{7}/g) ?? []).join('-');
}

/** Deterministic numbers from a 32-bit seed (xoshiro128**; Blackman and Vigna 2018). Not for keys. */
export class SeededRandom implements RandomSource {
  readonly #state = new Uint32Array(4);

  constructor(seed: number) {
    let mixed = seed >>> 0;
    for (let i = 0; i < 4; i += 1) {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      let word = mixed;
      word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
      word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
      this.#state[i] = (word ^ (word >>> 16)) >>> 0;
    }
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i += 1) bytes[i] = this.#next() >>> 24;
    return bytes;
  }

  integer({ min, max }: { min: number; max: number }): number {
    return min + Math.floor((this.#next() / 0x1_0000_0000) * (max - min));
  }

  #next(): number {
    const state = this.#state;
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = state;
    const scaled = Math.imul(s1, 5);
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0;
    const t2 = s2 ^ s0;
    const t3 = s3 ^ s1;
    state[1] = s1 ^ t2;
    state[0] = s0 ^ t3;
    state[2] = t2 ^ (s1 << 9);
    state[3] = (t3 << 11) | (t3 >>> 21);
    return result;
  }
}
