import { HoldfastError } from '../base/errors.ts';
import type { HoldfastClient } from '../client/index.ts';
import type { Invocation } from './invocation.ts';
import { currentKeyChange, isUnderWay, leadersKeyChange, showKeyChange } from './keyChangeView.ts';
import type { Output } from './output.ts';
import { until } from './until.ts';

const DONE_WITHIN_MS = 24 * 3_600_000;

/** Waits for the end of the change that was begun, if that was asked for, and shows how it is. */
export async function afterwards(
  client: HoldfastClient,
  {
    id,
    wait,
    output,
    invocation,
  }: {
    readonly id: string;
    readonly wait: boolean;
    readonly output: Output;
    readonly invocation: Invocation;
  },
): Promise<void> {
  if (wait) await untilOver(client, { id, interrupted: invocation.interrupted });
  await showCurrent(client, output);
}

/** @throws HoldfastError CANCELLED when it was aborted, or this is interrupted */
async function untilOver(
  client: HoldfastClient,
  { id, interrupted }: { readonly id: string; readonly interrupted: AbortSignal },
): Promise<void> {
  let isSeen = false;
  let isAborted = false;
  await until({ withinMs: DONE_WITHIN_MS, what: 'the end of the change of keys', interrupted }, async () => {
    const change = await leadersKeyChange(client);
    // A leader that has not applied it yet shows the one before; later another one may have begun.
    if (change?.id !== id) return isSeen;
    isSeen = true;
    isAborted = change.phase === 'aborted';
    return !isUnderWay(change);
  });
  if (isAborted) throw new HoldfastError('CANCELLED', 'the change of keys was aborted');
}

export async function showCurrent(client: HoldfastClient, output: Output): Promise<void> {
  const change = await currentKeyChange(client);
  if (change === null) output.result({ kind: null }, ['there was no change of keys yet']);
  else showKeyChange(change, output);
}

/** Gives up what is under way, of that kind. @throws HoldfastError NOT_FOUND, KEY_CHANGE_PENDING once it is in force */
export async function abortKeyChange(
  client: HoldfastClient,
  { kind, output }: { readonly kind: string; readonly output: Output },
): Promise<void> {
  const change = await leadersKeyChange(client);
  if (change === null || !isUnderWay(change) || change.kind !== kind) {
    const found =
      change !== null && isUnderWay(change) ? `a ${change.kind} is under way, and no ${kind}` : '';
    throw new HoldfastError('NOT_FOUND', found || `no ${kind} is under way`, {
      hint: 'holdfast cluster rekey --status shows the last change of keys',
    });
  }
  await client.cluster.abortKeyChange({ id: change.id });
  output.result({ aborted: change.id }, [`the ${kind} is aborted; nothing was sealed by new keys`]);
}
