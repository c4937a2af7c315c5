import { HoldfastError } from '../base/errors.ts';

/** What cannot be taken back is done only when it is asked for twice. @throws HoldfastError USAGE that says what would happen */
export function assertConfirmed({ yes }: { readonly yes: boolean }, what: string): void {
  if (yes) return;
  throw new HoldfastError('USAGE', what, { field: 'yes', hint: 'if that is what you want, add --yes' });
}
