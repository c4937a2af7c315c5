import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { positionAt, type RecordVersion } from './keyIndex.ts';
import { compacted } from './reads.ts';
import type { Records } from './records.ts';
import type { WatchHandle, WatchQuery, WatchSink } from './types.ts';
import { Watch } from './watch.ts';

/** Runs something soon, in a turn of the event loop of its own. */
export type Schedule = (run: () => void) => void;

/** Events looked at in one turn of the event loop, over all watches. */
const TURN_EVENTS = 4 * LIMITS.watchScanEventsMax;

/**
 * I33: what a watch is told is filtered, ordered, without gap or repetition, and never cuts a revision in two.
 * A watch that begins in the past reads history in slices; once it has come to the newest revision it is told of
 * what is applied, in the same turn, so that nothing falls between the two.
 */
export class WatchHub {
  #records: Records;
  readonly #schedule: Schedule;
  readonly #watches = new Set<Watch>();
  readonly #byKey = new Map<string, Set<Watch>>();
  readonly #byRange = new Set<Watch>();
  /** Watches with something to do. */
  readonly #ready = new Set<Watch>();
  #scheduled = false;
  /** Counts how often it was looked at what concerns watches: rights stay as they are for that time. */
  #looks = 0;

  constructor(records: Records, schedule: Schedule = (run) => void setImmediate(run)) {
    this.#records = records;
    this.#schedule = schedule;
  }

  get count(): number {
    return this.#watches.size;
  }

  /** @throws HoldfastError COMPACTED, OVERLOADED */
  subscribe(query: WatchQuery, sink: WatchSink): WatchHandle {
    const { revision, compactedRevision } = this.#records;
    if (query.startRevision > 0 && query.startRevision <= compactedRevision) {
      throw compacted(this.#records, query.startRevision);
    }
    if (this.#watches.size >= LIMITS.watchesPerNodeMax) {
      throw new HoldfastError('OVERLOADED', `this node has ${LIMITS.watchesPerNodeMax} watches already`, {
        hint: 'Watch at another node, or one prefix in place of many keys.',
      });
    }
    const watch = new Watch({ query, sink, revision });
    this.#add(watch);
    if (watch.state === 'catchingUp') this.#makeReady(watch);
    return {
      startedAfterRevision: watch.next - 1,
      resume: () => {
        watch.resume();
        if (watch.state !== 'ended') this.#makeReady(watch);
      },
      close: () => this.#remove(watch),
    };
  }

  /** What an entry has written, in order. Receivers are called later, unless a buffer has to be relieved. */
  publish(written: readonly RecordVersion[]): void {
    if (this.#watches.size === 0) return;
    this.#looks += 1;
    const look = this.#looks;
    let overfull: Watch[] = [];
    let revision = 0;
    for (const version of written) {
      if (version.number !== revision) {
        for (const watch of overfull) this.#relieve(watch);
        overfull = [];
        revision = version.number;
      }
      for (const watch of this.#watchesOf(version)) {
        if (watch.state !== 'live' || !watch.concerns(version, look)) continue;
        watch.push(version);
        this.#makeReady(watch);
        if (watch.isOverfull) overfull.push(watch);
      }
    }
    for (const watch of overfull) this.#relieve(watch);
  }

  /** To be called every LIMITS.watchProgressIntervalMs: watches that asked for it hear how far they are. */
  progressTick(): void {
    const { revision } = this.#records;
    for (const watch of this.#watches) {
      const idle = watch.state === 'live' && !watch.paused && watch.buffered === 0 && !watch.told;
      if (idle && watch.query.progress && revision >= watch.next - 1) watch.tellProgress(revision);
      watch.told = false;
    }
  }

  /** The state is replaced as a whole: every watch ends, and can begin again where it was. */
  restart(records: Records): void {
    this.endAll('WATCH_BEHIND', 'the state of this node was replaced');
    this.#records = records;
  }

  endAll(code: 'WATCH_BEHIND' | 'UNAVAILABLE', why: string): void {
    for (const watch of this.#watches) this.#cancel(watch, code, why);
  }

  *#watchesOf(version: RecordVersion): Iterable<Watch> {
    const exact = this.#byKey.get(version.entry.key);
    if (exact !== undefined) yield* exact;
    yield* this.#byRange;
  }

  #makeReady(watch: Watch): void {
    this.#ready.add(watch);
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#schedule(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    let budget = TURN_EVENTS;
    for (const watch of this.#ready) {
      if (budget <= 0) break;
      this.#ready.delete(watch);
      budget -= 1 + this.#serve(watch);
    }
    const [waiting] = this.#ready;
    if (waiting !== undefined) this.#makeReady(waiting);
  }

  /** Lets a watch go on. Returns how many events were looked at. */
  #serve(watch: Watch): number {
    if (watch.state === 'ended' || watch.paused) return 0;
    if (watch.sink.isFull?.() === true) {
      watch.paused = true;
      return 0;
    }
    if (watch.isCompacted(this.#records)) {
      this.#end(watch, { error: compacted(this.#records, watch.next), resumeRevision: 0 });
      return 0;
    }
    try {
      return watch.state === 'live' ? watch.flush(this.#records) : this.#catchUp(watch);
    } catch (thrown) {
      // The disk has failed and the node is stopping: this watch can begin again elsewhere.
      if (!(thrown instanceof HoldfastError)) throw thrown;
      this.#end(watch, { error: thrown, resumeRevision: watch.resumeRevision(this.#records) });
      return 0;
    }
  }

  #catchUp(watch: Watch): number {
    const slice = this.#historySlice(watch);
    this.#looks += 1;
    for (const version of slice) if (watch.concerns(version, this.#looks)) watch.push(version);
    // Where it stops must not tell of a key that may not be seen either: of one key all is of concern, or nothing.
    const isHidden = watch.exact && watch.buffered === 0;
    watch.flush(this.#records);
    // What a full receiver has not taken is read again when it resumes.
    const all = watch.buffered === 0;
    watch.discard();
    const { revision } = this.#records;
    if (all) this.#caughtUpTo(watch, isHidden ? revision : (slice.at(-1)?.number ?? revision));
    return slice.length;
  }

  #caughtUpTo(watch: Watch, revision: number): void {
    if (watch.state === 'ended') return;
    watch.next = Math.max(watch.next, revision + 1);
    if (watch.next > this.#records.revision) watch.state = 'live';
    else this.#makeReady(watch);
  }

  #historySlice(watch: Watch): readonly RecordVersion[] {
    const most = LIMITS.watchScanEventsMax;
    if (!watch.exact) return this.#records.events.slice(watch.next, most);
    const entry = this.#records.keys.get(watch.query.start);
    if (entry === undefined) return [];
    const before = positionAt(entry, watch.next - 1);
    const start = before < 0 ? entry.head : before + 1;
    return entry.versions.slice(start, start + most).filter((version) => version !== undefined);
  }

  /** A buffer over its limits is told at once; where that does not help the receiver is too slow. */
  #relieve(watch: Watch): void {
    this.#serve(watch);
    if (watch.state !== 'ended' && watch.isOverfull) {
      this.#cancel(watch, 'WATCH_BEHIND', 'the receiver did not keep up');
    }
  }

  #cancel(watch: Watch, code: 'WATCH_BEHIND' | 'UNAVAILABLE', why: string): void {
    const resumeRevision = watch.resumeRevision(this.#records);
    const message = `the watch ended: ${why}; it can begin again at revision ${resumeRevision}`;
    this.#end(watch, { error: new HoldfastError(code, message), resumeRevision });
  }

  #end(watch: Watch, { error, resumeRevision }: { error: HoldfastError; resumeRevision: number }): void {
    this.#remove(watch);
    watch.sink.cancelled(error, resumeRevision);
  }

  #add(watch: Watch): void {
    this.#watches.add(watch);
    if (!watch.exact) {
      this.#byRange.add(watch);
      return;
    }
    const others = this.#byKey.get(watch.query.start);
    if (others === undefined) this.#byKey.set(watch.query.start, new Set([watch]));
    else others.add(watch);
  }

  #remove(watch: Watch): void {
    watch.state = 'ended';
    watch.discard();
    this.#watches.delete(watch);
    this.#ready.delete(watch);
    this.#byRange.delete(watch);
    const others = this.#byKey.get(watch.query.start);
    if (watch.exact && others?.delete(watch) === true && others.size === 0)
      this.#byKey.delete(watch.query.start);
  }
}
