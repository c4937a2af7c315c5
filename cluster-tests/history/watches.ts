import { describeItem } from './describe.ts';
import { sameItem } from './evaluate.ts';
import { EventLog } from './eventLog.ts';
import type {
  Finding,
  History,
  KeyEvent,
  Verdict,
  WatchBatchLine,
  WatchLine,
  WatchOpenLine,
  WatchSelector,
} from './types.ts';

/** The nine promises of a watch. */
export const WATCH_CHECKS = [
  'filtered',
  'ordered',
  'unique',
  'atomic',
  'reliable',
  'resumable',
  'bookmarkable',
  'previous value',
  'versions',
] as const;
export type WatchCheck = (typeof WATCH_CHECKS)[number];

const PROBLEMS_SHOWN = 10;

/**
 * I33: each watch told what its selector names, in the order of revisions, each change once, whole revisions at a time,
 * without a gap from where it began to where it said it was, and each change as it was kept.
 * What the events do not cover makes a verdict unknown.
 */
export function checkWatches(history: Pick<History, 'watches' | 'events' | 'log'>): readonly Finding[] {
  const log = history.log === null ? null : new EventLog(history.events, history.log);
  const byWatch = new Map<number, WatchLine[]>();
  for (const line of history.watches) {
    const lines = byWatch.get(line.watch);
    if (lines === undefined) byWatch.set(line.watch, [line]);
    else lines.push(line);
  }
  return [...byWatch].flatMap(([watch, lines]) => new WatchChecker(watch, lines, log).run());
}

class WatchChecker {
  readonly #subject: string;
  readonly #open: WatchOpenLine | undefined;
  readonly #batches: readonly WatchBatchLine[];
  readonly #log: EventLog | null;
  /** Told are changes after this revision; null: the watch never said where it began. */
  readonly #after: number | null;
  readonly #problems = new Map<WatchCheck, string[]>();
  #isOpenEnded = false;

  constructor(watch: number, lines: readonly WatchLine[], log: EventLog | null) {
    this.#open = lines.find((line) => line.kind === 'open');
    this.#batches = lines.filter((line) => line.kind === 'batch');
    this.#log = log;
    this.#subject = `watch ${watch}${this.#open === undefined ? '' : ` of ${nameOf(this.#open.selector)}`}`;
    const started = lines.find((line) => line.kind === 'started');
    const from = this.#open?.from ?? 0;
    this.#after = from > 0 ? from - 1 : (started?.rev ?? null);
    if (from > 0 && started !== undefined && started.rev !== from - 1) {
      this.#say('resumable', `asked to begin at ${from}, and began after ${started.rev}`);
    }
  }

  run(): readonly Finding[] {
    const open = this.#open;
    if (open === undefined) {
      return [
        { check: 'watch', subject: this.#subject, verdict: 'unknown', detail: 'its opening is not recorded' },
      ];
    }
    this.#checkBatches(open);
    this.#checkGaps(open);
    return WATCH_CHECKS.map((check) => {
      const problems = this.#problems.get(check) ?? [];
      const detail = problems.slice(0, PROBLEMS_SHOWN).join('\n');
      return { check: `watch ${check}`, subject: this.#subject, ...this.#verdict(check, detail) };
    });
  }

  #verdict(check: WatchCheck, detail: string): { readonly verdict: Verdict; readonly detail: string } {
    if (detail !== '') return { verdict: 'illegal', detail };
    const needsEvents =
      check !== 'filtered' && check !== 'ordered' && check !== 'unique' && check !== 'bookmarkable';
    if (this.#isOpenEnded && needsEvents && this.#batches.length > 0) {
      return { verdict: 'unknown', detail: 'the events do not cover what it told' };
    }
    return { verdict: 'ok', detail: '' };
  }

  #say(check: WatchCheck, problem: string): void {
    const problems = this.#problems.get(check);
    if (problems === undefined) this.#problems.set(check, [problem]);
    else problems.push(problem);
  }

  /** What the stream shows by itself, and each change against what was kept. */
  #checkBatches(open: WatchOpenLine): void {
    const told = new Set<string>();
    let reached = this.#after ?? 0;
    let progress = 0;
    for (const batch of this.#batches) {
      let last = reached;
      for (const event of batch.events) {
        const what = `${event.key} at revision ${event.mod}`;
        const id = JSON.stringify([event.key, event.mod]);
        if (told.has(id)) this.#say('unique', `${what} was told before`);
        told.add(id);
        if (!selects(open.selector, event.key)) this.#say('filtered', what);
        if (this.#after !== null && event.mod <= this.#after) {
          this.#say('resumable', `${what}, and it began after ${this.#after}`);
        }
        if (event.mod <= progress) this.#say('bookmarkable', `${what}, after all up to ${progress} was told`);
        if (event.mod < last) this.#say('ordered', `${what}, after revision ${last}`);
        else if (event.mod === reached && reached > (this.#after ?? 0)) {
          this.#say('atomic', `${what}: the batch before ended with that revision`);
        }
        if (event.mod > batch.rev) this.#say('ordered', `${what}, in a batch that goes up to ${batch.rev}`);
        last = Math.max(last, event.mod);
        this.#checkEvent(event, open);
      }
      if (batch.rev < reached) this.#say('ordered', `a batch up to ${batch.rev}, after one up to ${reached}`);
      if (batch.events.length === 0) progress = Math.max(progress, batch.rev);
      reached = Math.max(reached, batch.rev);
      this.#checkWhole(batch, open.selector);
    }
  }

  #checkEvent(event: KeyEvent, open: WatchOpenLine): void {
    const what = `${event.key} at revision ${event.mod}`;
    if (open.previous !== (event.previous !== undefined)) {
      this.#say('previous value', `${what}: the previous value was ${open.previous ? '' : 'not '}asked for`);
    }
    if (this.#log === null || !this.#log.covers(event.key, Math.min(event.mod, this.#log.line.upTo))) {
      this.#isOpenEnded = true;
      return;
    }
    // What happened after the events were read back is nobody's to judge.
    if (event.mod > this.#log.line.upTo) return;
    const kept = this.#log.at(event.mod).find(({ key }) => key === event.key);
    if (kept === undefined) {
      this.#say('reliable', `${what}: no such change was kept`);
      return;
    }
    if (kept.type !== event.type || !sameItem(kept, event)) {
      this.#say(
        'versions',
        `${what}: told ${event.type} ${describeItem(event)}, kept ${kept.type} ${describeItem(kept)}`,
      );
    }
    const before = this.#log.item(event.key, event.mod - 1);
    if (event.previous !== undefined && !sameItem(event.previous, before)) {
      this.#say(
        'previous value',
        `${what}: told ${describeItem(event.previous)}, there was ${describeItem(before)}`,
      );
    }
  }

  /** Each revision that the batch has a part of is there as a whole, and in the order of its changes. */
  #checkWhole(batch: WatchBatchLine, selector: WatchSelector): void {
    const log = this.#log;
    if (log === null) return;
    for (const rev of new Set(batch.events.map(({ mod }) => mod))) {
      const told = batch.events.filter(({ mod }) => mod === rev).map(({ key }) => key);
      if (rev > log.line.upTo) continue;
      const kept = log
        .at(rev)
        .map(({ key }) => key)
        .filter((key) => selects(selector, key));
      const missing = kept.filter((key) => !told.includes(key));
      if (missing.length > 0) this.#say('atomic', `revision ${rev} without ${missing.join(', ')}`);
      else if (told.length === kept.length && told.some((key, i) => key !== kept[i])) {
        this.#say('ordered', `revision ${rev}: told ${told.join(', ')}, changed ${kept.join(', ')}`);
      }
    }
  }

  /** Everything from where it began to where it said it was. */
  #checkGaps(open: WatchOpenLine): void {
    const reached = this.#batches.at(-1)?.rev ?? 0;
    const log = this.#log;
    const place = 'key' in open.selector ? open.selector.key : open.selector.prefix;
    if (log === null || this.#after === null || !log.covers(place, Math.max(this.#after, log.line.after))) {
      this.#isOpenEnded = true;
      return;
    }
    const told = new Set(
      this.#batches.flatMap(({ events }) => events.map(({ key, mod }) => JSON.stringify([key, mod]))),
    );
    const firstTold = this.#batches.find(({ events }) => events.length > 0)?.events[0]?.mod ?? reached;
    for (const rev of log.revisions()) {
      if (rev <= this.#after || rev > reached) continue;
      for (const { key } of log.at(rev)) {
        if (!selects(open.selector, key) || told.has(JSON.stringify([key, rev]))) continue;
        this.#say('reliable', `${key} at revision ${rev} was never told`);
        if (rev < firstTold) this.#say('resumable', `${key} at revision ${rev} is missing at its beginning`);
        if (this.#batches.some((batch) => batch.events.length === 0 && batch.rev >= rev)) {
          this.#say(
            'bookmarkable',
            `all up to ${reached} was said to be told, without ${key} at revision ${rev}`,
          );
        }
      }
    }
  }
}

function nameOf(selector: WatchSelector): string {
  return 'key' in selector ? selector.key : `${selector.prefix}*`;
}

function selects(selector: WatchSelector, key: string): boolean {
  return 'key' in selector ? key === selector.key : key.startsWith(selector.prefix);
}
