import type { AuditRecord } from '../proto/audit.ts';
import { DenialShare, type Portion, type ShareBounds } from './denialShare.ts';

export interface DenialBounds extends ShareBounds {
  /** Records of all shares that wait, and that may be written at once. */
  readonly recordsMax: number;
  readonly recordsPerMinute: number;
  /** Whose share a record takes. */
  readonly shareOf: (record: AuditRecord) => string;
}

/** What is taken out to be written. */
export interface DenialBatch {
  /** By share. */
  readonly portions: ReadonlyMap<string, Portion>;
  /** Denials beside those. */
  readonly folded: number;
}

const MINUTE_MS = 60_000;

/**
 * Where denials of one sort of askers wait, and how many may be recorded one by one. Each asker has a share: he takes no place of
 * another, and what goes beyond his share is counted under his name. Half of what may be written is for who has something of his
 * share left; the other half is for whoever comes. Only where there are more askers than places some are counted without a name.
 */
export class DenialRoom {
  readonly #bounds: DenialBounds;
  /** Those that wait for something, and those that have not got back what they have spent: both are few. */
  readonly #shares = new Map<string, DenialShare>();
  /** Records that wait one by one, of all shares. */
  #named = 0;
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
    return this.#folded === 0 && [...this.#shares.values()].every(({ size }) => size === 0);
  }

  /** Whether something waits that may be written now. */
  get isDue(): boolean {
    return this.#budget >= 1 && (this.#folded > 0 || this.#due().length > 0);
  }

  note(record: AuditRecord): void {
    const key = this.#bounds.shareOf(record);
    const share = this.#shares.get(key);
    if (share?.countsWithLike(record) === true) return;
    if (share?.isFull === true) share.fold(record);
    else if (this.#makesRoom(share?.named ?? 0)) this.#add(this.#share(key), record);
    else if (share !== undefined && share.size > 0) share.fold(record);
    // No share is made of what is not in it: there may be any number of askers.
    else this.#folded += record.count;
  }

  fill(passedMs: number): void {
    const { recordsMax, recordsPerMinute } = this.#bounds;
    this.#budget = Math.min(this.#budget + (passedMs / MINUTE_MS) * recordsPerMinute, recordsMax);
    for (const [key, share] of this.#shares) {
      share.fill(passedMs);
      if (share.isForgotten) this.#shares.delete(key);
    }
  }

  /** As much of what waits as may be written: in turn of each share, first of those that have spent the least. */
  take(): DenialBatch {
    const quotas = this.#quotas();
    const portions = new Map([...quotas].map(([key, quota]) => [key, this.#share(key).take(quota)]));
    this.#countNamed();
    const folded = this.#folded;
    this.#folded = 0;
    return { portions, folded };
  }

  /** As take; what may not be written one by one is counted without a name. */
  takeAll(): DenialBatch {
    const { portions, folded } = this.take();
    const others = [...this.#shares.values()].flatMap((share) => {
      const { records, rest } = share.take(share.size);
      return rest === null ? records : [...records, rest];
    });
    this.#countNamed();
    return { portions, folded: others.reduce((sum, { count }) => sum + count, folded) };
  }

  /** It stands. */
  written({ portions }: DenialBatch): void {
    for (const [key, { records, rest }] of portions) {
      const count = records.length + (rest === null ? 0 : 1);
      this.#share(key).spend(count);
      this.#budget -= count;
    }
  }

  /** Beside what was noted meanwhile. */
  putBack({ portions, folded }: DenialBatch): void {
    this.#folded += folded;
    for (const [key, { records, rest }] of portions) {
      for (const record of records) this.note(record);
      if (rest !== null) this.#share(key).fold(rest);
    }
  }

  #share(key: string): DenialShare {
    const known = this.#shares.get(key);
    if (known !== undefined) return known;
    const share = new DenialShare(this.#bounds);
    this.#shares.set(key, share);
    return share;
  }

  #add(share: DenialShare, record: AuditRecord): void {
    share.add(record);
    this.#named += 1;
  }

  /** Whether there is a place for one more of a share that has so many, be it one that another share gives up. */
  #makesRoom(named: number): boolean {
    if (this.#named < this.#bounds.recordsMax) return true;
    const [largest] = [...this.#shares.values()].toSorted((left, right) => right.named - left.named);
    if (largest === undefined || largest.named <= named + 1) return false;
    largest.foldLatest();
    this.#named -= 1;
    return true;
  }

  #countNamed(): void {
    this.#named = [...this.#shares.values()].reduce((sum, { named }) => sum + named, 0);
  }

  /** Records that may be written beyond shares. */
  get #spare(): number {
    return Math.max(0, Math.floor(this.#budget - this.#bounds.recordsMax / 2));
  }

  /** Who has spent the least comes first. */
  #due(): readonly (readonly [string, DenialShare])[] {
    const isAnybodys = this.#spare >= 1;
    return [...this.#shares]
      .filter(([, { size, budget }]) => size > 0 && (isAnybodys || budget >= 1))
      .toSorted(([, left], [, right]) => right.budget - left.budget);
  }

  /** How many records each share may have written now. */
  #quotas(): ReadonlyMap<string, number> {
    const due = this.#due();
    const within = due.map(([key, { size, budget }]) => ({
      key,
      wanted: Math.min(size, Math.floor(budget)),
    }));
    const quotas = inTurns(within, Math.floor(this.#budget));
    const beyond = due.map(([key, { size }]) => ({ key, wanted: size - (quotas.get(key) ?? 0) }));
    const spent = [...quotas.values()].reduce((sum, quota) => sum + quota, 0);
    for (const [key, quota] of inTurns(beyond, this.#spare - spent))
      quotas.set(key, quota + (quotas.get(key) ?? 0));
    return quotas;
  }
}

interface Wanting {
  readonly key: string;
  readonly wanted: number;
}

/** Hands out so many, one to each in turn until nobody wants more. */
function inTurns(all: readonly Wanting[], count: number): Map<string, number> {
  const given = new Map<string, number>();
  let left = count;
  for (let turn = 1; left > 0; turn += 1) {
    const wanting = all.filter(({ wanted }) => wanted >= turn).slice(0, left);
    if (wanting.length === 0) break;
    for (const { key } of wanting) given.set(key, turn);
    left -= wanting.length;
  }
  return given;
}
