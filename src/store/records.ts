import { assert } from '../base/assert.ts';
import { bytesFromKey, keyFromBytes } from '../command/keys.ts';
import { type KeyValue, recordRowCodec } from '../proto/storage.ts';
import { EventQueue } from './eventQueue.ts';
import { KeyIndex, live, newest, type RecordVersion } from './keyIndex.ts';
import { encodeRecord, type RecordWrite, recordValue } from './recordRow.ts';
import { plaintextOf, type RowPlace, rowDigest } from './row.ts';
import type { RowBytes } from './rowBytes.ts';
import type { RowChanges } from './rowChanges.ts';
import { corruptRow } from './rowSealer.ts';

const EMPTY = Buffer.alloc(0);

/** All versions of all keys: their names and numbers in memory, their values in rows. */
export class Records {
  readonly keys = new KeyIndex();
  readonly events = new EventQueue();
  /** Moved by transactions that change something, by one each. */
  revision = 0;
  /** Below it nothing can be read any more. Moved by compaction. Invariant: at most `revision`. */
  compactedRevision = 0;
  /** Key and value bytes of versions that are not the newest of their key, and of deletions. */
  historyBytes = 0;
  /** Keys that exist now, and their key and value bytes. */
  liveKeys = 0;
  liveBytes = 0;
  readonly #changes: RowChanges;
  readonly #rowBytes: RowBytes;
  /** What the entry being applied has written, for watchers. */
  #written: RecordVersion[] = [];

  constructor({ changes, rowBytes }: { changes: RowChanges; rowBytes: RowBytes }) {
    this.#changes = changes;
    this.#rowBytes = rowBytes;
  }

  put(write: RecordWrite): void {
    const entry = this.keys.entry(write.key);
    const before = live(entry);
    const createRevision = before?.createRevision ?? write.revision;
    this.#write(write, { entry, createRevision, version: (before?.version ?? 0) + 1, deleted: false });
  }

  /** The key must exist. */
  delete(write: Omit<RecordWrite, 'value'>): void {
    const entry = this.keys.entry(write.key);
    assert(live(entry) !== undefined, 'only a key that exists is deleted');
    this.#write({ ...write, value: EMPTY }, { entry, createRevision: 0, version: 0, deleted: true });
  }

  /** Takes a record as it was read from disk, in the order of revision.sub. */
  load(place: RowPlace, encoded: Buffer): void {
    const fields = recordRowCodec.decode(plaintextOf(encoded));
    const last = newest(this.keys.get(keyFromBytes(fields.key)));
    if (fields.key.length === 0 || (last !== undefined && last.number >= place.number)) {
      throw corruptRow(place, 'holds a record that cannot be there');
    }
    const version: RecordVersion = {
      ...place,
      digest: rowDigest(encoded),
      encoded: null,
      batch: 0,
      dropped: false,
      entry: this.keys.entry(keyFromBytes(fields.key)),
      createRevision: fields.createRevision,
      version: fields.version,
      deleted: fields.deleted,
      bytes: fields.key.length + fields.value.length,
      timeMs: fields.timeMs,
    };
    this.#append(this.#changes.loaded(version));
  }

  /** The oldest version of its key goes for good. It must not be the key's newest, unless it is a deletion. */
  dropOldest(version: RecordVersion): void {
    const { entry } = version;
    assert(entry.versions[entry.head] === version, 'versions go in order');
    assert(version !== newest(entry) || version.deleted, 'what exists now is never compacted');
    this.historyBytes -= version.bytes;
    this.keys.dropOldest(entry);
    this.#changes.drop(version);
    this.#rowBytes.forget(version);
  }

  /** Versions written since the last call, in order. */
  takeWritten(): readonly RecordVersion[] {
    const written = this.#written;
    if (written.length > 0) this.#written = [];
    return written;
  }

  /** The value of a version; a view on memory that never changes. @throws HoldfastError STATE_CORRUPT, DISK_FAILED */
  value(version: RecordVersion): Buffer {
    return version.bytes === version.entry.key.length ? EMPTY : recordValue(this.#rowBytes.encoded(version));
  }

  /** A version as callers see it. */
  keyValue(
    version: RecordVersion,
    { keysOnly }: { readonly keysOnly: boolean } = { keysOnly: false },
  ): KeyValue {
    return {
      key: bytesFromKey(version.entry.key),
      value: keysOnly || version.deleted ? EMPTY : this.value(version),
      createRevision: version.createRevision,
      modRevision: version.number,
      version: version.version,
    };
  }

  #write(
    write: RecordWrite,
    state: Pick<RecordVersion, 'entry' | 'createRevision' | 'version' | 'deleted'>,
  ): void {
    const encoded = encodeRecord(write, state);
    const version: RecordVersion = {
      table: 'k',
      number: write.revision,
      sub: write.sub,
      digest: rowDigest(encoded),
      encoded,
      batch: 0,
      dropped: false,
      entry: state.entry,
      createRevision: state.createRevision,
      version: state.version,
      deleted: state.deleted,
      bytes: write.key.length + write.value.length,
      timeMs: write.timeMs,
    };
    this.#changes.put(version);
    this.#append(version);
    this.#written.push(version);
  }

  #append(version: RecordVersion): void {
    const { entry } = version;
    const before = live(entry);
    if (before !== undefined) {
      this.historyBytes += before.bytes;
      this.liveKeys -= 1;
      this.liveBytes -= before.bytes;
    }
    if (version.deleted) {
      this.historyBytes += version.bytes;
    } else {
      this.liveKeys += 1;
      this.liveBytes += version.bytes;
    }
    entry.versions.push(version);
    this.events.push(version);
  }
}
