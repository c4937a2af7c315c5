import { asBuffer } from '../../src/base/bytes.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type { LogIndex, NodeId, Term } from '../../src/base/ids.ts';
import { membersOf } from '../../src/replication/raft/configuration.ts';
import type {
  Configuration,
  Entry,
  HardState,
  Message,
  RaftStatus,
  SnapshotMetadata,
} from '../../src/replication/raft/types.ts';
import type { WalContents } from '../../src/replication/wal/types.ts';
import type { Store } from '../../src/store/store.ts';
import { AppliedHistory } from './appliedHistory.ts';
import { claimOf } from './claims.ts';
import { watermarkOn } from './damage.ts';
import type { Machine } from './machine.ts';
import type { AppliedEvent } from './machineState.ts';
import { LogModel, type WalObserver } from './observedWal.ts';
import { QuorumWatch } from './quorumWatch.ts';
import { hardStateProblem, lossOf } from './restarts.ts';
import type { Committed, Seen } from './seen.ts';
import type { ToldRevisions } from './watcher.ts';
import type { World } from './world.ts';

/** Sees everything, over all lives of all machines, and ends the run when an invariant of the whole breaks. */
export class Observer {
  readonly #world: World;
  readonly #seen = new Map<Machine, Seen>();
  readonly #leaders = new Map<Term, NodeId>();
  readonly #hashes = new Map<string, string>();
  readonly #committed: (Committed | undefined)[] = [];
  readonly history: AppliedHistory;
  readonly quorums: QuorumWatch;
  readonly toldRevisions: ToldRevisions = new Map();
  /** Machines whose disk has lost something and that are not trusted again, with what they had held. */
  readonly #damaged = new Map<Machine, LogModel>();
  maxCommit: LogIndex = 0;
  counts = { elections: 0, handovers: 0, fatal: 0, damaged: 0, suspected: 0 };

  constructor(world: World) {
    this.#world = world;
    this.history = new AppliedHistory(world);
    this.quorums = new QuorumWatch(world);
  }

  /** Every configuration that is in force for somebody. */
  get configurations(): readonly Configuration[] {
    const applied = [...this.#seen.values()].map(({ configuration }) => configuration);
    return [this.history.newestConfiguration, ...applied];
  }

  /**
   * Whether another configuration than the newest may come into force: one is joint, or lies in some log, or in a core
   * that has not handed it to its log yet.
   */
  get isChangePending(): boolean {
    const { newestConfiguration, newestConfigurationIndex } = this.history;
    if (newestConfiguration.votersOutgoing.length > 0) return true;
    for (const [{ running }, { handed }] of this.#seen) {
      if ((running?.log.status().lastIndex ?? 0) > handed.lastIndex) return true;
      for (const { type, index } of handed.entries) {
        if (type === 'configuration' && index > newestConfigurationIndex) return true;
      }
    }
    return false;
  }

  walOf(machine: Machine): WalObserver {
    const seen = this.#of(machine);
    return {
      handed: (batch) => {
        for (const entry of batch.entries) this.#logged(entry);
        seen.handed.apply(batch);
        seen.pending.push(batch);
      },
      durable: (batch) =>
        this.#world.guard(() => {
          this.#checkHardState(machine, { before: seen.durable.hardState, after: batch.hardState });
          seen.durable.apply(batch);
          seen.pending.shift();
        }),
      released: (base) => {
        seen.durable.raise(base);
        seen.handed.raise(base);
      },
    };
  }

  /** I26: a start finds at least what was durable before. I1: term and vote included. */
  opened(
    machine: Machine,
    { contents, applied, store }: { contents: WalContents; applied: SnapshotMetadata; store: Store },
  ): void {
    this.history.opened(machine, { index: applied.index, store });
    const found = new LogModel(contents);
    const before = this.#seen.get(machine);
    if (before !== undefined) {
      this.#checkHardState(machine, { before: before.durable.hardState, after: contents.hardState });
      const suspect = (contents.suspicion ?? null) !== null;
      if (suspect) this.counts.suspected += 1;
      this.#check(
        !suspect || this.#damaged.has(machine),
        () => `I43: ${machine.nodeId} suspects a log that has lost nothing`,
      );
      if (!suspect) this.#checkFound(machine, { before, found });
    }
    for (const entry of contents.entries) this.#logged(entry);
    const handed = new LogModel(contents);
    this.#seen.set(machine, {
      durable: found,
      pending: [],
      handed,
      commit: applied.index,
      term: contents.hardState.term,
      configuration: applied.configuration,
      matches: new Map(),
    });
  }

  crashed(machine: Machine): void {
    this.quorums.crashed(machine);
    this.history.crashed(machine);
    const seen = this.#seen.get(machine);
    if (seen !== undefined) seen.matches = new Map();
  }

  startFailed(machine: Machine, thrown: unknown): void {
    if (thrown instanceof HoldfastError && thrown.code === 'DISK_FAILED') return;
    const reason = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    this.#world.check(false, () => `${machine.nodeId} does not start: ${reason}`);
  }

  /** Whether the watermark on this disk names all that is durable there: only then is every loss found. */
  isNamed(machine: Machine): boolean {
    const seen = this.#seen.get(machine);
    const named = watermarkOn(machine.disk);
    if (seen === undefined || named === null || seen.pending.length > 0) return false;
    const { hardState, lastIndex } = seen.durable;
    return (
      named.last.index === lastIndex &&
      named.hardState.term === hardState.term &&
      named.hardState.vote === hardState.vote
    );
  }

  /** Something was done to the disk of a machine that is off: its log may be found shorter, and must say so. */
  damaged(machine: Machine): void {
    this.counts.damaged += 1;
    // Until it is trusted again, what it had acknowledged is what it held before the first loss.
    if (!this.#damaged.has(machine)) this.#damaged.set(machine, this.#of(machine).durable);
  }

  get damagedMachines(): ReadonlySet<Machine> {
    return new Set(this.#damaged.keys());
  }

  /** It holds everything again, and its disk says so: a crash does not bring the doubt back. */
  #trusted(machine: Machine, status: RaftStatus): void {
    if (!this.#damaged.has(machine) || status.suspectUntil !== null) return;
    if (watermarkOn(machine.disk)?.suspectUntil === null) this.#damaged.delete(machine);
  }

  /** A node may stop itself for its disk and for nothing else here. */
  stopped(machine: Machine, error: HoldfastError): void {
    this.counts.fatal += 1;
    if (error.code === 'DISK_FAILED') return;
    const cause = error.cause instanceof Error ? (error.cause.stack ?? '') : '';
    this.#world.check(
      false,
      () => `${machine.nodeId} stops itself: ${error.code} ${error.message}\n${cause}`,
    );
  }

  /** I30: what is said is already durable. */
  sent(machine: Machine, message: Message): void {
    const { hardState } = this.#of(machine).durable;
    this.quorums.sent(machine, message);
    if (message.type === 'timeoutNow') this.counts.handovers += 1;
    const claim = claimOf(machine.nodeId, message);
    if (claim === null) return;
    this.#check(
      hardState.term > message.term ||
        (hardState.term === message.term && claim.isDurable(this.#of(machine).durable)),
      () => `I30: ${machine.nodeId} ${claim.text} in term ${message.term} before that is durable`,
    );
  }

  /** I2: what is applied is committed, and durable here. */
  applied(machine: Machine, { event, store }: { event: AppliedEvent; store: Store }): void {
    this.#world.guard(() => {
      const { entry } = event;
      const own = this.#of(machine).durable.hashAt(entry.index);
      this.#check(
        own === 'compacted' || (own !== null && sameBytes(own, entry.hash)),
        () => `I2: ${machine.nodeId} applies ${entry.index} before it is durable there`,
      );
      this.#check(
        entry.index <= this.maxCommit || this.#isCommittedHere(machine, entry.index),
        () => `I2: ${entry.index} is applied and not committed`,
      );
      this.history.applied(machine, { event, store });
    });
  }

  /** Looks at a running machine after something happened to it. */
  look(machine: Machine): RaftStatus | null {
    const running = machine.running;
    const seen = this.#seen.get(machine);
    if (running === null || seen === undefined) return null;
    const status = running.log.status();
    this.#check(status.term >= seen.term, () => `I1: the term of ${machine.nodeId} fell`);
    seen.term = status.term;
    this.#checkCommit(machine, { seen, status });
    this.#checkBounds(machine, status);
    this.#trusted(machine, status);
    seen.configuration = status.configuration;
    this.#check(
      status.role === 'follower' || !status.configuration.learners.includes(machine.nodeId),
      () => `I16: ${machine.nodeId} is a learner and a ${status.role}`,
    );
    if (status.role === 'leader') this.#checkLeader(machine, { seen, status });
    else seen.matches.clear();
    return status;
  }

  /** I14: pre-votes alone change no term. `look` came after the event before this one. */
  preVotesDelivered(machine: Machine): void {
    const term = machine.running?.log.status().term;
    const before = this.#seen.get(machine)?.term;
    this.#check(
      term === undefined || term === before,
      () => `I14: a pre-vote took ${machine.nodeId} to term ${term}`,
    );
  }

  #of(machine: Machine): Seen {
    const seen = this.#seen.get(machine);
    if (seen !== undefined) return seen;
    throw new Error(`${machine.nodeId} has never been opened`);
  }

  /** I24: a place has one hash, in every log that ever was; the chain makes that the whole prefix. */
  #logged(entry: Entry): void {
    const place = `${entry.index}/${entry.term}`;
    const hash = text(entry.hash);
    const known = this.#hashes.get(place);
    if (known === undefined) this.#hashes.set(place, hash);
    else if (known !== hash) this.#world.fail(new Error(`I24: two entries at ${place}`));
  }

  #checkHardState(machine: Machine, change: { before: HardState; after: HardState }): void {
    const problem = hardStateProblem(change);
    this.#check(problem === null, () => `I1: ${machine.nodeId} ${problem}`);
  }

  #checkFound(machine: Machine, log: { before: Seen; found: LogModel }): void {
    const problem = lossOf(log);
    this.#check(problem === null, () => `I26: ${machine.nodeId} ${problem}`);
  }

  #checkCommit(machine: Machine, { seen, status }: { seen: Seen; status: RaftStatus }): void {
    this.#check(status.commit >= seen.commit, () => `I4: the commit index of ${machine.nodeId} fell`);
    this.#check(
      status.applied <= status.commit && status.commit <= status.lastIndex,
      () =>
        `I2: ${machine.nodeId}: applied ${status.applied}, commit ${status.commit}, last ${status.lastIndex}`,
    );
    this.maxCommit = Math.max(this.maxCommit, status.commit);
    // What a follower has taken in and not handed over for writing yet is judged with the next look.
    if (status.role !== 'leader' && !seen.handed.endsWith(status)) return;
    for (let index = seen.commit + 1; index <= status.commit; index += 1) {
      const own = seen.handed.hashAt(index);
      if (own === null || own === 'compacted') continue;
      const hash = text(own);
      const known = this.#committed[index];
      this.#check(known === undefined || known.hash === hash, () => `I25: two committed entries at ${index}`);
      if (known === undefined) {
        this.#committed[index] = { hash, seenInTerm: status.term };
        // The commit may have come before the change of members that followed it in the same moment, or after it.
        const held = [seen.configuration, status.configuration].some((voting) =>
          this.#isHeld(voting, { index, own }),
        );
        this.#check(held, () => `I26: ${index} is committed, and not on the disks of a quorum`);
      }
    }
    seen.commit = status.commit;
  }

  /** I26: when it is committed an entry is on the disks of a quorum of each set of voters. */
  #isHeld(
    { voters, votersOutgoing }: Configuration,
    { index, own }: { readonly index: LogIndex; readonly own: Uint8Array },
  ): boolean {
    return [voters, votersOutgoing].every((set) => {
      const holders = set.filter((voter) => {
        const machine = this.#world.machines.get(voter);
        return machine !== undefined && this.#holds(machine, { index, hash: own });
      });
      return set.length === 0 || holders.length * 2 > set.length;
    });
  }

  #isCommittedHere(machine: Machine, index: LogIndex): boolean {
    const status = machine.running?.log.status();
    return status === undefined || status.commit >= index;
  }

  /** I41: what is in memory has its bounds. */
  #checkBounds(machine: Machine, status: RaftStatus): void {
    const { uncommittedBytesMax } = this.#world.knobs;
    this.#check(
      status.uncommittedBytes <= uncommittedBytesMax + 4_096,
      () => `I41: ${machine.nodeId} holds ${status.uncommittedBytes} uncommitted bytes`,
    );
  }

  /** I23, I25, I10, I29; I18: it keeps progress of every member, and of nobody else. */
  #checkLeader(machine: Machine, { seen, status }: { seen: Seen; status: RaftStatus }): void {
    const leader = this.#leaders.get(status.term);
    this.#check(
      leader === undefined || leader === machine.nodeId,
      () => `I23: two leaders in term ${status.term}`,
    );
    if (leader === undefined) {
      this.#leaders.set(status.term, machine.nodeId);
      this.counts.elections += 1;
      this.#checkComplete(machine, { seen, term: status.term });
    }
    const known = new Set<NodeId>([...membersOf(status.configuration), machine.nodeId]);
    this.#check(
      known.size === status.progress.length && status.progress.every(({ nodeId }) => known.has(nodeId)),
      () => `I18: ${machine.nodeId} leads ${[...known].join()}, and keeps progress of others`,
    );
    for (const { nodeId, match, next, suspect } of status.progress) {
      const before = seen.matches.get(nodeId) ?? 0;
      this.#check(match < next, () => `I10: match ${match} of ${nodeId} is not below next ${next}`);
      this.#check(
        suspect || match >= before,
        () => `I10: the match of ${nodeId} fell from ${before} to ${match}`,
      );
      if (match !== before) this.#checkMatch(machine, { seen, nodeId, match, term: status.term });
      seen.matches.set(nodeId, match);
    }
  }

  /** I29: a leader believes of nobody more than is on that disk. */
  #checkMatch(
    machine: Machine,
    { seen, nodeId, match, term }: { seen: Seen; nodeId: NodeId; match: LogIndex; term: Term },
  ): void {
    const peer = this.#world.machines.get(nodeId);
    const theirs = peer === undefined ? undefined : this.#seen.get(peer)?.durable;
    const own = seen.handed.hashAt(match);
    if (peer === undefined || theirs === undefined || own === null || own === 'compacted') return;
    this.#check(
      this.#holds(peer, { index: match, hash: own }) || theirs.hardState.term > term,
      () => `I29: ${machine.nodeId} believes that ${nodeId} holds ${match}`,
    );
  }

  /** Whether it is on that disk; or was when that was acknowledged, and the disk has lost it since. */
  #holds(
    machine: Machine,
    { index, hash }: { readonly index: LogIndex; readonly hash: Uint8Array },
  ): boolean {
    return [this.#seen.get(machine)?.durable, this.#damaged.get(machine)].some((log) => {
      const there = log?.hashAt(index) ?? null;
      return there !== null && (there === 'compacted' || sameBytes(there, hash));
    });
  }

  /** I25: a new leader holds everything that was committed in earlier terms. */
  #checkComplete(machine: Machine, { seen, term }: { seen: Seen; term: Term }): void {
    for (let index = seen.handed.base.index + 1; index < this.#committed.length; index += 1) {
      const committed = this.#committed[index];
      if (committed === undefined || committed.seenInTerm >= term) continue;
      const own = seen.handed.hashAt(index);
      const holds = own !== null && (own === 'compacted' || text(own) === committed.hash);
      this.#check(holds, () => `I25: ${machine.nodeId} leads term ${term} without ${index}`);
    }
  }

  #check(condition: boolean, message: () => string): void {
    this.#world.check(condition, message);
  }
}

function text(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('latin1');
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return asBuffer(one).equals(other);
}
