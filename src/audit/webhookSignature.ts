import { createHmac } from 'node:crypto';
import { asBuffer } from '../base/bytes.ts';

export interface SignedBody {
  readonly key: Uint8Array;
  /** Wall time, milliseconds since 1970. */
  readonly timeMs: number;
  readonly body: Uint8Array;
}

/**
 * The header by which a receiver knows who has sent a body, and when: `t=<unix seconds>,v1=<hex>`, where v1 is HMAC-SHA256 over the
 * seconds as text, a full stop, and the body.
 */
export function webhookSignature({ key, timeMs, body }: SignedBody): string {
  const seconds = Math.floor(timeMs / 1_000);
  const code = createHmac('sha256', asBuffer(key)).update(`${seconds}.`).update(asBuffer(body)).digest('hex');
  return `t=${seconds},v1=${code}`;
}
