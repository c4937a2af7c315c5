import { createHmac } from 'node:crypto';

/**
 * What the `Holdfast-Signature` header says of a body: `t=<seconds since 1970>,v1=<hex>`, the HMAC-SHA256 of the time, a full stop and
 * the body. With the time in it, the receiver may refuse what is old.
 */
export function webhookSignature({
  secret,
  body,
  timeMs,
}: {
  readonly secret: Uint8Array;
  readonly body: string;
  readonly timeMs: number;
}): string {
  const seconds = Math.floor(timeMs / 1_000);
  const code = createHmac('sha256', secret).update(`${seconds}.${body}`, 'utf8').digest('hex');
  return `t=${seconds},v1=${code}`;
}
