import type { LogIndex, NodeId } from '../../base/ids.ts';
import type { RaftState } from './state.ts';
import type { Place, SuspicionNotice } from './types.ts';

/**
 * This node's own log is SUSPECT: it has lost entries that it may have acknowledged (PAR/CTRL, Alagappan and others
 * 2018). Invariant 42: nothing that it says may count until a leader has replicated everything anew:
 * - it votes for nobody, not even in a pre-vote, and does not campaign;
 * - its answers to appends carry `suspect`; the leader lets them move what it sends next, and nothing else;
 * - its answers to heartbeats confirm no read round; it believes no commit index beyond what it has compared.
 * It does count as alive: a leader that stepped down because only a suspect node hears it could never mend that node.
 *
 * How it ends. The first answer that carries this node's mark, which each process draws anew, makes the leader of term T
 * count nothing of it any more, what it acknowledged before included, and fixes `through`: one more than the last index
 * of the leader's log at that time. The leader's appends carry `through` from then on, and the mark, so that none sent
 * earlier is taken for one of them. When this node holds the leader's log up to `through` durably, it is trusted again
 * (and the leader counts it again with the first answer without mark at or above `through`, which nothing that was lost
 * can have caused).
 *
 * Why that is safe. Let e be any entry that was or will be committed by a quorum that counts an acknowledgement which
 * this node gave in term T0 before the loss, and let the node be trusted again by the leader of T. Term and vote are
 * never lost (wal/suspicion.ts), so T0 <= T.
 * - T0 < T: some node of the quorum that committed e voted for T's leader, and held e when it did; this node too, if it
 *   was the one, since it did not vote between the loss and now. So e was in the log of T's leader when it was elected
 *   (Raft, section 5.4.3), below `through`.
 * - T0 = T: the same leader counted the acknowledgement. It can do so only up to when it learned of the suspicion, and
 *   only up to the end of its log then, below `through`.
 * So this node holds e when it votes again, and whoever it votes for has to hold e too.
 *
 * Should this node's vote of T be forgotten nevertheless, it is given to T's leader here: it votes for no other in T.
 */
export interface OwnSuspicion {
  /** What the log may have held; for people, and one more condition. */
  readonly until: Place;
  /** Drawn anew by each process, so that a notice for an earlier one says nothing. */
  readonly mark: number;
  /** An append has shown that its leader knows of it. */
  announced: boolean;
  /** Replicated so far by the leader of that term, as far as it asks for; counts once it is durable. */
  reached: { readonly place: Place; readonly leader: NodeId } | null;
}

const MARK_BYTES = 6;

/** From here on nothing that this node says counts. */
export function becomeSuspect(state: RaftState, until: Place): void {
  const mark = state.options.random.bytes(MARK_BYTES).readUIntBE(0, MARK_BYTES) + 1;
  state.suspicion = {
    until: { index: until.index, term: until.term },
    mark,
    announced: false,
    reached: null,
  };
}

/** What an answer to an append says of this. */
export function suspectMark({ suspicion }: RaftState): { readonly suspect?: number } {
  return suspicion === null ? {} : { suspect: suspicion.mark };
}

/**
 * A notice without mark asks whether this node holds what it has acknowledged. If it does not know that by now, its log
 * has lost something without a trace, as when an old disk is put back: it suspects itself. A notice with a mark asks for
 * more than was ever acknowledged; a sound node, of whose suspicion an old message told, just comes to hold that.
 */
export function heedNotice(state: RaftState, notice: SuspicionNotice | undefined): void {
  if (notice === undefined) return;
  const { suspicion } = state;
  if (suspicion !== null) {
    suspicion.announced ||= notice.mark === suspicion.mark;
  } else if (notice.mark === 0 && knownThrough(state) < notice.through) {
    becomeSuspect(state, { index: notice.through, term: state.term });
  }
}

/**
 * Up to where this log is the leader's, as far as this node can know. What ends in an entry of the leader's own term is
 * so wholly (invariant 24), also where a restart has made the node forget what it compared.
 */
export function knownThrough(state: RaftState): LogIndex {
  const { last, lastIndex } = state.log;
  return last.term === state.term ? lastIndex : state.comparedThrough;
}

/** An append of `leader` was accepted; the logs agree through `index`. */
export function noteReplicated(
  state: RaftState,
  notice: SuspicionNotice | undefined,
  { leader, index }: { readonly leader: NodeId; readonly index: LogIndex },
): void {
  const { suspicion, term } = state;
  if (suspicion === null || notice === undefined || notice.mark !== suspicion.mark) return;
  const { until } = suspicion;
  if (index < notice.through || (until.term === term && index < until.index)) return;
  suspicion.reached = { place: { index, term }, leader };
  trustWhenDurable(state);
}

/** What was replicated has perhaps become durable. */
export function trustWhenDurable(state: RaftState): void {
  const reached = state.suspicion?.reached ?? null;
  if (reached === null || reached.place.term !== state.term) return;
  if (state.durability.stable < reached.place.index) return;
  state.suspicion = null;
  state.vote ??= reached.leader;
  state.sendAfterPersist({
    type: 'appendResponse',
    from: state.nodeId,
    to: reached.leader,
    term: state.term,
    index: reached.place.index,
    rejected: false,
    hint: { index: 0, term: 0 },
  });
}
