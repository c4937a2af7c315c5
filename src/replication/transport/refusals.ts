import type { Logger } from '../../base/logger.ts';

/** Why the peer port turned something away. A closed list, so that a flood makes no flood of counters. */
export type RefusalReason =
  | 'handshake'
  | 'strangersFull'
  | 'connectionsFull'
  | 'notMember'
  | 'malformedFrame'
  | 'malformedMessage'
  | 'snapshotsFull';

/** Counts what was turned away; logs the first of each reason and then each time the count doubles. */
export class Refusals {
  readonly #counts = new Map<RefusalReason, number>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get counts(): ReadonlyMap<RefusalReason, number> {
    return this.#counts;
  }

  count(reason: RefusalReason, fields: object): void {
    const count = (this.#counts.get(reason) ?? 0) + 1;
    this.#counts.set(reason, count);
    if ((count & (count - 1)) === 0) this.#logger.warn({ ...fields, reason, count }, 'peer port: refused');
  }
}
