import { assert, present } from '../../../src/base/assert.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import { SeededRandom } from '../../../src/base/random.ts';
import { NO_CONFIGURATION } from '../../../src/replication/raft/configuration.ts';
import { ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import type { RaftOptions } from '../../../src/replication/raft/options.ts';
import { Raft } from '../../../src/replication/raft/raft.ts';
import type {
  Configuration,
  Entry,
  HardState,
  Message,
  PersistBatch,
  Place,
  ReadState,
  Ready,
  SnapshotMetadata,
} from '../../../src/replication/raft/types.ts';
import { Oracle } from './oracle.ts';

export function nodeId(number: number): NodeId {
  return number.toString(16).padStart(16, '0') as NodeId;
}

export function configurationOf(voters: readonly number[], learners: readonly number[] = []): Configuration {
  return { ...NO_CONFIGURATION, voters: voters.map(nodeId), learners: learners.map(nodeId) };
}

/** What survives a crash: the log, and the state machine's last checkpoint. */
export interface Disk {
  hardState: HardState;
  base: SnapshotMetadata;
  entries: Entry[];
  state: { index: number; term: number; digest: string; configuration: Configuration };
}

export function lastOnDisk(disk: Disk): number {
  return disk.base.index + disk.entries.length;
}

/** The hash at `index` on the disk, as text; null when it is not there, 'compacted' when a snapshot stands for it. */
export function hashOnDisk(disk: Disk, index: number): string | null {
  if (index < disk.base.index) return 'compacted';
  const entry = index === disk.base.index ? disk.base : disk.entries[index - disk.base.index - 1];
  return entry === undefined ? null : Buffer.from(entry.hash).toString('hex');
}

/** One simulated machine. `raft` is null while it is down. */
export class Machine {
  readonly id: NodeId;
  raft: Raft | null = null;
  readonly disk: Disk;
  writes: PersistBatch[] = [];
  toApply: Entry[] = [];
  applied = 0;
  digest = Buffer.from(ZERO_HASH).toString('hex');
  reads: ReadState[] = [];
  wanted: Ready['snapshotWanted'] = null;
  /** While set, writes wait for `completeWrite`. */
  diskHeld = false;
  /** While set, committed entries wait. */
  applyHeld = false;
  /** Its state is gone, its log is not. */
  stateMissing = false;
  readonly appliedPayloads: string[] = [];

  /** The mark beside a log that has lost entries, and the last that it lost; taken away once the core trusts it. */
  suspectUntil: Place | null = null;
  lostThrough = 0;

  constructor(id: NodeId, configuration: Configuration) {
    this.id = id;
    const base = { index: 0, term: 0, hash: ZERO_HASH, configuration };
    this.disk = {
      hardState: { term: 0, vote: null, commit: 0 },
      base,
      entries: [],
      state: { index: 0, term: 0, digest: Buffer.from(ZERO_HASH).toString('hex'), configuration },
    };
  }

  get core(): Raft {
    return present(this.raft, `node ${this.id} is down: core`);
  }
}

export interface ClusterOptions {
  readonly voters: readonly number[];
  readonly learners?: readonly number[];
  /** Started without any configuration. */
  readonly blank?: readonly number[];
  readonly seed?: number;
  readonly raft?: Partial<Omit<RaftOptions, 'nodeId' | 'random' | 'initial'>>;
}

/** Machines, their disks and the network between them; nothing moves by itself. Every change is checked by the oracle. */
export class Cluster {
  readonly machines = new Map<NodeId, Machine>();
  readonly random: SeededRandom;
  readonly oracle: Oracle;
  network: Message[] = [];
  /** Every message that was ever sent. */
  readonly sent: Message[] = [];
  keepSent = true;
  /** True: the message is lost on the way. */
  lose: (message: Message) => boolean = () => false;
  readonly #options: ClusterOptions;

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.random = new SeededRandom(options.seed ?? 1);
    this.oracle = new Oracle(this.machines);
    const configuration = configurationOf(options.voters, options.learners);
    for (const number of [...options.voters, ...(options.learners ?? [])]) this.#add(number, configuration);
    for (const number of options.blank ?? []) this.#add(number, NO_CONFIGURATION);
  }

  #add(number: number, configuration: Configuration): void {
    const machine = new Machine(nodeId(number), configuration);
    this.machines.set(machine.id, machine);
    this.start(machine);
  }

  /** A machine that was not there before, without any configuration. */
  join(number: number): Machine {
    this.#add(number, NO_CONFIGURATION);
    return this.machine(number);
  }

  machine(number: number): Machine {
    return present(this.machines.get(nodeId(number)), `machine ${number}`);
  }

  core(number: number): Raft {
    return this.machine(number).core;
  }

  start(machine: Machine): void {
    const { disk } = machine;
    const { state } = disk;
    if (hashOnDisk(disk, state.index) !== state.digest) {
      // Crashed after a snapshot was installed and before the log followed: the state wins.
      const { index, term, digest, configuration } = state;
      disk.base = { index, term, hash: Buffer.from(digest, 'hex'), configuration };
      disk.entries = [];
      disk.hardState = {
        ...disk.hardState,
        term: Math.max(term, disk.hardState.term),
        vote: term > disk.hardState.term ? null : disk.hardState.vote,
        commit: index,
      };
    }
    machine.applied = state.index;
    machine.digest = state.digest;
    machine.raft = new Raft({
      electionTicksMin: 10,
      electionTicksMax: 20,
      heartbeatTicks: 1,
      appendBytesMax: 1024,
      inFlightMessagesMax: 8,
      inFlightBytesMax: 8192,
      uncommittedBytesMax: 64 * 1024,
      pendingReadRoundsMax: 16,
      ...this.#options.raft,
      nodeId: machine.id,
      random: new SeededRandom(this.random.integer({ min: 0, max: 1_000_000 })),
      initial: {
        hardState: disk.hardState,
        snapshot: disk.base,
        entries: [...disk.entries],
        applied: state.index,
        configuration: state.configuration,
        stateMissing: machine.stateMissing,
        suspectUntil: machine.suspectUntil,
      },
    });
  }

  /** Stops a machine and cuts its log behind `keep`, which is found out: it is suspect up to `until`. */
  loseTail(machine: Machine, { keep, until }: { keep: number; until: number }): void {
    this.crash(machine);
    const { disk } = machine;
    const last = disk.entries.at(-1) ?? disk.base;
    machine.suspectUntil = { index: until, term: last.term };
    machine.lostThrough = Math.max(machine.lostThrough, last.index);
    disk.entries = disk.entries.filter(({ index }) => index <= keep);
    disk.hardState = { ...disk.hardState, commit: Math.min(disk.hardState.commit, lastOnDisk(disk)) };
  }

  crash(machine: Machine): void {
    machine.raft = null;
    machine.writes = [];
    machine.toApply = [];
    machine.reads = [];
    machine.wanted = null;
    this.oracle.crashed(machine);
  }

  /** Takes everything that the core has ready. */
  drain(machine: Machine): boolean {
    let moved = false;
    for (let ready = machine.core.ready(); ready !== null; ready = machine.core.ready()) {
      moved = true;
      for (const message of ready.messages) this.#send(machine, message);
      if (ready.persist !== null) {
        this.oracle.logged(ready.persist.entries);
        machine.writes.push(ready.persist);
      }
      machine.toApply.push(...ready.committed);
      for (const read of ready.reads) {
        machine.reads.push(read);
        this.oracle.readAnswered(machine, read);
      }
      machine.wanted = ready.snapshotWanted ?? machine.wanted;
    }
    this.#noteTrust(machine);
    this.oracle.check(machine);
    return moved;
  }

  /** The host's part: the mark beside the log is what the core thinks of it. */
  #noteTrust(machine: Machine): void {
    machine.suspectUntil = machine.core.suspectUntil;
    if (machine.suspectUntil === null) machine.lostThrough = 0;
  }

  #send(machine: Machine, message: Message): void {
    this.oracle.justified(machine, message);
    if (this.keepSent) this.sent.push(message);
    if (!this.lose(message)) this.network.push(message);
  }

  /** The oldest write becomes durable and its messages leave. */
  completeWrite(machine: Machine): void {
    const batch = machine.writes.shift();
    if (batch === undefined) return;
    store(machine.disk, batch);
    for (const message of batch.messagesAfterPersist) this.#send(machine, message);
    machine.core.persisted(batch.sequence);
    this.oracle.check(machine);
  }

  applyAll(machine: Machine): void {
    for (const entry of machine.toApply.splice(0)) {
      assert(entry.index === machine.applied + 1, 'I13: apply is strictly the next index');
      machine.applied = entry.index;
      machine.digest = this.oracle.appliedEntry(machine.digest, entry);
      if (entry.type === 'normal') machine.appliedPayloads.push(Buffer.from(entry.payload).toString());
    }
    machine.core.applied(machine.applied);
    this.oracle.check(machine);
  }

  /** The state machine's durable point moves up to what is applied. */
  checkpoint(machine: Machine): void {
    if (lastOnDisk(machine.disk) < machine.applied) return;
    machine.disk.state = {
      index: machine.applied,
      term: present(machine.core.termAt(machine.applied), 'term at the applied index'),
      digest: machine.digest,
      configuration: machine.core.configuration,
    };
  }

  /** Drops the log up to the checkpoint, but for the last `keep` entries. */
  compact(machine: Machine, keep = 0): void {
    const index = machine.disk.state.index - keep;
    if (index <= machine.disk.base.index) return;
    machine.core.compact({ index });
    const { base } = machine.core;
    machine.disk.entries = machine.disk.entries.filter((entry) => entry.index > base.index);
    machine.disk.base = base;
  }

  /** Pulls the wanted snapshot from its source's applied state; false when the source cannot serve it. */
  fetchSnapshot(machine: Machine): boolean {
    const { wanted } = machine;
    if (wanted === null) return false;
    machine.wanted = null;
    const source = this.machines.get(wanted.from);
    if (source === undefined || source.raft === null || source.applied < wanted.index) {
      machine.core.snapshotFailed();
      return false;
    }
    const index = source.applied;
    const metadata: SnapshotMetadata = {
      index,
      term: present(source.raft.termAt(index), 'term at the applied index'),
      hash: present(source.raft.hashAt(index), 'hash at the applied index'),
      configuration: source.raft.configuration,
    };
    if (!machine.core.snapshotFetched(metadata)) return false;
    machine.stateMissing = false;
    machine.toApply = [];
    machine.applied = index;
    machine.digest = source.digest;
    machine.disk.state = {
      index,
      term: metadata.term,
      digest: source.digest,
      configuration: metadata.configuration,
    };
    this.oracle.check(machine);
    return true;
  }

  deliver(message: Message): void {
    const machine = this.machines.get(message.to);
    if (machine === undefined || machine.raft === null) return;
    machine.raft.step(message);
    this.oracle.check(machine);
  }

  /** Everything that can happen without time passing happens, in a fixed order. */
  settle(): void {
    for (let round = 0; round < 1_000; round += 1) {
      let moved = false;
      for (const machine of this.machines.values()) moved = this.#settleMachine(machine) || moved;
      const messages = this.network.splice(0);
      for (const message of messages) this.deliver(message);
      if (!moved && messages.length === 0) return;
    }
    throw new Error('the cluster does not settle');
  }

  #settleMachine(machine: Machine): boolean {
    if (machine.raft === null) return false;
    let moved = this.drain(machine);
    while (!machine.diskHeld && machine.writes.length > 0) {
      this.completeWrite(machine);
      moved = true;
    }
    if (!machine.applyHeld && machine.toApply.length > 0) {
      this.applyAll(machine);
      moved = true;
    }
    if (machine.wanted !== null) {
      this.fetchSnapshot(machine);
      moved = true;
    }
    return moved;
  }

  tick(...numbers: number[]): void {
    for (const number of numbers) this.machine(number).raft?.tick();
    this.settle();
  }

  /** Time passes on every machine. */
  tickAll(times = 1): void {
    for (let time = 0; time < times; time += 1) {
      for (const machine of this.machines.values()) machine.raft?.tick();
      this.settle();
    }
  }

  elect(number: number): void {
    this.core(number).campaign();
    this.settle();
    assert(this.core(number).status().role === 'leader', `node ${number} was not elected`);
  }

  propose(number: number, text: string): ReturnType<Raft['propose']> {
    return this.core(number).propose(() => Buffer.from(text));
  }

  /** Cuts a node off, both ways. */
  isolate(number: number): void {
    const id = nodeId(number);
    this.lose = (message) => message.from === id || message.to === id;
  }

  heal(): void {
    this.lose = () => false;
  }

  get leaders(): Machine[] {
    return [...this.machines.values()].filter((machine) => machine.raft?.status().role === 'leader');
  }
}

export function store(disk: Disk, batch: PersistBatch): void {
  if (batch.snapshot !== null && batch.snapshot.index > disk.base.index) {
    disk.base = batch.snapshot;
    disk.entries = [];
  }
  const [first] = batch.entries;
  if (first !== undefined) {
    assert(first.index <= lastOnDisk(disk) + 1, 'a write leaves no hole in the log');
    const above = batch.entries.filter((entry) => entry.index > disk.base.index);
    const kept = Math.max(0, first.index - disk.base.index - 1);
    disk.entries = [...disk.entries.slice(0, kept), ...above];
  }
  assert(batch.hardState.term >= disk.hardState.term, 'I1: the stored term never falls');
  assert(batch.hardState.commit <= lastOnDisk(disk), 'the stored commit index is within the stored log');
  disk.hardState = { ...batch.hardState, commit: Math.max(batch.hardState.commit, disk.base.index) };
}
