import { HoldfastError } from '../../src/base/errors.ts';
import type { SealedCodec } from '../../src/envelope/codec.ts';
import { describePlace } from '../../src/envelope/place.ts';
import { type Opened, type SealContext, Sealer } from '../../src/envelope/sealer.ts';

/**
 * A fake: binds values to purpose and place as the real one does, and encrypts nothing. Sealing for real is most of
 * the time of a run, and no path of the replicated log depends on it; one run in some has the real one.
 */
export class PlainSealer extends Sealer {
  override seal<T>(codec: SealedCodec<T>, value: T, context: SealContext): Buffer {
    const label = labelOf(context);
    const body = codec.encode(value);
    const sealed = Buffer.allocUnsafe(1 + label.length + body.length);
    sealed[0] = label.length;
    sealed.write(label, 1, 'latin1');
    sealed.set(body, 1 + label.length);
    return sealed;
  }

  override openDetailed<T>(codec: SealedCodec<T>, envelope: Uint8Array, context: SealContext): Opened<T> {
    const label = labelOf(context);
    const bytes = Buffer.from(envelope.buffer, envelope.byteOffset, envelope.byteLength);
    if (bytes[0] !== label.length || bytes.toString('latin1', 1, 1 + label.length) !== label) {
      throw new HoldfastError('ENVELOPE_UNREADABLE', `the envelope of ${label} does not open`);
    }
    const value = codec.decode(bytes.subarray(1 + label.length));
    return { value, suite: 1, keyId: this.keyring.active.dataKey.id, current: true };
  }

  override isCurrent(): boolean {
    return true;
  }
}

function labelOf({ purpose, place }: SealContext): string {
  return `${purpose} ${describePlace(place)}`;
}
