import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/logger.ts';
import { RareLines } from '../../base/rareLines.ts';
import type { DropReason } from '../raft/options.ts';

/** What the port itself turns away: connections, streams, frames, and messages that cannot be read. */
export type PortRefusal =
  | 'handshake'
  | 'foreignCertificate'
  | 'strangersFull'
  | 'connectionsFull'
  | 'unprovedFull'
  | 'nodeFull'
  | 'silentConnection'
  | 'silentStream'
  | 'notMember'
  | 'notProved'
  | 'proofUnderWay'
  | 'expiredCertificate'
  | 'oversizedRequest'
  | 'malformedRequest'
  | 'oversizedFrame'
  | 'malformedFrame'
  | 'wrongSender'
  | 'wrongReceiver'
  | 'impossibleNumber'
  | 'malformedEntries'
  | 'malformedMessage'
  | 'snapshotsFull';

/**
 * Why something from a peer was turned away: by the port, or by the replication core before it believed any of it.
 * A closed list, so that a flood makes no flood of counters.
 */
export type RefusalReason = PortRefusal | DropReason;

/**
 * Counts what was turned away, and logs it: each reason of each peer at most once in LIMITS.rareLineIntervalMs,
 * with the count of the reason so far.
 */
export class Refusals {
  readonly #counts = new Map<RefusalReason, number>();
  readonly #lines: RareLines;
  readonly #logger: Logger;

  constructor(options: { readonly logger: Logger; readonly clock: Clock }) {
    this.#logger = options.logger;
    this.#lines = new RareLines(options.clock);
  }

  get counts(): ReadonlyMap<RefusalReason, number> {
    return this.#counts;
  }

  /** `peerId`: who has proved to be that node; whoever has proved nothing shares one line a minute with all others. */
  count(reason: RefusalReason, fields: { readonly peerId?: string; readonly [name: string]: unknown }): void {
    const count = (this.#counts.get(reason) ?? 0) + 1;
    this.#counts.set(reason, count);
    if (this.#lines.isDue(`${reason} ${fields.peerId ?? ''}`)) {
      this.#logger.warn({ ...fields, reason, count }, 'peer port: refused');
    }
  }
}
