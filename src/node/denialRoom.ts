import { hostOf } from '../base/address.ts';
import type { AuditRecord } from '../proto/audit.ts';

export interface DenialBounds {
  /** Records that wait, and that may be written at once. */
  readonly recordsMax: number;
  readonly recordsPerMinute: number;
  /** What the record says that counts the others. */
  readonly foldedDetail: string;
}

/** What is taken out to be written. */
export interface DenialBatch {
  readonly named: readonly AuditRecord[];
  /** Denials beside those. */
  readonly folded: number;
}

const MINUTE_MS = 60_000;

/** Where denials of one sort of askers wait, like ones as one with a count, and how many may be recorded one by one. */
export class DenialRoom {
  readonly #bounds: DenialBounds;
  #waiting = new Map<string, AuditRecord>();
  #folded = 0;
  /** Records that may be written now; more come with time. */
  #budget: number;

  constructor(bounds: DenialBounds) {
    this.#bounds = bounds;
    this.#budget = bounds.recordsMax;
  }

  get foldedDetail(): string {
    return this.#bounds.foldedDetail;
  }

  get isEmpty(): boolean {
    return this.#waiting.size + this.#folded === 0;
  }

  /** Whether something waits of which one at least may be named. */
  get isDue(): boolean {
    return this.#budget >= 1 && !this.isEmpty;
  }

  note(record: AuditRecord): void {
    const key = keyOf(record);
    const known = this.#waiting.get(key);
    if (known === undefined && this.#waiting.size >= this.#bounds.recordsMax) {
      this.#folded += record.count;
      return;
    }
    this.#waiting.set(key, { ...record, count: record.count + (known?.count ?? 0) });
  }

  fill(passedMs: number): void {
    const { recordsMax, recordsPerMinute } = this.#bounds;
    this.#budget = Math.min(this.#budget + (passedMs / MINUTE_MS) * recordsPerMinute, recordsMax);
  }

  /** All that waits: as many as may be written one by one, and how many others there are. */
  take(): DenialBatch {
    const all = [...this.#waiting.values()];
    const most = Math.floor(this.#budget);
    const others = all.slice(most).reduce((sum, { count }) => sum + count, 0);
    const folded = this.#folded + others;
    this.#waiting = new Map();
    this.#folded = 0;
    return { named: all.slice(0, most), folded };
  }

  /** It stands. */
  written({ named }: DenialBatch): void {
    this.#budget -= named.length;
  }

  /** Beside what was noted meanwhile. */
  putBack({ named, folded }: DenialBatch): void {
    this.#folded += folded;
    for (const record of named) this.note(record);
  }
}

/** What is alike has the same; the port of an address says nothing. */
function keyOf({ principalKind, principal, address, action, resource, result, detail }: AuditRecord): string {
  const name = Buffer.from(resource).toString('latin1');
  return [principalKind, principal, hostOf(address), action, name, result, detail].join('\n');
}
