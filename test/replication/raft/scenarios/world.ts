import { assert, InvariantViolation, present } from '../../../../src/base/assert.ts';
import type { NodeId } from '../../../../src/base/ids.ts';
import { NO_CONFIGURATION } from '../../../../src/replication/raft/configuration.ts';
import type { Raft } from '../../../../src/replication/raft/raft.ts';
import type { Entry, Message, RaftStatus, SnapshotMetadata } from '../../../../src/replication/raft/types.ts';
import { configurationOf, hashOnDisk, lastOnDisk, Machine, nodeId, store } from '../cluster.ts';
import { Oracle } from '../oracle.ts';
import { beginAt, dropTail, KNOBS, type Knobs, makeCore, rewriteLog } from './cores.ts';
import {
  changesText,
  entriesText,
  entryText,
  facts,
  messageText,
  nodeName,
  readText,
  writeLines,
} from './wording.ts';

/** A snapshot that was pulled and is not installed yet. */
interface Pulled {
  readonly metadata: SnapshotMetadata;
  readonly digest: string;
}

export type Stall = 'disk' | 'apply' | 'snapshot';

/** Machines, disks and a network that do only what a script says; the oracle checks after every move. */
export class World {
  readonly machines = new Map<NodeId, Machine>();
  readonly oracle = new Oracle(this.machines);
  network: Message[] = [];
  held: Message[] = [];
  readonly lines: string[] = [];
  readonly stalls = new Map<NodeId, Set<Stall>>();
  readonly pulled = new Map<NodeId, Pulled>();
  readonly #entries = new Map<string, Entry>();
  readonly #starts = new Map<NodeId, number>();
  #knobs: Knobs = KNOBS;
  #depth = 0;

  say(...lines: string[]): void {
    this.lines.push(...lines.map((line) => '  '.repeat(this.#depth) + line));
  }

  /** Prints `title` and, indented, what `action` prints. */
  under(title: string, action: () => void): void {
    this.say(title);
    this.#depth += 1;
    try {
      action();
    } finally {
      this.#depth -= 1;
    }
  }

  get knobs(): Knobs {
    return this.#knobs;
  }

  machine(number: number): Machine {
    return present(this.machines.get(nodeId(number)), `node ${number}`);
  }

  running(machine: Machine): boolean {
    return machine.raft !== null;
  }

  setUp(start: {
    voters: readonly number[];
    learners: readonly number[];
    blank: readonly number[];
    base: number;
    knobs: Partial<Knobs>;
  }): void {
    this.#knobs = { ...this.#knobs, ...start.knobs };
    const members = configurationOf(start.voters, start.learners);
    const numbers = [...new Set([...start.voters, ...start.learners, ...start.blank])].sort((a, b) => a - b);
    for (const number of numbers) {
      const blank = start.blank.includes(number);
      const machine = new Machine(nodeId(number), blank ? NO_CONFIGURATION : members);
      if (!blank && start.base > 0) beginAt(machine, start.base, members);
      this.machines.set(machine.id, machine);
    }
    for (const number of numbers) this.start(this.machine(number));
  }

  /** Gives a node another past: a log of entries of these terms, a term of its own, nothing committed or applied. */
  writeDisk(machine: Machine, past: { terms: readonly number[]; term: number }): void {
    this.crash(machine);
    machine.lostThrough = Math.max(machine.lostThrough, lastOnDisk(machine.disk));
    rewriteLog(machine.disk, past);
    this.oracle.logged(machine.disk.entries);
    this.start(machine);
  }

  /** Starts a core from what the disk holds. A state ahead of its log wins, as at the start of a real node. */
  start(machine: Machine, options: { stateMissing?: boolean; suspect?: boolean } = {}): void {
    const { disk } = machine;
    const { state } = disk;
    if (hashOnDisk(disk, state.index) !== state.digest) {
      const { index, term, digest, configuration } = state;
      disk.base = { index, term, hash: Buffer.from(digest, 'hex'), configuration };
      disk.entries = [];
      const later = term > disk.hardState.term;
      disk.hardState = {
        term: Math.max(term, disk.hardState.term),
        vote: later ? null : disk.hardState.vote,
        commit: index,
      };
    }
    const stateMissing = options.stateMissing === true;
    if (stateMissing) {
      const { index, term, hash, configuration } = disk.base;
      disk.state = { index, term, digest: hex(hash), configuration };
    }
    machine.applied = disk.state.index;
    machine.digest = disk.state.digest;
    const starts = (this.#starts.get(machine.id) ?? 0) + 1;
    this.#starts.set(machine.id, starts);
    if (options.suspect === true) {
      machine.suspectUntil = { index: machine.lostThrough, term: disk.hardState.term };
    }
    machine.raft = makeCore(machine, { knobs: this.#knobs, starts, stateMissing });
    this.oracle.check(machine);
  }

  /** A disk loses the last entries of its log, and its node has not noticed. */
  loseTail(machine: Machine, count: number): void {
    this.crash(machine);
    machine.lostThrough = Math.max(machine.lostThrough, lastOnDisk(machine.disk));
    dropTail(machine.disk, count);
  }

  /** The host's part: the mark beside the log goes once the core trusts it. */
  #noteTrust(machine: Machine, before: RaftStatus): void {
    if (before.suspectUntil === null || machine.core.suspectUntil !== null) return;
    machine.suspectUntil = null;
    machine.lostThrough = 0;
  }

  crash(machine: Machine): void {
    machine.raft = null;
    machine.writes = [];
    machine.toApply = [];
    machine.wanted = null;
    this.pulled.delete(machine.id);
    this.oracle.crashed(machine);
  }

  /**
   * Calls into a core, prints what changed, and has the oracle look. A core that stops itself is printed and down from
   * then on; what the oracle finds ends the script.
   */
  act(machine: Machine, action: (raft: Raft) => void): void {
    const { core } = machine;
    const before = core.status();
    const dropped = new Map(core.dropped);
    try {
      action(core);
    } catch (error) {
      if (!(error instanceof InvariantViolation)) throw error;
      this.say(`${nodeName(machine.id)} stops: ${readable(error.message)}`);
      this.crash(machine);
      return;
    }
    this.#noteTrust(machine, before);
    this.#sayChanges(machine, before);
    for (const [reason, count] of core.dropped) {
      if (count !== dropped.get(reason)) this.say(`${nodeName(machine.id)} drops it: ${reason}`);
    }
    this.oracle.check(machine);
  }

  #sayChanges(machine: Machine, before: RaftStatus): void {
    const changes = changesText(facts(before), facts(machine.core.status()));
    if (changes !== '') this.say(`${nodeName(machine.id)}: ${changes}`);
  }

  /** Takes what the core has ready; false when there is nothing. */
  takeReady(machine: Machine): boolean {
    const { core } = machine;
    const before = core.status();
    const ready = core.ready();
    if (ready === null) return false;
    this.under(`${nodeName(machine.id)} ready`, () => {
      for (const message of ready.messages) {
        this.say(messageText(message));
        this.#send(machine, message);
      }
      if (ready.persist !== null) {
        this.say(...writeLines(ready.persist));
        this.oracle.logged(ready.persist.entries);
        for (const entry of ready.persist.entries) this.#entries.set(hex(entry.hash), entry);
        machine.writes.push(ready.persist);
      }
      if (ready.committed.length > 0) this.say(`apply ${entriesText(ready.committed)}`);
      machine.toApply.push(...ready.committed);
      for (const read of ready.reads) {
        this.say(readText(read));
        this.oracle.readAnswered(machine, read);
      }
      const { snapshotWanted } = ready;
      if (snapshotWanted !== null) {
        this.say(`wants a snapshot of ${nodeName(snapshotWanted.from)} at ${snapshotWanted.index}`);
        machine.wanted = snapshotWanted;
      }
      this.#sayChanges(machine, before);
    });
    this.oracle.check(machine);
    return true;
  }

  #send(machine: Machine, message: Message): void {
    this.oracle.justified(machine, message);
    this.network.push(message);
  }

  /** The oldest write becomes durable, its messages leave, and the core hears of it. */
  completeWrite(machine: Machine): boolean {
    const batch = machine.writes.shift();
    if (batch === undefined) return false;
    store(machine.disk, batch);
    this.under(`${nodeName(machine.id)} wrote #${batch.sequence}`, () => {
      for (const message of batch.messagesAfterPersist) this.#send(machine, message);
      this.act(machine, (raft) => raft.persisted(batch.sequence));
    });
    return true;
  }

  /** The state machine takes up to `count` of the entries that wait. */
  applySome(machine: Machine, count: number): boolean {
    const entries = machine.toApply.splice(0, count);
    if (entries.length === 0) return false;
    for (const entry of entries) {
      assert(entry.index === machine.applied + 1, 'I13: apply is strictly the next index');
      machine.applied = entry.index;
      machine.digest = this.oracle.appliedEntry(machine.digest, entry);
    }
    this.under(`${nodeName(machine.id)} applied ${machine.applied}`, () =>
      this.act(machine, (raft) => raft.applied(machine.applied)),
    );
    return true;
  }

  /** The durable state moves up to what is applied. */
  checkpoint(machine: Machine): void {
    machine.disk.state = {
      index: machine.applied,
      term: present(machine.core.termAt(machine.applied), 'term at the applied index'),
      digest: machine.digest,
      configuration: machine.core.configuration,
    };
  }

  compact(machine: Machine, index: number): void {
    this.checkpoint(machine);
    this.act(machine, (raft) => raft.compact({ index }));
    const { base } = machine.core;
    machine.disk.entries = machine.disk.entries.filter((entry) => entry.index > base.index);
    machine.disk.base = base;
  }

  /** Reads the wanted snapshot from its source's applied state; false when the source has none that serves. */
  pull(machine: Machine): boolean {
    const { wanted } = machine;
    const source = wanted === null ? undefined : this.machines.get(wanted.from);
    if (wanted === null || source === undefined || source.raft === null) return false;
    if (source.applied < wanted.index) return false;
    const index = source.applied;
    machine.wanted = null;
    this.pulled.set(machine.id, {
      digest: source.digest,
      metadata: {
        index,
        term: present(source.raft.termAt(index), 'term at the applied index'),
        hash: present(source.raft.hashAt(index), 'hash at the applied index'),
        configuration: source.raft.configuration,
      },
    });
    return true;
  }

  install(machine: Machine): void {
    const { metadata, digest } = present(this.pulled.get(machine.id), 'a pulled snapshot');
    this.pulled.delete(machine.id);
    let taken = false;
    this.under(`${nodeName(machine.id)} has the snapshot ${metadata.index}@${metadata.term}`, () => {
      this.act(machine, (raft) => {
        taken = raft.snapshotFetched(metadata);
      });
      this.say(
        taken ? `${nodeName(machine.id)} goes on from it` : `${nodeName(machine.id)} keeps its own state`,
      );
    });
    if (!taken || machine.raft === null) return;
    const { index, term, configuration } = metadata;
    machine.toApply = [];
    machine.applied = index;
    machine.digest = digest;
    machine.disk.state = { index, term, digest, configuration };
    this.oracle.check(machine);
  }

  deliver(message: Message): void {
    const machine = this.machines.get(message.to);
    if (machine === undefined || machine.raft === null) {
      this.say(`${messageText(message)} (down)`);
      return;
    }
    this.under(messageText(message), () => this.act(machine, (raft) => raft.step(message)));
  }

  /** The entries of a log, from the core or from the disk; those that were never handed out as their place alone. */
  logText(machine: Machine): string {
    const { raft, disk } = machine;
    if (raft === null) return `disk after=${disk.base.index}@${disk.base.term} ${entriesText(disk.entries)}`;
    const { firstIndex, lastIndex } = raft.status();
    const entries: string[] = [];
    for (let index = firstIndex; index <= lastIndex; index += 1) {
      const hash = hex(present(raft.hashAt(index), 'hash'));
      const entry = this.#entries.get(hash) ?? entryOnDisk(machine, index);
      entries.push(entry === undefined ? `${index}@${raft.termAt(index)}` : entryText(entry));
    }
    const { base } = raft;
    const durable = `durable=${raft.stableIndex} disk=${lastOnDisk(disk)}`;
    return `after=${base.index}@${base.term} [${entries.join(', ')}] ${durable}`;
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

const entryOnDisk = (machine: Machine, index: number): Entry | undefined =>
  machine.disk.entries[index - machine.disk.base.index - 1];

/** Node ids of sixteen digits, as scripts write them. */
export const readable = (text: string): string =>
  text.replaceAll(/\b0{8}[0-9a-f]{8}\b/g, (id) => nodeName(id as NodeId));
