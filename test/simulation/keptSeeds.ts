/** A run that failed once: run first, for ever. */
export interface KeptSeed {
  readonly seed: number;
  /** What it found, and where that was mended. */
  readonly found: string;
}

export const KEPT_SEEDS: readonly KeptSeed[] = [];
