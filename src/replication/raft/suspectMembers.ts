import type { Progress } from './progress.ts';
import { appendOwn } from './proposals.ts';
import type { RaftState } from './state.ts';
import type { Message } from './types.ts';

type AppendResponse = Extract<Message, { type: 'appendResponse' }>;

/**
 * Leader: judges by an answer whether the member's acknowledgements count (suspicion.ts).
 * - It says that its log is suspect: they do not, the earlier ones included.
 * - It acknowledges, without mark, what lies above all that the log held when it said so: it counts again.
 * - It refuses what it has acknowledged in this term: that is a late answer, or it has lost that and does not know. It
 *   is asked; see `askAgain`.
 */
export function judgeMember(state: RaftState, message: AppendResponse, progress: Progress): void {
  const { suspect: mark, rejected, index } = message;
  const { suspicion } = progress;
  if (mark !== undefined) {
    if (suspicion === null) state.suspicionsRaised += 1;
    // Another mark is another loss: what it acknowledged since the first one counts no more than what it did before.
    const through = suspicion?.mark === mark ? suspicion.through : state.log.lastIndex + 1;
    progress.suspect({ mark, through });
  } else if (suspicion === null) {
    if (rejected && index > 0 && index <= progress.match) askAgain(state, message, progress);
  } else if (!rejected && index >= suspicion.through && index <= state.log.lastIndex) {
    progress.trust();
  }
  fillUp(state, progress);
}

/** What the member has to acknowledge must exist, in a cluster too that has nothing to write. */
function fillUp(state: RaftState, { suspicion }: Progress): void {
  if (suspicion === null || state.transfer !== null || state.log.lastIndex >= suspicion.through) return;
  appendOwn(state, 'empty', () => new Uint8Array(0));
}

/**
 * A notice up to what the member has acknowledged. Whoever holds that, and has not forgotten, answers as ever; whoever
 * does not hold it will say in its answer that its log is suspect.
 */
function askAgain(state: RaftState, { from }: AppendResponse, { match }: Progress): void {
  const previous = state.log.at(match);
  if (previous === null) return;
  state.send({
    type: 'append',
    from: state.nodeId,
    to: from,
    term: state.term,
    previous: { index: previous.index, term: previous.term },
    previousHash: previous.hash,
    entries: [],
    commit: state.log.commit,
    suspicion: { mark: 0, through: match },
  });
}
