import type { ChainedRecord } from '../audit/record/chain.ts';
import { assert } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Revision } from '../base/ids.ts';
import { systemScheduler } from '../base/scheduler.ts';
import type {
  AuthorityRow,
  HeadRow,
  KeyChangeRow,
  KeyValue,
  Member,
  StoredConfiguration,
  TokenRow,
} from '../proto/storage.ts';
import type { AccessView } from './access.ts';
import { type AuditStart, readAudit } from './auditReading.ts';
import type { AuditView } from './auditTrail.ts';
import { diskFailed } from './database.ts';
import type { Generation } from './generation.ts';
import {
  assertExpected,
  type ExpectedState,
  FailureLatch,
  generationsOf,
  openGeneration,
  placeOf,
  writeEmptyState,
} from './openGeneration.ts';
import { type Pass, passOver } from './pass.ts';
import { keyBytes, readHistory, readKey, readPage } from './reads.ts';
import { compactState, type RewrittenState, rewriteState } from './rewrite.ts';
import { type ScrubbedState, type ScrubPace, scrubState } from './scrub.ts';
import { type SealedRows, type StoreSnapshot, snapshotOf } from './snapshot.ts';
import type { Generations } from './stateFolder.ts';
import type { StoreOptions } from './storeOptions.ts';
import type {
  AppliedEntry,
  AppliedOutcomes,
  AppliedPlace,
  HistoryQuery,
  HistoryResult,
  RangeQuery,
  RangeResult,
  StoreSize,
  WatchHandle,
  WatchQuery,
  WatchSink,
} from './types.ts';
import { WatchHub } from './watchHub.ts';

/**
 * The state of a node. The log drives it through `apply`; everyone else only reads, of the applied state and synchronously.
 */
export class Store {
  readonly #options: StoreOptions;
  readonly #folder: Generations;
  readonly #watches: WatchHub;
  readonly #failure: FailureLatch;
  #generation: Generation;
  #missing: string | null;
  #installing = false;
  #closed = false;

  private constructor(
    options: StoreOptions,
    opened: { generation: Generation; failure: FailureLatch; missing: string | null },
  ) {
    this.#options = options;
    this.#missing = opened.missing;
    this.#folder = generationsOf(options);
    this.#generation = opened.generation;
    this.#failure = opened.failure;
    const scheduler = options.scheduler ?? systemScheduler;
    this.#watches = new WatchHub(
      opened.generation.state.records,
      options.schedule ?? ((run) => scheduler.afterPoll(run)),
    );
  }

  /** An empty state, at index 0, durable. @throws HoldfastError DATA_DIR_INVALID when there is one already */
  static async create(options: StoreOptions): Promise<Store> {
    const folder = generationsOf(options);
    await folder.prepare();
    await writeEmptyState(options, folder.generationPath(1));
    await folder.switchTo(1);
    return await Store.open(options);
  }

  /**
   * Opens every row, rebuilds what is in memory and verifies the digest; takes some 20 microseconds a row.
   * @throws HoldfastError DATA_DIR_INVALID (no state, or in use), STATE_CORRUPT, KEY_UNKNOWN, DISK_FAILED
   */
  static async open(options: StoreOptions): Promise<Store> {
    const folder = generationsOf(options);
    const number = await folder.current();
    await folder.removeAllBut(number);
    const failure = new FailureLatch(options.onFatal);
    const generation = await openGeneration(options, { folder, number, create: false, failure });
    return new Store(options, { generation, failure, missing: null });
  }

  /**
   * Stands in for a state that is lost, until a snapshot is installed: nothing is read from it or applied to it, and a
   * restart does not take it for a state either.
   * @param missing why, one sentence
   * @throws HoldfastError DISK_FAILED
   */
  static async openMissing(
    options: StoreOptions,
    { number, missing }: { readonly number: number; readonly missing: string },
  ): Promise<Store> {
    const folder = generationsOf(options);
    await folder.removeAllBut(0);
    await writeEmptyState(options, folder.generationPath(number));
    const failure = new FailureLatch(options.onFatal);
    const generation = await openGeneration(options, { folder, number, create: false, failure });
    return new Store(options, { generation, failure, missing });
  }

  /** Why there is no state to read from, until a snapshot has been installed; null: there is one. */
  get missing(): string | null {
    return this.#missing;
  }

  /**
   * Applies the next entry. Synchronous.
   * @throws HoldfastError DISK_FAILED, STATE_CORRUPT; InvariantViolation (an index that is not the next one)
   */
  apply(entry: AppliedEntry): AppliedOutcomes {
    if (this.#failure.error !== null) throw this.#failure.error;
    assert(this.#missing === null, 'I20: nothing is applied to a state that is missing');
    assert(!this.#installing && !this.#closed, 'nothing is applied while the state is replaced or closed');
    const { state, writer } = this.#generation;
    const { outcomes, accepted, written, changes } = state.apply(entry);
    for (const row of changes.deletes) this.#generation.rowBytes.forget(row);
    writer.add(changes);
    this.#watches.publish(written);
    return { outcomes, accepted };
  }

  /** How far the state in memory is. */
  get applied(): AppliedPlace {
    return this.#generation.state.place;
  }

  /** How far the state on disk is. */
  get durable(): AppliedPlace {
    return placeOf(this.#generation.writer.head);
  }

  /** The head row on disk: place, configuration and digest as a restart would find them. */
  get durableHead(): HeadRow {
    return this.#generation.writer.head;
  }

  get revision(): Revision {
    return this.#generation.state.records.revision;
  }

  get compactedRevision(): Revision {
    return this.#generation.state.records.compactedRevision;
  }

  /** The latest that an entry carried, milliseconds since 1970. */
  get logTimeMs(): number {
    return this.#generation.state.timeMs;
  }

  /** The log time from which an AdvanceTime has something to do (expiry, compaction), or null. May be past. */
  get dueMs(): number | null {
    return this.#generation.state.dueMs;
  }

  /** 32 bytes: the same on every node at the same applied index. */
  get digest(): Buffer {
    return this.#generation.state.changes.digest.bytes();
  }

  /** The configuration in force as of the last applied configuration entry. */
  get configuration(): StoredConfiguration {
    return this.#generation.state.membership.configuration;
  }

  /** Applied plaintext that is not on disk yet, bytes: slow down above LIMITS.unflushedBytesMax. */
  get unflushedBytes(): number {
    return this.#generation.writer.unflushedBytes;
  }

  /** Roles and access tokens, as they are now. */
  get access(): AccessView {
    return this.#generation.state.access;
  }

  /** How the audit is set, and how far it goes. */
  get audit(): AuditView {
    return this.#generation.state.audit;
  }

  /**
   * The audit records from a sequence on that are on disk when they are come to, in portions; what retention takes away
   * meanwhile is passed over. @throws HoldfastError STATE_CORRUPT, DISK_FAILED
   */
  auditRecords(from: AuditStart): AsyncIterable<readonly ChainedRecord[]> {
    this.requireState();
    return readAudit(() => this.#generation, from);
  }

  /** Numbers for status and metrics. */
  get size(): StoreSize {
    return { ...this.#generation.state.size, watches: this.#watches.count };
  }

  /** The authority, or null before the bootstrap. The private key is the store's own memory: do not keep it. */
  get authority(): AuthorityRow | null {
    return this.#generation.state.membership.authority;
  }

  /** The log index of the last change of the authority; 0 before the bootstrap. */
  get authorityIndex(): number {
    return this.#generation.state.membership.authorityIndex;
  }

  get members(): readonly Member[] {
    return this.#generation.state.membership.members;
  }

  member(nodeId: string): Member | null {
    return this.#generation.state.membership.member(nodeId);
  }

  /** The change of keys that is under way, or was the last one; null: there was none. */
  get keyChange(): KeyChangeRow | null {
    return this.#generation.state.keyChanges.current;
  }

  /** A join token as the log knows it, used or not; null when there is none. */
  token(id: string): TokenRow | null {
    return this.#generation.state.tokens.get(id);
  }

  /** The join tokens that are kept, the oldest first. */
  get tokens(): readonly TokenRow[] {
    return this.#generation.state.tokens.all;
  }

  /** Whether this node id was a member once and never comes back. */
  isRemoved(nodeId: string): boolean {
    return this.#generation.state.membership.isRemoved(nodeId);
  }

  /** A key at a revision (0: the newest). @throws HoldfastError COMPACTED, FUTURE_REVISION */
  get(key: string, revision: Revision = 0): KeyValue | null {
    this.requireState();
    return readKey(this.#generation.state.records, { key, revision });
  }

  /** What `get` would give, bytes of key and value. @throws as get */
  bytesOf(key: string, revision: Revision): number {
    return keyBytes(this.#generation.state.records, { key, revision });
  }

  /** A page of at most LIMITS.pageKeysMax keys and LIMITS.pageBytesMax bytes. @throws as get */
  range(query: RangeQuery): RangeResult {
    this.requireState();
    return readPage(this.#generation.state.records, query);
  }

  /** The kept versions of a key, newest first; a page at most. */
  history(query: HistoryQuery): HistoryResult {
    this.requireState();
    return readHistory(this.#generation.state.records, query);
  }

  /** @throws HoldfastError COMPACTED, OVERLOADED */
  watch(query: WatchQuery, sink: WatchSink): WatchHandle {
    this.requireState();
    assert(!this.#closed, 'a closed store is not watched');
    return this.#watches.subscribe(query, sink);
  }

  /** To be called every LIMITS.watchProgressIntervalMs. */
  progressTick(): void {
    this.#watches.progressTick();
  }

  /** Resolves when everything applied so far is durable. @throws HoldfastError DISK_FAILED */
  flushed(): Promise<void> {
    return this.#generation.writer.flushed();
  }

  /** A consistent snapshot of the state on disk. Close it. @throws HoldfastError STATE_CORRUPT, DISK_FAILED */
  async openSnapshot(): Promise<StoreSnapshot> {
    this.requireState();
    return await snapshotOf(this.#generation.database, this.#generation.sealer);
  }

  /**
   * Reads all of the state on disk again and verifies it, at the pace that is asked for. Null: there is no state, or
   * it was replaced or closed meanwhile. What is found stops the node as any failure does.
   * @throws HoldfastError STATE_CORRUPT, DISK_FAILED
   */
  scrub(pace: ScrubPace): Promise<ScrubbedState | null> {
    return this.#pass(scrubState, pace);
  }

  /**
   * Seals anew whatever on disk is not sealed as it would be now, at the pace that is asked for. Null as for `scrub`.
   * @throws HoldfastError STATE_CORRUPT, DISK_FAILED
   */
  rewrite(pace: ScrubPace): Promise<RewrittenState | null> {
    return this.#pass(rewriteState, pace);
  }

  /** Leaves nothing on disk of what was overwritten or deleted. Null as for `scrub`. @throws HoldfastError DISK_FAILED */
  compactFiles(pace: ScrubPace): Promise<RewrittenState | null> {
    return this.#pass(compactState, pace);
  }

  async #pass<Result>(over: Pass<Result>, pace: ScrubPace): Promise<Result | null> {
    if (this.#missing !== null) return null;
    const generation = this.#generation;
    const isCurrent = (): boolean => this.#generation === generation && !this.#closed;
    return await passOver({ generation, isCurrent, failure: this.#failure }, over, pace);
  }

  /**
   * Replaces the whole state by the rows of a snapshot: written beside the present one, opened and verified, and
   * only then put in its place, durably. Rejects having changed nothing. Watches end with WATCH_BEHIND.
   * @throws HoldfastError STATE_CORRUPT (the rows do not verify, or are not of `expected`), DISK_FAILED
   */
  async installSnapshot({ rows, expected }: { rows: SealedRows; expected: ExpectedState }): Promise<void> {
    assert(!this.#installing && !this.#closed, 'one snapshot is installed at a time');
    this.#installing = true;
    try {
      await this.#install(rows, expected);
    } finally {
      this.#installing = false;
    }
  }

  /** Brings what is applied to disk and closes. @throws HoldfastError DISK_FAILED when that does not work */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watches.endAll('UNAVAILABLE', 'this node is stopping');
    const { writer, database } = this.#generation;
    try {
      await writer.flushed();
    } finally {
      await writer.stop();
      await database.close();
    }
  }

  /** @throws HoldfastError UNAVAILABLE while the state is missing */
  requireState(): void {
    if (this.#missing === null) return;
    throw new HoldfastError('UNAVAILABLE', `the state of this node is being rebuilt: ${this.#missing}`, {
      hint: 'use another node',
    });
  }

  async #install(rows: SealedRows, expected: ExpectedState): Promise<void> {
    const old = this.#generation;
    const number = old.number + 1;
    const place = { folder: this.#folder, number, create: true, failure: this.#failure };
    await this.#folder.removeAllBut(old.number);
    const next = await openGeneration(this.#options, { ...place, rows });
    try {
      assertExpected(next.writer.head, expected);
      await old.writer.pause();
      if (old.writer.failed !== null) throw old.writer.failed;
    } catch (thrown) {
      old.writer.resume();
      await next.database.close();
      await this.#folder.removeAllBut(old.number);
      throw thrown;
    }
    await this.#switchTo(next);
    this.#watches.restart(next.state.records);
    this.#generation = next;
    this.#missing = null;
    await old.writer.stop();
    await old.database.close();
    await this.#folder.removeAllBut(number);
    this.#options.onDurable(placeOf(next.writer.head));
  }

  /** When it fails, either generation may be the one that a restart opens: both stay, and the node must stop. */
  async #switchTo(next: Generation): Promise<void> {
    try {
      await this.#folder.switchTo(next.number);
    } catch (thrown) {
      const error = diskFailed(thrown);
      this.#failure.fail(error);
      await next.database.close();
      throw error;
    }
  }
}
