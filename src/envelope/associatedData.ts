import { lengthPrefixed } from '../base/bytes.ts';
import type { StoreId } from '../base/ids.ts';
import { ENVELOPE_VERSION, type KeyId, type Purpose } from './format.ts';
import { type EnvelopePlace, PLACE_BYTES_MAX, writePlace } from './place.ts';

/** What the tag covers besides the body. */
export interface AssociatedFields {
  readonly suite: number;
  readonly keyId: KeyId;
  readonly purpose: Purpose;
  /** Must have no placeProblem. */
  readonly place: EnvelopePlace;
}

interface Prefix {
  readonly suite: number;
  readonly keyId: KeyId;
  readonly bytes: Buffer;
}

/**
 * Builds the associated data of one store's envelopes:
 * length-prefixed format, suite, key id, store id, purpose, place (in this order, u32 lengths).
 * All but the place is the same for thousands of envelopes, so that part is built once and copied.
 */
export class AssociatedData {
  readonly #storeId: StoreId;
  /** The newest of each purpose. */
  readonly #prefixes = new Map<Purpose, Prefix>();
  readonly #scratch: Buffer;

  constructor(storeId: StoreId) {
    this.#storeId = storeId;
    this.#scratch = Buffer.alloc(256 + PLACE_BYTES_MAX);
  }

  /** A view on memory that the next call overwrites: use it before then, and keep none of it. */
  bytes(fields: AssociatedFields): Buffer {
    const prefix = this.#prefix(fields);
    const scratch = this.#scratch;
    scratch.set(prefix, 0);
    const placeLength = writePlace(scratch, fields.place, prefix.length + 4);
    scratch.writeUInt32BE(placeLength, prefix.length);
    return scratch.subarray(0, prefix.length + 4 + placeLength);
  }

  #prefix({ suite, keyId, purpose }: AssociatedFields): Buffer {
    const known = this.#prefixes.get(purpose);
    if (known?.keyId === keyId && known.suite === suite) return known.bytes;
    const bytes = lengthPrefixed([
      Buffer.from(`HFE${String.fromCharCode(ENVELOPE_VERSION)}`, 'latin1'),
      Buffer.from([suite]),
      Buffer.from(keyId, 'hex'),
      Buffer.from(this.#storeId, 'hex'),
      Buffer.from(purpose, 'latin1'),
    ]);
    this.#prefixes.set(purpose, { suite, keyId, bytes });
    return bytes;
  }
}
