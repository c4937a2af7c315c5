/**
 * Whether operations that overlap in time have an order that a sequential model accepts (Wing and Gong 1993, with the
 * memo of Lowe 2016): one is chosen after the other from those that nothing unchosen has returned before; when no
 * choice is left, the last one is taken back.
 */

export interface Interval<Operation> {
  readonly call: number;
  /** Null: the outcome is unknown; it may take effect at any time after the call, or never. */
  readonly ret: number | null;
  readonly operation: Operation;
  /** Where it seems to belong among all others; absent: nobody knows. Equal ranks may come in any order. */
  readonly rank?: number;
}

/**
 *   hint      what has the lowest rank is tried first; the verdict does not depend on it
 *   required  no order is accepted in which a lower rank comes after a higher one
 */
export type RankUse = 'hint' | 'required';

export interface Model<State, Operation> {
  readonly initial: State;
  /** The state after the operation with the answer that it had, or undefined when it cannot have had it. */
  step(state: State, operation: Operation): State | undefined;
  /** Whether the operation, with the answer that it had, changes nothing in whatever state it meets. */
  isRead(operation: Operation): boolean;
  /** Equal for equal states, and only for them. */
  keyOf(state: State): string;
}

export interface Budget {
  /** Steps of the model. */
  readonly steps: number;
  /** Bytes of remembered states, about. */
  readonly memoBytes: number;
}

export const DEFAULT_BUDGET: Budget = { steps: 20_000_000, memoBytes: 1_073_741_824 };

/** Indexes are those of the operations given. */
export type SearchResult =
  | { readonly verdict: 'ok'; readonly order: readonly number[]; readonly steps: number }
  | {
      readonly verdict: 'illegal';
      /** The most operations that could be put in order. */
      readonly longest: readonly number[];
      /** What could not be passed after those: all that were open then, the one that returned first at the front. */
      readonly stuck: readonly number[];
      readonly steps: number;
    }
  | { readonly verdict: 'unknown'; readonly reason: string; readonly steps: number };

/** A call or a return in the list of what is not ordered yet. */
interface Entry {
  /** Position by call time. */
  readonly id: number;
  readonly isCall: boolean;
  /** The return of a call that has one. */
  match: Entry | null;
  previous: Entry | null;
  next: Entry | null;
}

interface Choice<State> {
  readonly entry: Entry;
  readonly before: State;
  readonly keyBefore: string;
  readonly highestBefore: number;
  /** It reads, and fits here: putting it anywhere later could not help. */
  readonly isFree: boolean;
}

const ENTRY_OVERHEAD_BYTES = 48;

export function search<State, Operation>(
  model: Model<State, Operation>,
  intervals: readonly Interval<Operation>[],
  options: { readonly budget?: Budget; readonly ranks?: RankUse } = {},
): SearchResult {
  const { budget = DEFAULT_BUDGET, ranks = 'hint' } = options;
  return new Search(model, intervals, { budget, ranks }).run();
}

class Search<State, Operation> {
  readonly #model: Model<State, Operation>;
  readonly #budget: Budget;
  /** By call time; `#index` has their places in what was given. */
  readonly #sorted: readonly Interval<Operation>[];
  readonly #index: readonly number[];
  readonly #head: Entry = { id: -1, isCall: true, match: null, previous: null, next: null };
  readonly #memo = new Set<string>();
  readonly #chosen: Choice<State>[] = [];
  readonly #ranks: Ranks;
  #memoBytes = 0;
  #steps = 0;
  #state: State;
  #key: string;
  /** The highest id chosen. */
  #highest = -1;
  /** Operations with a return that are not chosen. */
  #left = 0;
  #longest: readonly number[] = [];
  #stuck: readonly number[] = [];

  constructor(
    model: Model<State, Operation>,
    intervals: readonly Interval<Operation>[],
    options: { readonly budget: Budget; readonly ranks: RankUse },
  ) {
    this.#model = model;
    this.#budget = options.budget;
    this.#state = model.initial;
    this.#key = model.keyOf(model.initial);
    const order = intervals.map((interval, i) => ({ interval, i }));
    order.sort((a, b) => a.interval.call - b.interval.call || a.i - b.i);
    this.#sorted = order.map(({ interval }) => interval);
    this.#index = order.map(({ i }) => i);
    this.#ranks = new Ranks(options.ranks === 'required' ? this.#sorted : []);
    this.#link();
  }

  run(): SearchResult {
    let next = this.#firstChoice();
    while (this.#left > 0) {
      if (this.#steps >= this.#budget.steps) return this.#outOf(`${this.#budget.steps} steps`);
      if (this.#memoBytes > this.#budget.memoBytes) return this.#outOf(`${this.#budget.memoBytes} bytes`);
      if (next !== null) {
        next = this.#choose(next) ? this.#firstChoice() : this.#choiceAfter(next);
        continue;
      }
      this.#noteStuck();
      const taken = this.#takeBack();
      if (taken === null) {
        return { verdict: 'illegal', longest: this.#longest, stuck: this.#stuck, steps: this.#steps };
      }
      next = taken;
    }
    return { verdict: 'ok', order: this.#order(), steps: this.#steps };
  }

  #outOf(what: string): SearchResult {
    return { verdict: 'unknown', reason: `no verdict within ${what}`, steps: this.#steps };
  }

  #order(): readonly number[] {
    return this.#chosen.map(({ entry }) => this.#index[entry.id] ?? -1);
  }

  #link(): void {
    const events = this.#sorted.flatMap(({ call, ret }, id) => {
      const events = [{ time: call, isCall: true, id }];
      if (ret !== null) events.push({ time: ret, isCall: false, id });
      return events;
    });
    // What is called at the very time of a return overlaps with it.
    events.sort((a, b) => a.time - b.time || Number(b.isCall) - Number(a.isCall) || a.id - b.id);
    const calls: Entry[] = [];
    let tail = this.#head;
    for (const { id, isCall } of events) {
      const entry: Entry = { id, isCall, match: null, previous: tail, next: null };
      tail.next = entry;
      tail = entry;
      const call = calls[id];
      if (isCall) calls[id] = entry;
      else if (call !== undefined) call.match = entry;
      if (!isCall) this.#left += 1;
    }
  }

  #firstChoice(): Entry | null {
    return this.#choiceAfter(null);
  }

  /**
   * The next to try of all open calls, when `tried` was of no use: those with a return first, since an unknown one is
   * brought in only where nothing else helps; among them by rank, and by call.
   */
  #choiceAfter(tried: Entry | null): Entry | null {
    let best: Entry | null = null;
    for (let entry = this.#head.next; entry?.isCall === true; entry = entry.next) {
      const isLater = tried === null || this.#compare(tried, entry) < 0;
      if (isLater && (best === null || this.#compare(entry, best) < 0)) best = entry;
    }
    return best;
  }

  #compare(a: Entry, b: Entry): number {
    const unknown = Number(a.match === null) - Number(b.match === null);
    if (unknown !== 0) return unknown;
    const [rankA = Number.MAX_VALUE, rankB = Number.MAX_VALUE] = [
      this.#sorted[a.id]?.rank,
      this.#sorted[b.id]?.rank,
    ];
    return rankA - rankB || a.id - b.id;
  }

  #choose(entry: Entry): boolean {
    const interval = this.#sorted[entry.id] as Interval<Operation>;
    this.#steps += 1;
    if (!this.#ranks.allow(entry.id)) return false;
    const before = this.#state;
    const after = this.#model.step(before, interval.operation);
    if (after === undefined) return false;
    const key = this.#model.keyOf(after);
    const highestBefore = this.#highest;
    this.#lift(entry);
    this.#highest = Math.max(highestBefore, entry.id);
    if (!this.#isNew(key)) {
      this.#highest = highestBefore;
      this.#unlift(entry);
      return false;
    }
    const isFree = key === this.#key && this.#model.isRead(interval.operation);
    this.#chosen.push({ entry, before, keyBefore: this.#key, highestBefore, isFree });
    this.#state = after;
    this.#key = key;
    return true;
  }

  /** Remembers what is chosen together with the state that it leads to. */
  #isNew(stateKey: string): boolean {
    // All up to the highest are chosen, except these.
    let holes = '';
    for (let entry = this.#head.next; entry !== null && entry.id <= this.#highest; entry = entry.next) {
      if (entry.isCall) holes += `${entry.id},`;
      // Returns lie later than their calls: one that is not chosen ends what can be ordered from here.
      else break;
    }
    const key = `${this.#highest}|${holes}|${stateKey}`;
    if (this.#memo.has(key)) return false;
    this.#memo.add(key);
    this.#memoBytes += key.length + ENTRY_OVERHEAD_BYTES;
    return true;
  }

  /** Takes back the last choices, down to one that has an alternative; null when there is none. */
  #takeBack(): Entry | null {
    for (;;) {
      const choice = this.#chosen.pop();
      if (choice === undefined) return null;
      this.#state = choice.before;
      this.#key = choice.keyBefore;
      this.#highest = choice.highestBefore;
      this.#unlift(choice.entry);
      if (choice.isFree) continue;
      const next = this.#choiceAfter(choice.entry);
      if (next !== null) return next;
    }
  }

  #noteStuck(): void {
    if (this.#stuck.length > 0 && this.#chosen.length <= this.#longest.length) return;
    this.#longest = this.#order();
    const open: number[] = [];
    let first = -1;
    for (let entry = this.#head.next; entry !== null; entry = entry.next) {
      if (!entry.isCall) {
        first = entry.id;
        break;
      }
      open.push(entry.id);
    }
    this.#stuck = [first, ...open.filter((id) => id !== first)].map((id) => this.#index[id] ?? -1);
  }

  #lift(call: Entry): void {
    unlink(call);
    this.#ranks.take(call.id);
    if (call.match === null) return;
    unlink(call.match);
    this.#left -= 1;
  }

  #unlift(call: Entry): void {
    if (call.match !== null) {
      relink(call.match);
      this.#left += 1;
    }
    relink(call);
    this.#ranks.putBack(call.id);
  }
}

/** The ranks of what is not chosen: where they are required, only the lowest may be. */
class Ranks {
  readonly #ranks: readonly (number | undefined)[];
  /** Ids with a rank, the lowest first, and where each one is. */
  readonly #order: readonly number[];
  readonly #places = new Map<number, number>();
  readonly #taken = new Set<number>();
  #lowest = 0;

  constructor(intervals: readonly { readonly rank?: number }[]) {
    this.#ranks = intervals.map(({ rank }) => rank);
    this.#order = [...intervals.keys()]
      .filter((id) => this.#ranks[id] !== undefined)
      .sort((a, b) => (this.#ranks[a] ?? 0) - (this.#ranks[b] ?? 0));
    for (const [place, id] of this.#order.entries()) this.#places.set(id, place);
  }

  allow(id: number): boolean {
    const rank = this.#ranks[id];
    const lowest = this.#order[this.#lowest];
    return rank === undefined || lowest === undefined || rank <= (this.#ranks[lowest] ?? rank);
  }

  take(id: number): void {
    if (!this.#places.has(id)) return;
    this.#taken.add(id);
    while (this.#taken.has(this.#order[this.#lowest] ?? -1)) this.#lowest += 1;
  }

  putBack(id: number): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#taken.delete(id);
    this.#lowest = Math.min(this.#lowest, place);
  }
}

function unlink(entry: Entry): void {
  if (entry.previous !== null) entry.previous.next = entry.next;
  if (entry.next !== null) entry.next.previous = entry.previous;
}

function relink(entry: Entry): void {
  if (entry.previous !== null) entry.previous.next = entry;
  if (entry.next !== null) entry.next.previous = entry;
}
