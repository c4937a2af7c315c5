import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../../src/base/clock.ts';
import type { HoldfastError } from '../../../src/base/errors.ts';
import { type NodeId, parseStoreId } from '../../../src/base/ids.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/logger.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { NO_CONFIGURATION } from '../../../src/replication/raft/configuration.ts';
import { ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { Configuration, SnapshotMetadata } from '../../../src/replication/raft/types.ts';
import type { RaftLogBounds, RaftLogTiming } from '../../../src/replication/raftLog/options.ts';
import { RaftLog } from '../../../src/replication/raftLog/raftLog.ts';
import type { CommittedEntry, StateMachine, StateSnapshot } from '../../../src/replication/replicatedLog.ts';
import { DiskWal } from '../../../src/replication/wal/diskWal.ts';
import { MemoryWal, MemoryWalDisk, type MemoryWrite } from '../../../src/replication/wal/memoryWal.ts';
import type { WalContents, WriteAheadLog } from '../../../src/replication/wal/types.ts';
import { type TestAuthority, testNodeId } from '../transport/certificates.ts';
import { STORE, TestDirectory } from '../transport/testPeers.ts';
import { waitFor } from '../transport/waitFor.ts';

/** What of a state machine survives a stop. */
export interface TestDisk {
  applied: SnapshotMetadata;
  values: string[];
}

/** A list of texts: each normal entry appends one. */
export class TestState implements StateMachine {
  readonly values: string[];
  applied: SnapshotMetadata;
  leadership = { isLeader: false, leader: null as NodeId | null, term: 0 };
  readonly forwards: { from: NodeId; sequence: number; text: string }[] = [];
  readonly forwardsRefused: number[] = [];
  installed = 0;
  /** Values that may wait for the disk. */
  unflushedMax = Number.POSITIVE_INFINITY;
  /** Nothing comes to disk by itself meanwhile. */
  diskHangs = false;
  /** Set: each turn's values come to disk after it, and this is called. */
  onFlushed: (() => void) | null = null;
  /** A snapshot is given only after this. */
  snapshotsWait: Promise<void> = Promise.resolve();
  /** A snapshot is installed only after this. */
  installsWait: Promise<void> = Promise.resolve();
  /** Each has been opened at the node that gives it. */
  installsBegun = 0;
  #flushDue = false;
  /** What was applied by this process, in order. */
  readonly entries: CommittedEntry[] = [];
  onForward: (text: string) => boolean = () => true;
  readonly #disk: TestDisk;
  readonly #addresses: ReadonlyMap<NodeId, string>;
  readonly #rowBytes: number;

  constructor(disk: TestDisk, addresses: ReadonlyMap<NodeId, string>, rowBytes = 0) {
    this.#disk = disk;
    this.#addresses = addresses;
    this.#rowBytes = rowBytes;
    this.values = [...disk.values];
    this.applied = disk.applied;
  }

  get digest(): string {
    return createHash('sha256').update(this.values.join('\n')).digest('hex');
  }

  apply(entry: CommittedEntry): void {
    const { index, term, hash, configuration } = entry;
    if (index !== this.applied.index + 1) throw new Error(`applied ${index} after ${this.applied.index}`);
    if (entry.type === 'normal') this.values.push(textOf(entry.payload));
    this.applied = { index, term, hash, configuration };
    this.entries.push(entry);
    if (this.onFlushed !== null) this.#flushSoon();
  }

  #flushSoon(): void {
    if (this.#flushDue) return;
    this.#flushDue = true;
    setImmediate(() => {
      this.#flushDue = false;
      if (this.diskHangs) return;
      this.flush();
      this.onFlushed?.();
    });
  }

  isBehind(): boolean {
    return this.values.length - this.#disk.values.length > this.unflushedMax;
  }

  /** Writes the state down, as the background writer of the real one does. */
  flush(): SnapshotMetadata {
    this.#disk.applied = this.applied;
    this.#disk.values = [...this.values];
    return this.applied;
  }

  async openSnapshot(): Promise<StateSnapshot> {
    await this.snapshotsWait;
    const { applied, values } = this.#disk;
    const padding = 'x'.repeat(this.#rowBytes);
    async function* rows() {
      for (const [position, value] of values.entries()) {
        // Rows come in the order of their keys.
        const key = Buffer.from(`${String(position).padStart(8, '0')}${value}`);
        yield [{ key, envelope: Buffer.from(padding) }];
        await Promise.resolve();
      }
    }
    return { metadata: applied, keyring: Buffer.from('keyring'), rows, close: () => Promise.resolve() };
  }

  async installSnapshot(snapshot: StateSnapshot): Promise<void> {
    this.installsBegun += 1;
    await this.installsWait;
    const values: string[] = [];
    for await (const rows of snapshot.rows()) {
      for (const row of rows) values.push(Buffer.from(row.key.subarray(8)).toString());
    }
    this.values.splice(0, this.values.length, ...values);
    this.applied = snapshot.metadata;
    this.installed += 1;
    this.flush();
  }

  leadershipChanged(status: { isLeader: boolean; leader: NodeId | null; term: number }): void {
    this.leadership = status;
  }

  forwarded(forward: { from: NodeId; sequence: number; envelope: Uint8Array }): boolean {
    const text = textOf(forward.envelope);
    this.forwards.push({ from: forward.from, sequence: forward.sequence, text });
    return this.onForward(text);
  }

  forwardRefused({ sequence }: { readonly sequence: number }): void {
    this.forwardsRefused.push(sequence);
  }

  peerAddress(nodeId: NodeId): string | null {
    return this.#addresses.get(nodeId) ?? null;
  }
}

function textOf(bytes: Uint8Array): string {
  const text = Buffer.from(bytes).toString();
  return text.length > 100 ? `${text.slice(0, 20)}…${text.length}` : text;
}

export interface TestNode {
  readonly nodeId: NodeId;
  readonly log: RaftLog;
  readonly state: TestState;
  readonly fatal: HoldfastError[];
}

/** Short times, yet long enough that a busy machine does not change leaders. */
export const TEST_TIMING: Partial<RaftLogTiming> = {
  tickMs: 20,
  heartbeatTicks: 2,
  electionTicksMin: 15,
  electionTicksMax: 30,
};

export interface TestClusterOptions {
  readonly authority: TestAuthority;
  readonly size: number;
  readonly timing?: Partial<RaftLogTiming>;
  readonly bounds?: Partial<RaftLogBounds>;
  readonly rowBytes?: number;
  /** What is applied comes to disk at once, and the log hears of it. */
  readonly flushes?: boolean;
  /** Write-ahead logs in folders below this one, instead of in memory. */
  readonly walDirectory?: string;
  /** Puts something between a node and its write-ahead log. */
  readonly around?: (wal: WriteAheadLog, nodeId: NodeId) => WriteAheadLog;
}

/** Raft logs in one process that talk over real sockets with real certificates. */
export class TestCluster {
  readonly directory: TestDirectory;
  readonly nodes = new Map<NodeId, TestNode>();
  readonly ids: readonly NodeId[];
  readonly walDisks = new Map<NodeId, MemoryWalDisk>();
  readonly stateDisks = new Map<NodeId, TestDisk>();
  readonly onWrite = new Map<NodeId, (write: MemoryWrite) => void>();
  readonly #options: TestClusterOptions;

  constructor(options: TestClusterOptions) {
    this.#options = options;
    this.directory = new TestDirectory(options.authority);
    this.ids = Array.from({ length: options.size }, (_, i) => testNodeId(i + 1));
  }

  static async start(options: TestClusterOptions): Promise<TestCluster> {
    const cluster = new TestCluster(options);
    for (const nodeId of cluster.ids) await cluster.startNode(nodeId);
    return cluster;
  }

  /** Starts or restarts a node on what its disks hold; a `joiner` begins with nothing, `stateMissing` with its log only. */
  async startNode(nodeId: NodeId, { joiner = false, stateMissing = false } = {}): Promise<TestNode> {
    const configuration: Configuration = { ...NO_CONFIGURATION, voters: joiner ? [] : [...this.ids] };
    const nothing: SnapshotMetadata = { index: 0, term: 0, hash: ZERO_HASH, configuration };
    const stateDisk = (stateMissing ? null : this.stateDisks.get(nodeId)) ?? { applied: nothing, values: [] };
    this.stateDisks.set(nodeId, stateDisk);
    const state = new TestState(stateDisk, this.directory.addresses, this.#options.rowBytes);
    const { wal, contents } = await this.#openWal(nodeId, nothing);
    const transport = await this.directory.listen(nodeId);
    const fatal: HoldfastError[] = [];
    const log = await RaftLog.open({
      nodeId,
      wal: this.#options.around?.(wal, nodeId) ?? wal,
      walContents: contents,
      applied: stateMissing ? null : stateDisk.applied,
      stateMachine: state,
      transport,
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
      onFatal: (error) => fatal.push(error),
      timing: { ...TEST_TIMING, ...this.#options.timing },
      ...(this.#options.bounds === undefined ? {} : { bounds: this.#options.bounds }),
    });
    if (this.#options.flushes === true) state.onFlushed = () => log.durable(state.applied);
    const node = { nodeId, log, state, fatal };
    this.nodes.set(nodeId, node);
    return node;
  }

  async #openWal(
    nodeId: NodeId,
    nothing: SnapshotMetadata,
  ): Promise<{ wal: WriteAheadLog; contents: WalContents }> {
    const { walDirectory } = this.#options;
    if (walDirectory !== undefined) return await openDiskWal(join(walDirectory, nodeId), nothing);
    const options = {
      onWrite: (write: MemoryWrite): void => (this.onWrite.get(nodeId) ?? completeAtOnce)(write),
    };
    const known = this.walDisks.get(nodeId);
    if (known !== undefined) return MemoryWal.open(known, options);
    const disk = new MemoryWalDisk();
    this.walDisks.set(nodeId, disk);
    const contents = emptyLog(nothing);
    return { wal: MemoryWal.create(disk, contents, options), contents };
  }

  /** As a power cut does it: what was not durable is gone. */
  async stopNode(nodeId: NodeId): Promise<void> {
    const node = this.nodes.get(nodeId);
    this.nodes.delete(nodeId);
    this.walDisks.get(nodeId)?.crash();
    await node?.log.close();
  }

  leader(): TestNode | null {
    const leaders = [...this.nodes.values()].filter(({ state }) => state.leadership.isLeader);
    return leaders.sort((a, b) => b.state.leadership.term - a.state.leadership.term)[0] ?? null;
  }

  async awaitLeader(): Promise<TestNode> {
    await waitFor(
      () => {
        const leader = this.leader()?.nodeId;
        return (
          leader !== undefined &&
          [...this.nodes.values()].every(({ state }) => state.leadership.leader === leader)
        );
      },
      { describe: () => this.describe() },
    );
    const leader = this.leader();
    if (leader === null) throw new Error('no leader');
    return leader;
  }

  /** Proposes at whoever leads, until it is taken. */
  async propose(text: string): Promise<void> {
    await waitFor(
      () => {
        const outcome = this.leader()?.log.propose(() => Buffer.from(text));
        return outcome !== undefined && 'place' in outcome;
      },
      { describe: () => this.describe() },
    );
  }

  async awaitValues(count: number, deadlineMs = 10_000): Promise<void> {
    await waitFor(() => [...this.nodes.values()].every(({ state }) => state.values.length >= count), {
      deadlineMs,
      describe: () => this.describe(),
    });
  }

  describe(): unknown {
    return [...this.nodes.values()].map(({ log, state, fatal }) => ({
      ...log.status(),
      values: state.values.length,
      fatal: fatal.map(String),
    }));
  }

  async close(): Promise<void> {
    await Promise.all([...this.nodes.values()].map(({ log }) => log.close()));
    this.nodes.clear();
    await this.directory.close();
  }
}

/** A log that keeps so many entries behind the state on disk, and no more for members that catch up. */
export function keeping(entries: number, heldEntries = entries): Pick<RaftLogTiming, 'trailing' | 'held'> {
  const bytes = LIMITS.logTrailingBytes;
  return { trailing: { entries, bytes }, held: { entries: heldEntries, bytes } };
}

function emptyLog(snapshot: SnapshotMetadata): WalContents {
  return { hardState: { term: 0, vote: null, commit: 0 }, snapshot, entries: [] };
}

async function openDiskWal(
  directory: string,
  nothing: SnapshotMetadata,
): Promise<{ wal: WriteAheadLog; contents: WalContents }> {
  const options = { directory, storeId: parseStoreId(STORE.storeId), segmentBytes: 64 * 1024 };
  if (existsSync(directory)) return await DiskWal.open(options);
  const contents = emptyLog(nothing);
  return { wal: await DiskWal.create(options, contents), contents };
}

function completeAtOnce(write: MemoryWrite): void {
  write.complete();
}
