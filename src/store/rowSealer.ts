import { HoldfastError } from '../base/errors.ts';
import type { Sealer } from '../envelope/sealer.ts';
import { REBUILT_HINT } from './database.ts';
import { describeRow, plaintextOf, type RowPlace } from './row.ts';
import { TABLE_SEALING } from './rowCodecs.ts';

/** Seals rows for disk and opens them again, each bound to its place. */
export class RowSealer {
  readonly #sealer: Sealer;

  constructor(sealer: Sealer) {
    this.#sealer = sealer;
  }

  /** @param encoded place and plaintext */
  seal(place: RowPlace, encoded: Buffer): Buffer {
    return this.#seal(place, plaintextOf(encoded));
  }

  /**
   * The row as it would be sealed now: the same envelope, or a new one.
   * @throws HoldfastError STATE_CORRUPT when it is to be sealed anew and does not open
   */
  current(place: RowPlace, envelope: Buffer): Buffer {
    if (this.#sealer.isCurrent(envelope, TABLE_SEALING[place.table].purpose)) return envelope;
    const plaintext = this.openOrCorrupt(place, envelope);
    try {
      return this.#seal(place, plaintext);
    } finally {
      if (place.table === 's') plaintext.fill(0);
    }
  }

  #seal(place: RowPlace, plaintext: Buffer): Buffer {
    const { codec, purpose } = TABLE_SEALING[place.table];
    return this.#sealer.seal(codec, plaintext, { purpose, place: envelopePlace(place) });
  }

  /** The plaintext. @throws HoldfastError as Sealer.open */
  open(place: RowPlace, envelope: Buffer): Buffer {
    const { codec, purpose } = TABLE_SEALING[place.table];
    return this.#sealer.open(codec, envelope, { purpose, place: envelopePlace(place) });
  }

  /** The plaintext of a row that must be there. @throws HoldfastError STATE_CORRUPT naming table and place */
  openOrCorrupt(place: RowPlace, envelope: Buffer | undefined): Buffer {
    if (envelope === undefined) throw corruptRow(place, 'is missing');
    try {
      return this.open(place, envelope);
    } catch (cause) {
      if (!(cause instanceof HoldfastError)) throw cause;
      throw corruptRow(place, `does not open: ${cause.message}`, cause);
    }
  }
}

export function corruptRow(place: RowPlace, what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('STATE_CORRUPT', `${describeRow(place)} ${what}`, {
    cause,
    hint: REBUILT_HINT,
  });
}

function envelopePlace({ table, number, sub }: RowPlace) {
  return { kind: 'row', table, number, sub } as const;
}
