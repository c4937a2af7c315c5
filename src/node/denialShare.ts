import { addressGroup, hostOf } from '../base/address.ts';
import type { AuditRecord } from '../proto/audit.ts';

export interface ShareBounds {
  /** Records of one share that wait, and that may be written at once. */
  readonly shareMax: number;
  readonly sharePerMinute: number;
  /** What the record says that counts the others of a share. */
  readonly foldedDetail: string;
}

/** What is taken out of a share to be written. */
export interface Portion {
  readonly records: readonly AuditRecord[];
  /** Counts the others; null: there are none. */
  readonly rest: AuditRecord | null;
}

const MINUTE_MS = 60_000;
const NOTHING = Buffer.alloc(0);

/** Denials of one asker that wait, like ones as one with a count, and how many of his may be recorded one by one. */
export class DenialShare {
  readonly #bounds: ShareBounds;
  readonly #waiting = new Map<string, AuditRecord>();
  #rest: AuditRecord | null = null;
  /** Records that may be written now; more come with time. */
  #budget: number;

  constructor(bounds: ShareBounds) {
    this.#bounds = bounds;
    this.#budget = bounds.shareMax;
  }

  /** Records that wait one by one. */
  get named(): number {
    return this.#waiting.size;
  }

  /** Records that it would take to write all. */
  get size(): number {
    return this.#waiting.size + (this.#rest === null ? 0 : 1);
  }

  get budget(): number {
    return this.#budget;
  }

  /** As a new one would be. */
  get isForgotten(): boolean {
    return this.size === 0 && this.#budget >= this.#bounds.shareMax;
  }

  get isFull(): boolean {
    return this.named >= this.#bounds.shareMax;
  }

  /** Counts a record with one that is alike. False: none waits. */
  countsWithLike(record: AuditRecord): boolean {
    const key = keyOf(record);
    const like = this.#waiting.get(key);
    if (like === undefined) return false;
    this.#waiting.set(key, { ...record, count: record.count + like.count });
    return true;
  }

  /** One that no other is alike. */
  add(record: AuditRecord): void {
    this.#waiting.set(keyOf(record), record);
  }

  /** To be counted with others, and not named. */
  fold(record: AuditRecord): void {
    this.#rest = this.#rest === null ? this.#unnamed(record) : together(this.#rest, record);
  }

  /** The latest one gives up its place. */
  foldLatest(): void {
    const latest = [...this.#waiting].at(-1);
    if (latest === undefined) return;
    this.#waiting.delete(latest[0]);
    this.fold(latest[1]);
  }

  fill(passedMs: number): void {
    const { shareMax, sharePerMinute } = this.#bounds;
    this.#budget = Math.min(this.#budget + (passedMs / MINUTE_MS) * sharePerMinute, shareMax);
  }

  /** So many stand: what others had left too. */
  spend(records: number): void {
    this.#budget = Math.max(0, this.#budget - records);
  }

  /** All that waits, as so many records at most. */
  take(most: number): Portion {
    const isAll = this.size <= most;
    const named = isAll ? this.named : most - 1;
    const all = [...this.#waiting.values()];
    for (const record of all.slice(named)) this.fold(record);
    const portion = { records: all.slice(0, named), rest: this.#rest };
    this.#waiting.clear();
    this.#rest = null;
    return portion;
  }

  #unnamed(record: AuditRecord): AuditRecord {
    const nothing = { session: '', resource: NOTHING, resourceEnd: NOTHING, requestId: '', revision: 0 };
    return { ...record, ...nothing, action: 'access.denied', detail: this.#bounds.foldedDetail };
  }
}

/** Says of whom, of where and why it was denied as far as that is the same. */
function together(one: AuditRecord, other: AuditRecord): AuditRecord {
  const isSamePrincipal = one.principalKind === other.principalKind && one.principal === other.principal;
  return {
    ...one,
    principalKind: isSamePrincipal ? one.principalKind : '',
    principal: isSamePrincipal ? one.principal : '',
    address: addressOf(one.address, other.address),
    result: one.result === other.result ? one.result : 'PERMISSION_DENIED',
    count: one.count + other.count,
  };
}

/** Of different hosts never one of them: nobody stands in a record for his neighbour. */
function addressOf(one: string, other: string): string {
  if (hostOf(one) === hostOf(other)) return one;
  const group = addressGroup(one);
  return group === addressGroup(other) ? group : '';
}

/** What is alike has the same; the port of an address says nothing. */
function keyOf(record: AuditRecord): string {
  const { principalKind, principal, session, address, action, resource, result, detail } = record;
  const name = Buffer.from(resource).toString('latin1');
  return [principalKind, principal, session, hostOf(address), action, name, result, detail].join('\n');
}
