import { LIMITS } from '../base/limits.ts';
import { inRange, keyAfter } from '../command/keys.ts';
import { EVENT_TYPE, type WatchEvent } from '../proto/kv.ts';
import { type RecordVersion, versionBefore } from './keyIndex.ts';
import type { Records } from './records.ts';
import type { WatchQuery, WatchSink } from './types.ts';

/** Whether a name may be seen. */
type Sees = (key: string) => boolean;

/**
 * One watch. `catchingUp`: it reads history from `next` on; `live`: it is told of what is applied; `ended`: its
 * sink is never called again.
 */
export class Watch {
  readonly query: WatchQuery;
  readonly sink: WatchSink;
  /** Whether it watches exactly the key `query.start`. */
  readonly exact: boolean;
  state: 'catchingUp' | 'live' | 'ended';
  /** Everything below was told, or is of no concern. Invariant: only moves up. */
  next: number;
  /** The receiver is full and has not resumed. */
  paused = false;
  /** Whether something was told since the last progress tick. */
  told = false;
  #buffer: RecordVersion[] = [];
  #bufferBytes = 0;
  #resumes = 0;
  /** What could be seen when that was last asked. */
  #sight: { readonly time: number; readonly sees: Sees | null } | null = null;

  constructor(options: { query: WatchQuery; sink: WatchSink; revision: number }) {
    this.query = options.query;
    this.sink = options.sink;
    this.exact = options.query.end === keyAfter(options.query.start);
    this.next = options.query.startRevision === 0 ? options.revision + 1 : options.query.startRevision;
    this.state = this.next > options.revision ? 'live' : 'catchingUp';
  }

  /**
   * Whether a version is to be told. What may not be seen concerns a watch as little as what lies outside of its range: else how
   * far it is would tell of it. `time`: another number asks anew what may be seen.
   */
  concerns({ number, entry: { key } }: RecordVersion, time: number): boolean {
    if (number < this.next || !inRange(key, this.query)) return false;
    if (this.#sight?.time !== time) this.#sight = { time, sees: this.query.visible?.() ?? null };
    const { sees } = this.#sight;
    return sees === null || sees(key);
  }

  push(version: RecordVersion): void {
    this.#buffer.push(version);
    this.#bufferBytes += this.#cost(version);
  }

  get buffered(): number {
    return this.#buffer.length;
  }

  get isOverfull(): boolean {
    return (
      this.#buffer.length > LIMITS.watchBufferEventsMax || this.#bufferBytes > LIMITS.watchBufferBytesMax
    );
  }

  /** Where a watch begins again that is to miss nothing and repeat nothing. */
  resumeRevision(records: Records): number {
    const first = this.#buffer[0];
    if (first !== undefined) return first.number;
    return this.state === 'live' ? Math.max(this.next, records.revision + 1) : this.next;
  }

  /** Whether what waits to be told is no longer kept. */
  isCompacted(records: Records): boolean {
    const first = this.state === 'catchingUp' ? this.next : this.#buffer[0]?.number;
    return first !== undefined && first <= records.compactedRevision;
  }

  /** Tells what is buffered, whole revisions at a time, until the receiver is full. Returns how many events. */
  flush(records: Records): number {
    let told = 0;
    while (this.#buffer.length > told && !this.paused && this.state !== 'ended') {
      const end = this.#deliveryEnd(told);
      this.#deliver(records, this.#buffer.slice(told, end));
      told = end;
    }
    for (const version of this.#buffer.splice(0, told)) this.#bufferBytes -= this.#cost(version);
    return told;
  }

  /** Drops what is buffered: it will be read from history again. */
  discard(): void {
    this.#buffer = [];
    this.#bufferBytes = 0;
  }

  /** Tells that everything up to here is told. */
  tellProgress(revision: number): void {
    this.next = Math.max(this.next, revision + 1);
    this.#call(revision, []);
  }

  resume(): void {
    this.#resumes += 1;
    this.paused = false;
  }

  /** After the last version that goes into one delivery: whole revisions, one at least. */
  #deliveryEnd(start: number): number {
    let end = start;
    let bytes = 0;
    while (end < this.#buffer.length) {
      const revision = this.#buffer[end]?.number;
      const from = end;
      while (end < this.#buffer.length && this.#buffer[end]?.number === revision) {
        const version = this.#buffer[end];
        bytes += version === undefined ? 0 : this.#cost(version);
        end += 1;
      }
      if (bytes > LIMITS.watchDeliveryBytes) return from > start ? from : end;
    }
    return end;
  }

  #deliver(records: Records, versions: readonly RecordVersion[]): void {
    const sees = this.query.visible?.() ?? null;
    const told = sees ? versions.filter(({ entry }) => sees(entry.key)) : versions;
    this.next = (versions.at(-1)?.number ?? 0) + 1;
    if (told.length === 0) return;
    this.#call(
      told.at(-1)?.number ?? 0,
      told.map((version) => this.#event(records, version)),
    );
  }

  #call(revision: number, events: readonly WatchEvent[]): void {
    this.told = true;
    const resumes = this.#resumes;
    // A receiver may be full and resume within the call.
    if (!this.sink.deliver({ revision, events }) && this.#resumes === resumes) this.paused = true;
  }

  #event(records: Records, version: RecordVersion): WatchEvent {
    const type = version.deleted ? EVENT_TYPE.DELETE : EVENT_TYPE.PUT;
    const withheld = this.query.withheld?.(version.entry.key) ?? false;
    const without = { keysOnly: withheld };
    const item = records.keyValue(version, without);
    const before = this.query.previous ? versionBefore(version) : undefined;
    const told = before === undefined ? {} : { previous: records.keyValue(before, without) };
    return { type, item, ...told, ...(withheld ? { withheld } : {}) };
  }

  #cost(version: RecordVersion): number {
    return version.bytes + (this.query.previous ? (versionBefore(version)?.bytes ?? 0) : 0);
  }
}
