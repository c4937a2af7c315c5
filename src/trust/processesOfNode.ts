import { HoldfastError } from '../base/errors.ts';
import type { NodeId, Term } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';

/** One run of a node. */
export interface NodeProcess {
  /** How often the node's data directory had been started by then, this run included; from 1. */
  readonly starts: number;
  /** Random, of this run alone. */
  readonly process: Uint8Array;
}

/** What a run says of itself. */
export interface ProcessClaim extends NodeProcess {
  /** The term that lies on its disk. That of a node never falls (I1), nor does a log that lost something lose it (I43). */
  readonly term: Term;
}

/** Bytes that tell two runs apart. */
export const PROCESS_BYTES = 16;

export function isSameProcess(one: NodeProcess, other: NodeProcess): boolean {
  return one.starts === other.starts && Buffer.compare(one.process, other.process) === 0;
}

/** Two processes that cannot both be the node's next one. */
interface Conflict {
  /** No process of this start, or of an earlier one, is heard any more. */
  readonly starts: number;
  readonly reason: string;
  /** When one of them showed itself last. */
  seenMs: number;
}

/** Another process than the one here is heard by other members. */
interface Doubt {
  readonly sinceMs: number;
  toldMs: number;
}

/**
 * What one member knows of the processes of another node, and which of them it hears. Pure: times come in.
 *
 * Two processes of one node are alive at once only when its data directory was copied or put back, and nobody can tell
 * from outside which of the two has what the node acknowledged and voted: a copy that is started at once counts one start
 * more than the node that runs on. So the one that is there goes on until it has gone, and where two have been heard,
 * neither is from then on, until a later start comes alone: to stop loses no acknowledged write, to guess does.
 */
export class ProcessesOfNode {
  readonly #nodeId: NodeId;
  #run: NodeProcess;
  /** Whose word `run` has taken. */
  #before: NodeProcess | null = null;
  /** The highest that a process with the word has told. */
  #term: Term;
  #connections = 0;
  /** The connection that has ended last was closed by this member: `run` need not have gone. */
  #wasCut = false;
  /** When `run` showed itself last. */
  #seenMs: number;
  /** When a later start was turned away last. */
  #contestedMs = Number.NEGATIVE_INFINITY;
  #conflict: Conflict | null = null;
  #doubt: Doubt | null = null;

  /** The first one that this member hears of. */
  constructor(nodeId: NodeId, { claim, nowMs }: { readonly claim: ProcessClaim; readonly nowMs: number }) {
    this.#nodeId = nodeId;
    this.#run = runOf(claim);
    this.#term = claim.term;
    this.#seenMs = nowMs;
  }

  /** Who has the word, or had it before there was a conflict. */
  get run(): NodeProcess {
    return this.#run;
  }

  /**
   * @throws HoldfastError NODE_ID_REUSED for one that is not heard now; INVALID_ARGUMENT for a count or term that no node
   *   comes to, and that would keep out every other process
   */
  admit(claim: ProcessClaim, nowMs: number): void {
    this.#requirePossible(claim);
    if (this.#conflict !== null) this.#requireLater(claim, this.#conflict, nowMs);
    else if (isSameProcess(claim, this.#run)) this.#requireUndisputed(nowMs);
    else this.#requireSuccessor(claim, nowMs);
    if (!isSameProcess(claim, this.#run)) this.#takeOver(runOf(claim));
    this.#term = Math.max(this.#term, claim.term);
    this.#seenMs = nowMs;
  }

  isHeard(run: NodeProcess, nowMs: number): boolean {
    return isSameProcess(run, this.#run) && this.#conflict === null && !this.#isInDoubt(nowMs);
  }

  opened(run: NodeProcess): void {
    if (isSameProcess(run, this.#run)) this.#connections += 1;
  }

  closed(run: NodeProcess, from: 'here' | 'there'): void {
    if (!isSameProcess(run, this.#run)) return;
    this.#connections -= 1;
    this.#wasCut = from === 'here';
  }

  spoke(run: NodeProcess, nowMs: number): void {
    if (isSameProcess(run, this.#run)) this.#seenMs = nowMs;
  }

  reached(term: Term): void {
    if (term - this.#term <= LIMITS.termJumpMax) this.#term = Math.max(this.#term, term);
  }

  /** One that has closed its connections is gone; one that is turned away has none, and shows itself by asking. */
  isPresent(nowMs: number): boolean {
    const shows = this.#connections > 0 || this.#conflict !== null || this.#isInDoubt(nowMs);
    return shows && nowMs - this.#seenMs <= LIMITS.processToldMs;
  }

  /** Another member hears this process of the node. */
  elsewhere(run: NodeProcess, nowMs: number): void {
    if (isSameProcess(run, this.#run) || this.#conflict !== null) return;
    if (run.starts === this.#run.starts) {
      this.#conflictWith(run, { nowMs, reason: bothOf(this.#nodeId, run) });
      return;
    }
    // After a restart the members change over one by one: the one before is told of no more once its connections end.
    if (!this.isPresent(nowMs)) return;
    const doubt = this.#isInDoubt(nowMs) ? this.#doubt : null;
    this.#doubt = { sinceMs: doubt?.sinceMs ?? nowMs, toldMs: nowMs };
    if (nowMs - this.#doubt.sinceMs < LIMITS.processDoubtMsMax) return;
    this.#conflictWith(run, { nowMs, reason: besideOf(this.#nodeId, this.#run, run) });
  }

  #isInDoubt(nowMs: number): boolean {
    return this.#doubt !== null && nowMs - this.#doubt.toldMs <= LIMITS.processToldMs;
  }

  #requirePossible({ starts, term }: ProcessClaim): void {
    if (starts - this.#run.starts > LIMITS.startJumpMax)
      throw impossible('starts', `is more than ${LIMITS.startJumpMax} above the last one heard`);
    if (term - this.#term > LIMITS.termJumpMax)
      throw impossible('term', `is more than ${LIMITS.termJumpMax} above the last one heard`);
  }

  #requireLater(claim: ProcessClaim, conflict: Conflict, nowMs: number): void {
    if (claim.starts <= conflict.starts) conflict.seenMs = nowMs;
    if (isSameProcess(claim, this.#run)) this.#seenMs = nowMs;
    const isAlone = nowMs - conflict.seenMs >= LIMITS.processSilentMs;
    if (claim.starts <= conflict.starts || !isAlone) throw inConflict(conflict.reason);
    this.#requireTerm(claim);
  }

  #requireUndisputed(nowMs: number): void {
    this.#seenMs = nowMs;
    if (!this.#isInDoubt(nowMs)) return;
    throw reused(`other members hear another process of node ${this.#nodeId} than that of ${of(this.#run)}`);
  }

  #requireSuccessor(claim: ProcessClaim, nowMs: number): void {
    const [run, nodeId] = [this.#run, this.#nodeId];
    if (claim.starts === run.starts)
      throw this.#conflictWith(claim, { nowMs, reason: bothOf(nodeId, claim) });
    // It was there when the later one was started.
    if (this.#before !== null && isSameProcess(claim, this.#before))
      throw this.#conflictWith(claim, { nowMs, reason: besideOf(nodeId, run, claim) });
    if (claim.starts < run.starts)
      throw reused(`a process of ${of(claim)} of node ${nodeId} came after one of start ${run.starts}`);
    this.#requireTerm(claim);
    if (this.#isGone(nowMs)) return;
    this.#contestedMs = nowMs;
    throw reused(
      `a process of ${of(claim)} of node ${nodeId} came while one of start ${run.starts} is heard`,
    );
  }

  #requireTerm(claim: ProcessClaim): void {
    if (claim.term >= this.#term) return;
    throw reused(
      `a process of ${of(claim)} of node ${this.#nodeId} is at term ${claim.term}, and that node was at ${this.#term}`,
    );
  }

  /**
   * Whoever ends, killed or not, has its connections closed. They stay half open after a cut of the power or of the way,
   * until keepalive finds out; a copy that has been waiting must not slip in where one breaks; and whom this member has
   * cut off dials again.
   */
  #isGone(nowMs: number): boolean {
    if (nowMs - this.#seenMs >= LIMITS.processSilentMs) return true;
    if (this.#wasCut) return false;
    return this.#connections === 0 && nowMs - this.#contestedMs >= LIMITS.processSilentMs;
  }

  #takeOver(run: NodeProcess): void {
    this.#before = this.#run;
    this.#run = run;
    this.#connections = 0;
    this.#wasCut = false;
    this.#contestedMs = Number.NEGATIVE_INFINITY;
    this.#conflict = null;
    this.#doubt = null;
  }

  #conflictWith(
    other: NodeProcess,
    { nowMs, reason }: { readonly nowMs: number; readonly reason: string },
  ): HoldfastError {
    this.#conflict = { starts: Math.max(other.starts, this.#run.starts), reason, seenMs: nowMs };
    return inConflict(reason);
  }
}

/** A claim may hold more, and views on a frame. */
function runOf({ starts, process }: NodeProcess): NodeProcess {
  return { starts, process: Buffer.from(process) };
}

function of({ starts }: NodeProcess): string {
  return `start ${starts} of the data directory`;
}

function bothOf(nodeId: NodeId, { starts }: NodeProcess): string {
  return `two processes run as node ${nodeId}, both of start ${starts} of its data directory`;
}

function besideOf(nodeId: NodeId, one: NodeProcess, other: NodeProcess): string {
  const [earlier, later] = [one.starts, other.starts].toSorted((a, b) => a - b);
  return `two processes run as node ${nodeId}, of start ${earlier} and of start ${later} of its data directory`;
}

function reused(message: string): HoldfastError {
  return new HoldfastError('NODE_ID_REUSED', message, {
    field: 'node_id',
    hint: 'Stop the one whose data directory is a copy or an old backup; empty that directory, and let it join as a new node.',
  });
}

function inConflict(message: string): HoldfastError {
  return new HoldfastError('NODE_ID_REUSED', message, {
    field: 'node_id',
    hint: 'Neither is heard. Stop both, empty the directory that is a copy or an old backup, and start the node on the other one.',
  });
}

function impossible(field: string, rule: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `${field} ${rule}`, { field });
}
