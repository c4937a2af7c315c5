import { statfs } from 'node:fs/promises';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import type { Submission } from './submit.ts';

export interface DiskReserveParts {
  readonly nodeId: NodeId;
  readonly reserveBytes: number;
  /** What this program may still write on the file system of the data directory. */
  readonly freeBytes: () => Promise<number>;
  readonly leader: () => NodeId | null;
  readonly voters: () => readonly NodeId[];
  readonly nameOf: (nodeId: NodeId) => string;
  readonly logger: Logger;
}

/** Free bytes on the file system of a directory, without what is kept for the superuser. */
export async function freeBytesOf(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return bavail * bsize;
}

/**
 * Turns writes away before a disk is full: a disk that is full stops its node, and a node needs space to start again.
 * What does not grow the store for good, and what the cluster itself needs, goes on, so that an operator can get out.
 */
export class DiskReserve {
  readonly #parts: DiskReserveParts;
  /** Other nodes that said that they are low. */
  readonly #lowOthers = new Set<NodeId>();
  #low = false;
  #freeBytes: number | null = null;
  #checking = false;

  constructor(parts: DiskReserveParts) {
    this.#parts = parts;
  }

  /** Null before the first look at the disk. */
  get freeBytes(): number | null {
    return this.#freeBytes;
  }

  get reserveBytes(): number {
    return this.#parts.reserveBytes;
  }

  /** Whether this node is down to its reserve. */
  get low(): boolean {
    return this.#low;
  }

  /** Looks at the disk; to be called every few seconds. Never rejects. */
  async check(): Promise<void> {
    if (this.#checking) return;
    this.#checking = true;
    try {
      this.#freeBytes = await this.#parts.freeBytes();
      this.#judge(this.#freeBytes);
    } catch (thrown) {
      this.#parts.logger.warn({ code: systemErrorCode(thrown) }, 'the free space cannot be asked for');
    } finally {
      this.#checking = false;
    }
  }

  /** Looks at the disk now. @throws HoldfastError NO_SPACE when this node is down to its reserve */
  async requireRoom(): Promise<void> {
    await this.check();
    if (!this.#low) return;
    throw new HoldfastError('NO_SPACE', 'the disk is down to its reserve: no second state is written to it', {
      hint: 'free space on that disk, or enlarge it; it is tried again',
    });
  }

  heard(from: NodeId, { lowSpace }: { readonly lowSpace: boolean }): void {
    if (!lowSpace) this.#lowOthers.delete(from);
    else if (this.#lowOthers.size < LIMITS.membersMax) this.#lowOthers.add(from);
  }

  /** Why a command is turned away now, or null. */
  refusal(submission: Submission): HoldfastError | null {
    if (submission.readValues && this.#isHalfGone()) return noRoomForRecords();
    const low = this.#inTheWay();
    if (low.length === 0 || !puts(submission)) return null;
    const names = low.map((nodeId) => this.#parts.nameOf(nodeId)).join(', ');
    return new HoldfastError('NO_SPACE', `the disk of ${names} is down to its reserve; nothing was written`, {
      hint: 'free space on that disk, or enlarge it; holdfast kv delete and holdfast kv compact go on',
    });
  }

  /** For status, one sentence each. */
  get warnings(): readonly string[] {
    if (!this.#low) return [];
    const free = mebibytes(this.#freeBytes ?? 0);
    return [
      `the disk of this node is down to its reserve: ${free} MiB free, ${mebibytes(this.#parts.reserveBytes)} MiB kept`,
    ];
  }

  /** The leader, or so many voters that the others are no majority; an entry must fit on the disks of one. */
  #inTheWay(): readonly NodeId[] {
    const voters = this.#parts.voters();
    const low = voters.filter((nodeId) => this.#isLow(nodeId));
    if (voters.length - low.length < Math.floor(voters.length / 2) + 1) return low;
    const leader = this.#parts.leader();
    return leader !== null && this.#isLow(leader) ? [leader] : [];
  }

  /** Each audited read leaves a record, which is kept: they may have half of the reserve, and not what it takes to start again. */
  #isHalfGone(): boolean {
    return this.#low && this.#freeBytes !== null && this.#freeBytes < this.#parts.reserveBytes / 2;
  }

  #isLow(nodeId: NodeId): boolean {
    return nodeId === this.#parts.nodeId ? this.#low : this.#lowOthers.has(nodeId);
  }

  /** Space that is just enough comes and goes: it has to be a quarter more than the reserve to count again. */
  #judge(freeBytes: number): void {
    const { reserveBytes, logger } = this.#parts;
    const low = this.#low ? freeBytes < reserveBytes + reserveBytes / 4 : freeBytes < reserveBytes;
    if (low === this.#low) return;
    this.#low = low;
    if (low)
      logger.error({ freeBytes, reserveBytes }, 'the disk is down to its reserve: writes are turned away');
    else logger.info({ freeBytes, reserveBytes }, 'the disk has space again');
  }
}

/**
 * Only what puts something. Whatever else there is takes little, and is what operator, cluster and clients need to get
 * out: deletes and compaction, members that come and go, clients that register and expire.
 */
function puts({ transaction }: Submission): boolean {
  if (!transaction) return false;
  return [...transaction.success, ...transaction.failure].some(({ put }) => Boolean(put));
}

function noRoomForRecords(): HoldfastError {
  return new HoldfastError(
    'NO_SPACE',
    'half of the disk reserve of this node is used up: there is no room for the records of audited reads',
    { hint: 'free space on that disk, or enlarge it; names that are not audited can be read, and deleted' },
  );
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / 1_048_576);
}
