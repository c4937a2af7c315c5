import type { Clock } from '../../base/clock.ts';
import { HoldfastError } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { printableJson } from '../../base/printable.ts';
import type { AlertWebhook } from '../../proto/audit.ts';
import { exportFields } from '../exportFormat.ts';
import type { ChainedRecord } from '../record/chain.ts';
import { webhookSignature } from '../webhookSignature.ts';

/**
 * Resolves once the receiver has it.
 * @throws HoldfastError UNAVAILABLE: it may have it, or not; INVALID_ARGUMENT: it does not want this one, and says so each time
 */
export type AlertDelivery = (webhook: AlertWebhook, alert: ChainedRecord) => Promise<void>;

/**
 * Posts an alert as JSON, signed: the receiver knows by the signature who sends, and by the sequence what it has had already.
 * Redirects are not followed: what answers is what was named.
 */
export function webhookDelivery({
  clusterId,
  clock,
}: {
  readonly clusterId: string;
  readonly clock: Pick<Clock, 'wallMs'>;
}): AlertDelivery {
  return async ({ url, secret }, alert) => {
    const body = printableJson({ cluster: clusterId, alert: exportFields(alert) });
    const signature = webhookSignature({ key: secret, body: Buffer.from(body), timeMs: clock.wallMs() });
    const { host } = new URL(url);
    let status: number;
    try {
      const answer = await fetch(url, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Holdfast-Signature': signature },
        body,
        redirect: 'manual',
        signal: AbortSignal.timeout(LIMITS.webhookTimeoutMs),
      });
      status = answer.status;
      await answer.body?.cancel();
    } catch (cause) {
      throw refused(`${host} does not answer`, cause);
    }
    if (status >= 200 && status <= 299) return;
    if (status < 400 || status > 499 || OF_THE_MOMENT.has(status)) throw refused(`${host} answers ${status}`);
    throw new HoldfastError('INVALID_ARGUMENT', `${host} answers ${status}`, { field: 'webhook.url' });
  };
}

/** Of 4xx: it says nothing about this alert, but about who asks, how often, or where; that may be mended. */
const OF_THE_MOMENT: ReadonlySet<number> = new Set([401, 403, 404, 407, 408, 421, 425, 429]);

function refused(message: string, cause?: unknown): HoldfastError {
  return new HoldfastError('UNAVAILABLE', message, {
    field: 'webhook.url',
    hint: 'Alerts are delivered as soon as it answers 2xx.',
    cause,
  });
}
