import type { Clock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import type { Logger } from '../../base/logger.ts';
import { RareLines } from '../../base/rareLines.ts';
import type { Fingerprint } from '../../envelope/fingerprint.ts';
import type { HeldKeys } from '../../envelope/heldKeys.ts';

/** The keys of one kind, and which of them this node cannot start without. */
export interface CheckedKeys {
  readonly name: string;
  readonly held: Pick<HeldKeys, 'isStored' | 'path'>;
  readonly inForce: () => Fingerprint;
}

export interface KeyFileCheckParts {
  readonly keys: readonly CheckedKeys[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A running node has its keys in memory, and does not notice when somebody changes their files: the next start would be
 * refused, and with all files changed the cluster would be lost. So this reads them now and then.
 */
export class KeyFileCheck {
  readonly #parts: KeyFileCheckParts;
  readonly #lines: RareLines;
  #warnings: readonly string[] = [];

  constructor(parts: KeyFileCheckParts) {
    this.#parts = parts;
    this.#lines = new RareLines(parts.clock);
  }

  /** For status; one sentence for each file that this node would not start with. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** To be called now and then. */
  look(): void {
    this.#warnings = this.#parts.keys.flatMap((keys) => {
      const wrong = whatIsWrong(keys);
      if (wrong === null) return [];
      return `${wrong}; this node would not start again: put the copy of ${keys.name} ${keys.inForce()} in its place, with mode 0600`;
    });
    for (const warning of this.#warnings)
      if (this.#lines.isDue(warning)) this.#parts.logger.warn({}, warning);
  }
}

function whatIsWrong({ name, held, inForce }: CheckedKeys): string | null {
  try {
    return held.isStored(inForce()) ? null : `${held.path} does not hold the ${name} in force`;
  } catch (thrown) {
    return toHoldfastError(thrown).message;
  }
}
