import { assert } from '../base/assert.ts';

const LANES = 8;

/**
 * The digest of a whole state: the SHA-256 values of its rows, each read as 8 lanes of 32 bits, summed lane by
 * lane modulo 2^32. Adding and taking away a row cost the same whatever the size of the state, and the order does
 * not matter. It finds accidents and divergence between honest nodes; forgery is what the seals are for.
 */
export class StateDigest {
  readonly #lanes = new Uint32Array(LANES);

  /** @param digest 32 latin-1 characters */
  add(digest: string): void {
    for (let lane = 0; lane < LANES; lane += 1) {
      this.#lanes[lane] = (this.#lanes[lane] ?? 0) + laneOf(digest, lane);
    }
  }

  subtract(digest: string): void {
    for (let lane = 0; lane < LANES; lane += 1) {
      this.#lanes[lane] = (this.#lanes[lane] ?? 0) - laneOf(digest, lane);
    }
  }

  /** 32 bytes, big-endian lanes; a copy. */
  bytes(): Buffer {
    const bytes = Buffer.alloc(LANES * 4);
    for (let lane = 0; lane < LANES; lane += 1) bytes.writeUInt32BE(this.#lanes[lane] ?? 0, lane * 4);
    return bytes;
  }
}

function laneOf(digest: string, lane: number): number {
  const offset = lane * 4;
  assert(digest.length === LANES * 4, 'a row digest has 32 bytes');
  const high = (digest.charCodeAt(offset) << 24) | (digest.charCodeAt(offset + 1) << 16);
  return (high | (digest.charCodeAt(offset + 2) << 8) | digest.charCodeAt(offset + 3)) >>> 0;
}
