import { SeededRandom } from '../../src/base/random.ts';

/** Draws of one concern. */
export class Chance {
  readonly source: SeededRandom;

  constructor(seed: number) {
    this.source = new SeededRandom(seed);
  }

  /** A number in [0, 1). */
  fraction(): number {
    return this.source.integer({ min: 0, max: 0x1_0000_0000 }) / 0x1_0000_0000;
  }

  /** True in about `probability` of all calls. */
  happens(probability: number): boolean {
    return this.fraction() < probability;
  }

  /** A real number in [min, max). */
  between(min: number, max: number): number {
    return min + this.fraction() * (max - min);
  }

  /** An integer in [min, max]. */
  integer(min: number, max: number): number {
    return this.source.integer({ min, max: max + 1 });
  }

  /** A waiting time with this mean, as between independent events. */
  wait(meanMs: number): number {
    return -Math.log(1 - this.fraction()) * meanMs;
  }

  pick<T>(from: readonly T[]): T | undefined {
    return from[this.source.integer({ min: 0, max: Math.max(1, from.length) })];
  }
}

/** What is drawn from a stream of its own, so that one more draw for one concern does not shuffle the others. */
export const CONCERNS = ['knobs', 'network', 'disk', 'faults', 'members', 'work', 'nodes', 'damage'] as const;
export type Concern = (typeof CONCERNS)[number];
export type Chances = Readonly<Record<Concern, Chance>>;

/** One seed, one run: every stream follows from it. */
export function chancesOf(seed: number): Chances {
  const streams = CONCERNS.map((concern, place) => [
    concern,
    new Chance((Math.imul(seed, 0x9e37_79b1) ^ Math.imul(place + 1, 0x85eb_ca6b)) >>> 0),
  ]);
  return Object.fromEntries(streams) as Chances;
}
