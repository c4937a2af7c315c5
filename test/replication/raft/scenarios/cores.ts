import { createHash } from 'node:crypto';
import type { RandomSource } from '../../../../src/base/random.ts';
import { entryHash } from '../../../../src/replication/raft/entryHash.ts';
import { Raft } from '../../../../src/replication/raft/raft.ts';
import type { Configuration, Entry } from '../../../../src/replication/raft/types.ts';
import { type Disk, lastOnDisk, type Machine } from '../cluster.ts';

/** The knobs of every core of a script. */
export interface Knobs {
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  readonly appendBytesMax: number;
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  readonly uncommittedBytesMax: number;
  readonly pendingReadRoundsMax: number;
}

export const KNOBS: Knobs = {
  electionTicks: 5,
  heartbeatTicks: 1,
  appendBytesMax: 4096,
  inFlightMessagesMax: 8,
  inFlightBytesMax: 8192,
  uncommittedBytesMax: 64 * 1024,
  pendingReadRoundsMax: 16,
};

/** Every election timeout is the longest; numbers of forwarded reads start where a reader can tell them apart. */
class ScriptedRandom implements RandomSource {
  readonly #start: number;

  constructor(start: number) {
    this.#start = start;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    bytes.writeUIntBE(this.#start, length - 6, 6);
    return bytes;
  }

  integer({ max }: { min: number; max: number }): number {
    return max - 1;
  }
}

/** A core that starts from what the machine's disk holds. `starts` counts the starts of this machine. */
export function makeCore(
  { id, disk, suspectUntil }: Machine,
  start: { knobs: Knobs; starts: number; stateMissing: boolean },
): Raft {
  const { electionTicks, ...knobs } = start.knobs;
  return new Raft({
    ...knobs,
    electionTicksMin: electionTicks,
    electionTicksMax: electionTicks * 2,
    nodeId: id,
    random: new ScriptedRandom(Number.parseInt(id, 16) * 1000 + start.starts * 100 - 99),
    initial: {
      hardState: disk.hardState,
      snapshot: disk.base,
      entries: [...disk.entries],
      applied: disk.state.index,
      configuration: disk.state.configuration,
      stateMissing: start.stateMissing,
      suspectUntil,
    },
  });
}

/** Puts entries of these terms on a disk, and a term of its own; nothing of it is committed or applied. */
export function rewriteLog(disk: Disk, past: { terms: readonly number[]; term: number }): void {
  let before = disk.base.hash;
  disk.entries = past.terms.map((term, at): Entry => {
    const place = { index: disk.base.index + at + 1, term };
    const payload = Buffer.from(`${place.index}@${term}`);
    before = entryHash(before, place, 'normal', payload);
    return { ...place, type: 'normal', payload, hash: before };
  });
  disk.hardState = { term: past.term, vote: null, commit: disk.base.index };
}

/** The last entries are gone from the disk, whatever their node has said of them; term and vote are still there. */
export function dropTail(disk: Disk, count: number): void {
  disk.entries = disk.entries.slice(0, -count);
  disk.hardState = { ...disk.hardState, commit: Math.min(disk.hardState.commit, lastOnDisk(disk)) };
}

/** A log and a state that start at `index`, written in term 1. */
export function beginAt(machine: Machine, index: number, configuration: Configuration): void {
  const hash = createHash('sha256').update(`base ${index}`).digest();
  const { disk } = machine;
  disk.hardState = { term: 1, vote: null, commit: index };
  disk.base = { index, term: 1, hash, configuration };
  disk.state = { index, term: 1, digest: hash.toString('hex'), configuration };
}
