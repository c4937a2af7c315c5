import { assert, present } from '../../../src/base/assert.ts';
import type { NodeId } from '../../../src/base/ids.ts';
import type { Entry, Message, ReadState } from '../../../src/replication/raft/types.ts';
import { hashOnDisk, lastOnDisk, type Machine } from './cluster.ts';

interface Committed {
  readonly hash: string;
  /** The term of the node that was seen to commit it first. */
  readonly seenInTerm: number;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Sees everything, across restarts, and stops the run when an invariant of the whole cluster breaks. */
export class Oracle {
  readonly #machines: ReadonlyMap<NodeId, Machine>;
  readonly #leaders = new Map<number, NodeId>();
  readonly #hashes = new Map<string, string>();
  readonly #committed: Committed[] = [];
  readonly #digests = new Map<string, string>();
  readonly #seenCommit = new Map<NodeId, number>();
  readonly #reads = new Map<string, number>();
  readonly #leaderMatches = new Map<NodeId, Map<NodeId, number>>();
  #maxCommit = 0;
  readsAnswered = 0;

  constructor(machines: ReadonlyMap<NodeId, Machine>) {
    this.#machines = machines;
  }

  get maxCommit(): number {
    return this.#maxCommit;
  }

  get elections(): number {
    return this.#leaders.size;
  }

  crashed(machine: Machine): void {
    this.#seenCommit.delete(machine.id);
    this.#leaderMatches.delete(machine.id);
  }

  /** I24: a place has one hash, in every log that ever was. The chain makes that the whole prefix. */
  logged(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const place = `${entry.index}/${entry.term}`;
      const hash = hex(entry.hash);
      assert((this.#hashes.get(place) ?? hash) === hash, `I24: two entries at ${place}`);
      this.#hashes.set(place, hash);
    }
  }

  /** I27: the same state at the same index everywhere. */
  appliedEntry(before: string, entry: Entry): string {
    const digest = hex(entry.hash);
    const key = `${entry.index}`;
    assert((this.#digests.get(key) ?? digest) === digest, `I27: states differ at ${key} after ${before}`);
    this.#digests.set(key, digest);
    return digest;
  }

  /** I30: what is said is already durable. */
  justified(machine: Machine, message: Message): void {
    const { hardState } = machine.disk;
    if (message.type === 'vote') {
      assert(
        hardState.term >= message.term && (hardState.term > message.term || hardState.vote === machine.id),
        'I30: a candidacy that is not durable',
      );
    }
    if (message.type === 'voteResponse' && !message.rejected) {
      const durable = hardState.term === message.term && hardState.vote === message.to;
      assert(durable || hardState.term > message.term, 'I30: a vote that is not durable');
    }
    if (message.type === 'appendResponse' && !message.rejected) {
      assert(hardState.term >= message.term, 'I30: an ack in a term that is not durable');
      const durable = lastOnDisk(machine.disk) >= message.index;
      assert(durable || hardState.term > message.term, `I30: an ack of ${message.index} that is not durable`);
    }
  }

  readRequested(machine: Machine, requestId: number): void {
    this.#reads.set(`${machine.id}/${requestId}`, this.#maxCommit);
  }

  /** I31: nothing that was committed anywhere when the read was asked for is missed. */
  readAnswered(machine: Machine, read: ReadState): void {
    const key = `${machine.id}/${read.requestId}`;
    const asked = this.#reads.get(key);
    if (asked === undefined || read.index === null) return;
    assert(read.index >= asked, `I31: a stale read: ${read.index}, but ${asked} was committed before`);
    this.readsAnswered += 1;
  }

  check(machine: Machine): void {
    const { raft } = machine;
    if (raft === null) return;
    const status = raft.status();
    this.#checkCommit(machine, status.commit, status.term);
    if (status.role !== 'leader') {
      this.#leaderMatches.delete(machine.id);
      return;
    }
    const known = this.#leaders.get(status.term);
    assert(known === undefined || known === machine.id, `I23: two leaders in term ${status.term}`);
    if (known === undefined) {
      this.#leaders.set(status.term, machine.id);
      this.#checkCompleteness(machine, status.term);
    }
    this.#checkMatches(machine, status.progress);
  }

  /** I10 and I29. */
  #checkMatches(
    machine: Machine,
    progress: readonly { nodeId: NodeId; match: number; next: number; suspect: boolean }[],
  ): void {
    const before = this.#leaderMatches.get(machine.id) ?? new Map<NodeId, number>();
    const now = new Map<NodeId, number>();
    for (const { nodeId, match, next, suspect } of progress) {
      assert(match < next, 'I10: match < next');
      assert(suspect || match >= (before.get(nodeId) ?? 0), 'I10: match fell');
      now.set(nodeId, match);
      if (match === (before.get(nodeId) ?? 0)) continue;
      const member = this.#machines.get(nodeId);
      // What a disk has lost was acknowledged nevertheless; the leader has not heard of it yet.
      if (member === undefined || match <= member.lostThrough) continue;
      const { disk } = member;
      const theirs = hashOnDisk(disk, match);
      const own = machine.core.hashAt(match);
      const equal = theirs === 'compacted' || own === null || theirs === hex(own);
      assert(
        equal || disk.hardState.term > machine.core.status().term,
        `I29: ${nodeId} does not hold ${match}`,
      );
    }
    this.#leaderMatches.set(machine.id, now);
  }

  #checkCommit(machine: Machine, commit: number, term: number): void {
    const from = this.#seenCommit.get(machine.id) ?? machine.core.base.index;
    assert(commit >= from, 'I4: the commit index fell');
    for (let index = from + 1; index <= commit; index += 1) {
      const own = machine.core.hashAt(index);
      if (own === null) continue;
      const hash = hex(own);
      const known = this.#committed[index];
      assert(known === undefined || known.hash === hash, `I25: two committed entries at ${index}`);
      if (known === undefined) {
        this.#committed[index] = { hash, seenInTerm: term };
        this.#checkDurable(machine, index, hash);
      }
    }
    this.#seenCommit.set(machine.id, commit);
    this.#maxCommit = Math.max(this.#maxCommit, commit);
  }

  /** I26: at the moment of its commit an entry is on the disks of a quorum. */
  #checkDurable(machine: Machine, index: number, hash: string): void {
    const { voters, votersOutgoing } = machine.core.configuration;
    const held = [voters, votersOutgoing].every((set) => {
      const holders = set.filter((voter) => {
        const member = present(this.#machines.get(voter), 'voter');
        const on = hashOnDisk(member.disk, index);
        return on === hash || on === 'compacted' || index <= member.lostThrough;
      });
      return set.length === 0 || holders.length * 2 > set.length;
    });
    assert(held, `I26: ${index} is committed but not on the disks of a quorum`);
  }

  /** I25: a new leader holds everything that was committed in earlier terms. */
  #checkCompleteness(machine: Machine, term: number): void {
    const { base } = machine.core;
    for (let index = base.index + 1; index < this.#committed.length; index += 1) {
      const committed = this.#committed[index];
      if (committed === undefined || committed.seenInTerm >= term) continue;
      const own = machine.core.hashAt(index);
      assert(own !== null && hex(own) === committed.hash, `I25: leader of term ${term} lacks ${index}`);
    }
  }
}
