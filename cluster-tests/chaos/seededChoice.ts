import { present } from '../../src/base/assert.ts';
import { SeededRandom } from '../../src/base/random.ts';

/** What is left to chance, from a seed. */
export class SeededChoice {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** From `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return this.#random.integer({ min, max: max + 1 });
  }

  /** From `min` up to `max`, small ones as likely as their logarithms are. */
  logarithmic(min: number, max: number): number {
    return Math.round(min * (max / min) ** this.fraction());
  }

  /** 0 up to 1. */
  fraction(): number {
    return this.#random.integer({ min: 0, max: 1_000_000 }) / 1_000_000;
  }

  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  one<T>(choices: readonly T[]): T {
    return present(choices[this.integer(0, choices.length - 1)], 'choice');
  }

  /** So many, in a random order. */
  some<T>(choices: readonly T[], count: number): readonly T[] {
    const rest = [...choices];
    const chosen: T[] = [];
    while (chosen.length < count && rest.length > 0)
      chosen.push(...rest.splice(this.integer(0, rest.length - 1), 1));
    return chosen;
  }

  weighted<T extends { readonly weight: number }>(choices: readonly T[]): T {
    let rest = this.fraction() * choices.reduce((sum, { weight }) => sum + weight, 0);
    for (const choice of choices) {
      rest -= choice.weight;
      if (rest < 0) return choice;
    }
    return this.one(choices);
  }
}
