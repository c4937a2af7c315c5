import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AUDIT_HASH_BYTES, type ChainHead } from '../audit/record/chain.ts';
import { writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';

/** How far a sink is. */
export interface SinkCursor extends ChainHead {
  /** Records that retention has taken away before the sink had them. */
  readonly lost: number;
}

const VERSION = 1;

/** Where a node keeps how far its audit sink is: one small file, replaced at each step. */
export class AuditSinkCursorFile {
  readonly #path: string;
  /** Known again, and not told: it may hold what nobody else is to see. */
  readonly #destination: string;
  readonly #logger: Logger;

  constructor({ path, destination, logger }: { path: string; destination: string; logger: Logger }) {
    this.#path = path;
    this.#destination = createHash('sha256').update(destination).digest('hex');
    this.#logger = logger;
  }

  /** Null: there is none for this destination, so that it begins with the oldest record. @throws HoldfastError FILE_UNREADABLE */
  async load(): Promise<SinkCursor | null> {
    let text: string;
    try {
      text = await readFile(this.#path, 'utf8');
    } catch (thrown) {
      if (systemErrorCode(thrown) === 'ENOENT') return null;
      throw unusable(thrown);
    }
    const stored = parsed(text);
    if (stored === null)
      this.#logger.warn(
        {},
        'what the audit sink had delivered cannot be read: it begins with the oldest record again',
      );
    return stored?.destination === this.#destination ? stored.cursor : null;
  }

  /** Durable when it resolves. @throws HoldfastError FILE_UNREADABLE: either the old or the new one is there */
  async save({ sequence, hash, lost }: SinkCursor): Promise<void> {
    const fields = {
      version: VERSION,
      destination: this.#destination,
      sequence,
      hash: hash.toString('hex'),
      lost,
    };
    try {
      await writeFileDurably({
        path: this.#path,
        bytes: Buffer.from(`${JSON.stringify(fields)}\n`),
        mode: 0o600,
      });
    } catch (thrown) {
      throw unusable(thrown);
    }
  }
}

/** Null: it is no cursor of this version. */
function parsed(text: string): { readonly destination: string; readonly cursor: SinkCursor } | null {
  let fields: Record<string, unknown>;
  try {
    fields = { ...(JSON.parse(text) as object) };
  } catch {
    // It never is written in part; whatever else it is, it is no cursor.
    return null;
  }
  const { version, destination, sequence, hash, lost } = fields;
  const isCursor =
    version === VERSION && typeof destination === 'string' && isCount(sequence) && isCount(lost);
  if (!isCursor || typeof hash !== 'string') return null;
  const bytes = Buffer.from(hash, 'hex');
  return bytes.length === AUDIT_HASH_BYTES ? { destination, cursor: { sequence, hash: bytes, lost } } : null;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;

function unusable(cause: unknown): HoldfastError {
  const code = systemErrorCode(cause) ?? 'unknown';
  return new HoldfastError(
    'FILE_UNREADABLE',
    `audit-sink.json in the data directory could not be used (${code})`,
    {
      hint: 'see that the data directory has room and may be written',
      cause,
    },
  );
}
