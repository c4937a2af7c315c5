import { LIMITS } from '../base/limits.ts';
import type { Database, DatabaseRow } from './database.ts';
import { parseRowKey } from './row.ts';
import type { RowSealer } from './rowSealer.ts';
import type { ScrubPace } from './scrub.ts';
import type { RewrittenRow, StateWriter } from './writer.ts';

export interface RewrittenState {
  /** Rows that were sealed anew. */
  readonly rewritten: number;
  /** False: ended early. What was rewritten until then is. */
  readonly whole: boolean;
}

interface Rewriting {
  readonly database: Database;
  readonly sealer: RowSealer;
  readonly writer: StateWriter;
}

/**
 * Seals every row anew that is not sealed as it would be now, and leaves nothing else of it in the files. Goes on beside
 * the state: what is written meanwhile is sealed as it should be. Works stretch by stretch, so that the disk has to hold a
 * stretch twice and not the whole. May be repeated at any time.
 * @throws HoldfastError STATE_CORRUPT, DISK_FAILED; what LevelDB throws when it is closed meanwhile
 */
export async function rewriteState(rewriting: Rewriting, pace: ScrubPace): Promise<RewrittenState> {
  const { database } = rewriting;
  let rewritten = 0;
  let behind: Buffer | undefined;
  do {
    const stretch = await rewriteStretch(rewriting, { behind, pace });
    rewritten += stretch.rewritten;
    if (!stretch.whole) return { rewritten, whole: false };
    await database.compact({ behind, end: stretch.end });
    if (!(await pace({ rows: 0, bytes: 0 }))) return { rewritten, whole: false };
    behind = stretch.end;
  } while (behind !== undefined);
  return { rewritten, whole: true };
}

/**
 * Leaves nothing in the files of what was overwritten or deleted: LevelDB may move a file down while a stretch is compacted,
 * so that the old rows in it outlive those that took their place.
 * @throws what LevelDB throws when it is closed meanwhile
 */
export async function compactState(
  { database }: Pick<Rewriting, 'database'>,
  pace: ScrubPace,
): Promise<RewrittenState> {
  if (!(await pace({ rows: 0, bytes: 0 }))) return { rewritten: 0, whole: false };
  await database.compact({ behind: undefined, end: undefined });
  return { rewritten: 0, whole: true };
}

/** A view that stays open keeps all that was overwritten since: each stretch has one of its own. */
async function rewriteStretch(
  { database, sealer, writer }: Rewriting,
  { behind, pace }: { readonly behind: Buffer | undefined; readonly pace: ScrubPace },
): Promise<RewrittenState & { readonly end: Buffer | undefined }> {
  const snapshot = database.snapshot();
  const writes = new Writes(writer);
  let stretchBytes = 0;
  let [gathered, written] = [new Gathered(), new Gathered()];
  let end: Buffer | undefined;
  let whole = true;
  try {
    for await (const portion of snapshot.rows('', behind)) {
      gathered.add(portion, sealer);
      const bytes = portion.reduce((sum, { envelope }) => sum + envelope.length, 0);
      whole = await pace({ rows: portion.length, bytes });
      if (!whole) break;
      if (!gathered.isEnough) continue;
      whole = await writes.begin(gathered.rows);
      stretchBytes += gathered.bytes;
      // What was begun before has ended.
      [gathered, written] = [written, gathered];
      gathered.clear();
      if (stretchBytes >= LIMITS.rewriteStretchBytes) end = portion.at(-1)?.key;
      if (!whole || end !== undefined) break;
    }
    if (end === undefined && whole) whole = await writes.begin(gathered.rows);
  } finally {
    whole = (await writes.ended()) && whole;
    await snapshot.close();
  }
  return { rewritten: writes.rewritten, whole, end };
}

/** Rows are read and sealed while those before them wait for their turn to be written. */
class Writes {
  readonly #writer: StateWriter;
  #last: Promise<number | null> = Promise.resolve(0);
  rewritten = 0;

  constructor(writer: StateWriter) {
    this.#writer = writer;
  }

  /** Once the one before it has ended. False: nothing is written any more. */
  async begin(rows: readonly RewrittenRow[]): Promise<boolean> {
    if (!(await this.ended())) return false;
    this.#last = this.#writer.rewrite(rows);
    return true;
  }

  async ended(): Promise<boolean> {
    const count = await this.#last;
    if (count === null) return false;
    this.rewritten += count;
    this.#last = Promise.resolve(0);
    return true;
  }
}

/**
 * Rows that were sealed anew and are not written yet: of several portions, since each write takes its turn with others. They
 * lie in one piece of memory that is used again: V8 counts the bytes of every buffer that outlives its youth, and past 64 MiB
 * of them marks its heap in the middle of whatever allocates the next.
 */
class Gathered {
  readonly #space = Buffer.alloc(LIMITS.rewriteBatchBytes);
  readonly #rows: RewrittenRow[] = [];
  #used = 0;
  #bytes = 0;

  get rows(): readonly RewrittenRow[] {
    return this.#rows;
  }

  /** Of what was read for them. */
  get bytes(): number {
    return this.#bytes;
  }

  add(portion: readonly DatabaseRow[], sealer: RowSealer): void {
    for (const { key, envelope: before } of portion) {
      const envelope = sealer.current(parseRowKey(key), before);
      if (envelope === before) continue;
      this.#rows.push({ key: this.#kept(key), envelope: this.#kept(envelope) });
      this.#bytes += before.length;
    }
  }

  clear(): void {
    this.#rows.length = 0;
    this.#used = 0;
    this.#bytes = 0;
  }

  get isEnough(): boolean {
    return this.#rows.length >= LIMITS.rewriteBatchRows || this.#bytes >= LIMITS.rewriteBatchBytes;
  }

  /** What does not fit stays where it is. */
  #kept(bytes: Buffer): Buffer {
    const end = this.#used + bytes.length;
    if (end > this.#space.length) return bytes;
    const kept = this.#space.subarray(this.#used, end);
    kept.set(bytes);
    this.#used = end;
    return kept;
  }
}
