import { asBuffer } from '../../src/base/bytes.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type { LogIndex, NodeId, Term } from '../../src/base/ids.ts';
import type { Outcome } from '../../src/proto/storage.ts';
import { membersOf, NO_CONFIGURATION } from '../../src/replication/raft/configuration.ts';
import type {
  Configuration,
  Entry,
  HardState,
  Message,
  RaftStatus,
  SnapshotMetadata,
} from '../../src/replication/raft/types.ts';
import type { WalBatch, WalContents } from '../../src/replication/wal/types.ts';
import type { Store } from '../../src/store/store.ts';
import { watermarkOn } from './damage.ts';
import { type Machine, TICK_MS } from './machine.ts';
import type { AppliedEvent } from './machineState.ts';
import { LogModel, type WalObserver } from './observedWal.ts';
import { isQuorum, quorumsMeet } from './quorums.ts';
import type { ToldRevisions } from './watcher.ts';
import type { World } from './world.ts';

interface Seen {
  /** What a crash must leave at least. */
  durable: LogModel;
  /** Handed over and not durable yet. */
  pending: WalBatch[];
  /** What the core believes to have. */
  handed: LogModel;
  commit: LogIndex;
  term: Term;
  /** In force when it was last looked at. */
  configuration: Configuration;
  /** As leader: what it believed of whom. */
  matches: Map<NodeId, LogIndex>;
}

interface Committed {
  readonly hash: string;
  readonly seenInTerm: Term;
}

/** One entry as the first node to apply it did. */
interface History {
  readonly hash: string;
  readonly digest: string;
  readonly outcomes: readonly Outcome[];
}

/** Only who leads, or believes so, sends these. */
const LEADING: ReadonlySet<Message['type']> = new Set(['append', 'commit', 'heartbeat', 'snapshotOffer']);

/** Sees everything, over all lives of all machines, and ends the run when an invariant of the whole breaks. */
export class Observer {
  readonly #world: World;
  readonly #seen = new Map<Machine, Seen>();
  readonly #leaders = new Map<Term, NodeId>();
  readonly #hashes = new Map<string, string>();
  readonly #committed: (Committed | undefined)[] = [];
  readonly #history: (History | undefined)[] = [];
  readonly #requests = new Map<string, { readonly index: LogIndex; readonly answer: string }>();
  #newestConfiguration: Configuration = NO_CONFIGURATION;
  #newestConfigurationIndex: LogIndex = 0;
  readonly toldRevisions: ToldRevisions = new Map();
  /** Machines whose disk has lost something and that are not trusted again, with what they had held. */
  readonly #damaged = new Map<Machine, LogModel>();
  readonly #heard = new Map<
    Machine,
    { readonly from: Set<NodeId>; quietTimers: number; logTimeMs: number }
  >();
  maxCommit: LogIndex = 0;
  /** Everything up to here has been told to some client. */
  maxAnswered: LogIndex = 0;
  counts = { elections: 0, applied: 0, installed: 0, fatal: 0, damaged: 0, suspected: 0 };

  constructor(world: World) {
    this.#world = world;
  }

  /** What the founders begin with. */
  begin(configuration: Configuration): void {
    this.#newestConfiguration = configuration;
  }

  /** The configuration that was committed last, as far as anybody has applied it. */
  get newestConfiguration(): Configuration {
    return this.#newestConfiguration;
  }

  /** Whether another configuration than the newest may come into force: one is joint, or lies in some log. */
  get isChangePending(): boolean {
    if (this.#newestConfiguration.votersOutgoing.length > 0) return true;
    for (const { handed } of this.#seen.values()) {
      for (const { type, index } of handed.entries) {
        if (type === 'configuration' && index > this.#newestConfigurationIndex) return true;
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
    { contents, applied }: { contents: WalContents; applied: SnapshotMetadata },
  ): void {
    const found = new LogModel(contents);
    const before = this.#seen.get(machine);
    if (before !== undefined) {
      this.#checkHardState(machine, { before: before.durable.hardState, after: contents.hardState });
      const suspect = (contents.suspicion ?? null) !== null;
      if (suspect) this.counts.suspected += 1;
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
    this.#heard.delete(machine);
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
    this.#damaged.set(machine, this.#of(machine).durable);
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
    if (LEADING.has(message.type)) this.#checkDiskAnswers(machine, message);
    switch (message.type) {
      case 'vote':
        this.#check(
          hardState.term > message.term ||
            (hardState.term === message.term && hardState.vote === machine.nodeId),
          () => `I30: ${machine.nodeId} asks for votes in term ${message.term} before that is durable`,
        );
        return;
      case 'voteResponse':
        if (message.rejected) return;
        this.#check(
          hardState.term > message.term || (hardState.term === message.term && hardState.vote === message.to),
          () => `I30: ${machine.nodeId} votes in term ${message.term} before that is durable`,
        );
        return;
      case 'appendResponse':
        if (message.rejected) return;
        this.#check(
          hardState.term > message.term ||
            (hardState.term === message.term && this.#of(machine).durable.lastIndex >= message.index),
          () => `I30: ${machine.nodeId} acknowledges ${message.index} before that is durable`,
        );
        return;
      default:
    }
  }

  /** I13, I27, I32, I34: every node applies the same entry to the same effect at the same index, once. */
  applied(machine: Machine, { event, store }: { event: AppliedEvent; store: Store }): void {
    this.#world.guard(() => {
      const { entry, outcomes } = event;
      this.counts.applied += 1;
      const hash = text(entry.hash);
      const digest = text(store.digest);
      const own = this.#of(machine).durable.hashAt(entry.index);
      this.#check(
        own === 'compacted' || (own !== null && sameBytes(own, entry.hash)),
        () => `I2: ${machine.nodeId} applies ${entry.index} before it is durable there`,
      );
      const listening = this.#listening(machine);
      this.#check(
        store.logTimeMs >= listening.logTimeMs,
        () => `I34: log time runs backwards at ${entry.index}`,
      );
      listening.logTimeMs = store.logTimeMs;
      const known = this.#history[entry.index];
      if (known === undefined) {
        this.#history[entry.index] = { hash, digest, outcomes };
        this.#checkOnce(event);
        if (entry.type === 'configuration') this.#configured(entry.index, entry.configuration);
      } else {
        this.#check(
          known.hash === hash,
          () => `I27: ${machine.nodeId} applies another entry at ${entry.index}`,
        );
        this.#check(
          known.digest === digest,
          () => `I27: the state of ${machine.nodeId} differs at ${entry.index}`,
        );
      }
      this.#check(
        entry.index <= this.maxCommit || this.#isCommittedHere(machine, entry.index),
        () => `I2: ${entry.index} is applied and not committed`,
      );
    });
  }

  installed(machine: Machine, { index, store }: { index: LogIndex; store: Store }): void {
    this.#world.guard(() => {
      this.counts.installed += 1;
      const known = this.#history[index];
      if (known === undefined) return;
      this.#check(
        known.digest === text(store.digest),
        () => `I27: ${machine.nodeId} installed another state at ${index}`,
      );
    });
  }

  /** The answer that a client gets for what was applied at `index`. */
  outcomesAt(index: LogIndex): readonly Outcome[] {
    return this.#history[index]?.outcomes ?? [];
  }

  digestAt(index: LogIndex): string | null {
    return this.#history[index]?.digest ?? null;
  }

  /** A client has been told of everything up to `index`; `askedAt` is what others had been told when it asked. */
  answered({ index, askedAt }: { readonly index: LogIndex; readonly askedAt: LogIndex }): void {
    this.#check(
      index > askedAt,
      () => `I32: an answer at ${index} to a request made after one at ${askedAt}`,
    );
    this.maxAnswered = Math.max(this.maxAnswered, index);
  }

  /** I31: a read misses nothing that was committed anywhere when it was asked for. */
  read({ index, askedAtCommit }: { readonly index: LogIndex; readonly askedAtCommit: LogIndex }): void {
    this.#check(index >= askedAtCommit, () => `I31: a read at ${index} misses ${askedAtCommit}`);
    this.maxAnswered = Math.max(this.maxAnswered, index);
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
    if (status.role === 'leader') this.#checkLeader(machine, { seen, status });
    else seen.matches.clear();
    return status;
  }

  /** A message has arrived; who is heard counts for the check of a leader's quorum. */
  heard(machine: Machine, from: NodeId): void {
    this.#listening(machine).from.add(from);
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

  /**
   * CheckQuorum: a leader that a quorum has not spoken to for several of its election timeouts does not lead any more.
   */
  timerFired(machine: Machine): void {
    const status = machine.running?.log.status();
    const listening = this.#listening(machine);
    const { electionTicksMin } = this.#world.knobs;
    if (status === undefined || status.role !== 'leader') {
      listening.from.clear();
      listening.quietTimers = 0;
      return;
    }
    const heard = new Set([...listening.from, machine.nodeId]);
    listening.quietTimers += 1;
    if (isQuorum(status.configuration, heard)) {
      listening.from.clear();
      listening.quietTimers = 0;
    }
    this.#check(
      listening.quietTimers <= 4 * electionTicksMin + 20,
      () =>
        `CheckQuorum: ${machine.nodeId} leads, and has not heard from a quorum for ${listening.quietTimers} ticks`,
    );
  }

  #listening(machine: Machine): { readonly from: Set<NodeId>; quietTimers: number; logTimeMs: number } {
    const known = this.#heard.get(machine);
    if (known !== undefined) return known;
    const listening = { from: new Set<NodeId>(), quietTimers: 0, logTimeMs: 0 };
    this.#heard.set(machine, listening);
    return listening;
  }

  /** F5: a leader whose disk hangs does not keep its followers. */
  #checkDiskAnswers(machine: Machine, message: Message): void {
    const { electionTicksMin } = this.#world.knobs;
    const pendingMs = machine.running?.wal.pendingWriteMs() ?? 0;
    this.#check(
      pendingMs <= electionTicksMin * TICK_MS + 1,
      () =>
        `F5: ${machine.nodeId} sends ${message.type}, and its disk has not answered for ${Math.round(pendingMs)} ms`,
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

  #checkHardState(machine: Machine, { before, after }: { before: HardState; after: HardState }): void {
    this.#check(after.term >= before.term, () => `I1: the stored term of ${machine.nodeId} fell`);
    this.#check(
      after.term > before.term || before.vote === null || after.vote === before.vote,
      () => `I1: ${machine.nodeId} changed its vote in term ${after.term}`,
    );
  }

  /** What is found is what was durable, and perhaps some of the writes that were under way, in their order. */
  #checkFound(machine: Machine, { before, found }: { before: Seen; found: LogModel }): void {
    const due = before.durable.copy();
    for (const batch of [null, ...before.pending]) {
      if (batch !== null) due.apply(batch);
      if (found.endsAs(due)) return;
    }
    this.#check(
      false,
      () =>
        `I26: ${machine.nodeId} finds a log that ends at ${found.lastIndex}, and ${before.durable.lastIndex} was durable`,
    );
  }

  #checkCommit(machine: Machine, { seen, status }: { seen: Seen; status: RaftStatus }): void {
    this.#check(status.commit >= seen.commit, () => `I4: the commit index of ${machine.nodeId} fell`);
    this.#check(
      status.applied <= status.commit && status.commit <= status.lastIndex,
      () =>
        `I2: ${machine.nodeId}: applied ${status.applied}, commit ${status.commit}, last ${status.lastIndex}`,
    );
    // Below its first index a log has been replaced, which is handed over for writing a moment later.
    for (let index = Math.max(seen.commit + 1, status.firstIndex); index <= status.commit; index += 1) {
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
    this.maxCommit = Math.max(this.maxCommit, status.commit);
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

  /** I23, I25, I10, I29, I16, I18. */
  #checkLeader(machine: Machine, { seen, status }: { seen: Seen; status: RaftStatus }): void {
    const known = this.#leaders.get(status.term);
    this.#check(
      known === undefined || known === machine.nodeId,
      () => `I23: two leaders in term ${status.term}`,
    );
    if (known === undefined) {
      this.#leaders.set(status.term, machine.nodeId);
      this.counts.elections += 1;
      this.#checkComplete(machine, { seen, term: status.term });
    }
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

  /** I28: the quorums of configurations that follow each other meet. */
  #configured(index: LogIndex, configuration: Configuration): void {
    const before = this.newestConfiguration;
    this.#newestConfiguration = configuration;
    this.#newestConfigurationIndex = index;
    this.#check(quorumsMeet(before, configuration), () => `I28: quorums at ${index} and before do not meet`);
    this.#check(membersOf(configuration).length > 0, () => `I18: nobody is left at ${index}`);
  }

  /** I32: a request is executed once, and answered the same whenever it comes again. */
  #checkOnce({ entry, batch, outcomes }: AppliedEvent): void {
    batch?.commands.forEach((command, place) => {
      const { request } = command;
      const outcome = outcomes[place];
      if (!request || outcome === undefined) return;
      const id = `${request.clientId}/${request.number}`;
      const answer = JSON.stringify({
        revision: outcome.transaction?.revision,
        succeeded: outcome.transaction?.succeeded,
        code: outcome.failure?.code,
      });
      const known = this.#requests.get(id);
      if (outcome.failure?.code === 'REQUEST_FORGOTTEN') return;
      if (known === undefined) {
        this.#requests.set(id, { index: entry.index, answer });
        this.#check(!outcome.replayed, () => `I32: ${id} is replayed before it was executed`);
        return;
      }
      this.#check(
        outcome.replayed,
        () => `I32: ${id} is executed at ${known.index} and again at ${entry.index}`,
      );
      this.#check(known.answer === answer, () => `I32: ${id} is answered ${known.answer} and then ${answer}`);
    });
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
