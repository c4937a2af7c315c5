import { type ChainHead, NO_AUDIT_HASH } from '../audit/record/chain.ts';
import { batchesOf, type Sink, type SinkBatch } from '../audit/sink/sink.ts';
import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { RareLines } from '../base/rareLines.ts';
import { endedWithin, type Scheduler } from '../base/scheduler.ts';
import type { AuditSinkStatus } from '../proto/cluster.ts';
import type { Store } from '../store/store.ts';
import type { AuditSinkCursorFile, SinkCursor } from './auditSinkCursor.ts';

export interface AuditSinkParts {
  readonly store: Pick<Store, 'audit' | 'auditRecords' | 'missing'>;
  readonly sink: Sink;
  /** What may be shown of where it goes. */
  readonly shown: { readonly kind: string; readonly host: string };
  readonly cursorFile: Pick<AuditSinkCursorFile, 'load' | 'save'>;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
}

interface Failure {
  readonly error: HoldfastError;
  /** Wall time, milliseconds since 1970. */
  readonly sinceMs: number;
  /** So that what was not said to begin is not said to end. */
  readonly wasLogged: boolean;
}

/**
 * Streams the audit records of this node to where the setting says, the oldest first and one batch at a time. How far it is is durable:
 * (1) a batch is delivered, (2) the cursor moves to its last record, (3) the next batch is taken. A crash between the first two
 * delivers a batch again, unless the destination can tell what it has. Records are read off the disk, and nothing waits for this.
 */
export class AuditSink {
  readonly #parts: AuditSinkParts;
  readonly #rareLines: RareLines;
  #cursor: SinkCursor | null = null;
  #isSaved = false;
  /** The destination was asked what it has since it failed last. */
  #isAsked = false;
  #failure: Failure | null = null;
  #retryMs: number = LIMITS.auditSinkRetryMsMin;
  #stopped = false;
  #endWait: (() => void) | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(parts: AuditSinkParts) {
    this.#parts = parts;
    this.#rareLines = new RareLines(parts.clock);
  }

  get status(): AuditSinkStatus {
    const { sequence, lost } = this.#cursor ?? { ...this.#beforeOldest(), lost: 0 };
    const behind = Math.max(0, this.#parts.store.audit.head.sequence - sequence);
    const { kind, host } = this.#parts.shown;
    const { error, sinceMs: failingSinceMs = 0 } = this.#failure ?? {};
    const failure = { failingSinceMs, errorCode: error?.code ?? '', error: error?.message ?? '' };
    return { kind, host, deliveredSequence: sequence, behind, lost, ...failure };
  }

  /** What an operator should look at, one sentence each. */
  get warnings(): readonly string[] {
    const { lost, behind } = this.status;
    const warnings: string[] = [];
    if (lost > 0) warnings.push(`${lost} audit records were no longer kept when the audit sink came to them`);
    if (this.#failure !== null) {
      const since = new Date(this.#failure.sinceMs).toISOString();
      warnings.push(
        `the audit sink fails since ${since}, and is behind by ${behind}: ${this.#failure.error.message}`,
      );
    }
    return warnings;
  }

  start(): void {
    this.#running = this.#run();
  }

  /** Lets the batch that is under way end, or gives it up: it is delivered again after the next start. Never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#endWait?.();
    const { sink, scheduler } = this.#parts;
    await endedWithin(scheduler, LIMITS.auditSinkStopMs, this.#running);
    const closed = sink.close().then(() => this.#running);
    await endedWithin(scheduler, LIMITS.auditSinkAbandonMs, closed);
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      let waitMs: number = LIMITS.auditSinkPollMs;
      try {
        if (this.#parts.store.missing === null) {
          await this.#pass();
          this.#worked();
        }
      } catch (thrown) {
        if (this.#stopped) return;
        waitMs = this.#failed(toHoldfastError(thrown));
      }
      await this.#wait(waitMs);
    }
  }

  /** Delivers what is there. */
  async #pass(): Promise<void> {
    const { store } = this.#parts;
    const { sequence, hash } = await this.#place();
    const { head } = store.audit;
    if (head.sequence === sequence && !head.hash.equals(hash)) return this.#startOver();
    if (head.sequence < sequence) throw foreignRecord(sequence);
    if (head.sequence === sequence) return;
    for await (const records of store.auditRecords({ sequence: sequence + 1, timeMs: 0 })) {
      for (const batch of batchesOf(records)) {
        if (this.#stopped || !(await this.#deliver(batch))) return;
      }
    }
  }

  /** False: the destination holds another chain, and all begins anew. */
  async #deliver(batch: SinkBatch): Promise<boolean> {
    const first = present(batch.records[0], 'first record of a batch');
    const last = present(batch.records.at(-1), 'last record of a batch');
    const { sequence, hash, lost } = present(this.#cursor, 'place of the sink');
    const missing = first.sequence - sequence - 1;
    if (missing > 0) {
      this.#parts.logger.error(
        { lost: missing, afterSequence: sequence },
        'audit records are no longer kept that the audit sink had not yet been given: they are lost for it',
      );
      await this.#moveTo({ sequence: first.sequence - 1, hash: first.previousHash, lost: lost + missing });
    } else if (!first.previousHash.equals(hash)) {
      await this.#startOver();
      return false;
    }
    await this.#parts.sink.deliver(batch);
    this.#worked();
    await this.#moveTo({ sequence: last.sequence, hash: last.hash, lost: this.#cursor?.lost ?? lost });
    return true;
  }

  /** Where to go on. Before the first batch, and after a failure, the destination is asked: it may hold more, or less. */
  async #place(): Promise<SinkCursor> {
    const { cursorFile, sink } = this.#parts;
    if (this.#cursor === null) {
      const stored = await cursorFile.load();
      this.#isSaved = stored !== null;
      this.#cursor = stored ?? { ...this.#beforeOldest(), lost: 0 };
    }
    if (!this.#isAsked) {
      const reached = await sink.reached();
      if (reached !== null) await this.#requireOwn(reached, this.#cursor);
      const { lost } = this.#cursor;
      const { sequence, hash } = this.#believed(reached ?? this.#cursor, this.#cursor);
      if (sequence !== this.#cursor.sequence || !hash.equals(this.#cursor.hash)) {
        this.#cursor = { sequence, hash, lost };
        this.#isSaved = false;
      }
      this.#isAsked = true;
    }
    if (!this.#isSaved) await this.#moveTo(this.#cursor);
    return this.#cursor;
  }

  /**
   * Whoever can write to a destination can make up a chain there that is as good as any: it has to be this node's own.
   * @throws HoldfastError AUDIT_TAMPERED
   */
  async #requireOwn({ sequence, hash }: ChainHead, cursor: ChainHead): Promise<void> {
    const oldest = this.#beforeOldest();
    const known = [oldest, cursor].find((place) => place.sequence === sequence);
    // What is no longer kept, and was not delivered last, cannot be told.
    if (sequence < oldest.sequence && known === undefined) return;
    const own = known?.hash ?? (await this.#ownHash(sequence));
    if (own?.equals(hash) !== true) throw foreignRecord(sequence);
  }

  /** Of a record on disk; null: it is not there. */
  async #ownHash(sequence: number): Promise<Buffer | null> {
    for await (const [record] of this.#parts.store.auditRecords({ sequence, timeMs: 0 }))
      return record?.sequence === sequence ? record.hash : null;
    return null;
  }

  /** Of a destination that holds less than it was given only what is still kept is delivered again: what is not was counted before. */
  #believed(reached: ChainHead, cursor: ChainHead): ChainHead {
    if (reached.sequence >= cursor.sequence) return reached;
    const oldest = this.#beforeOldest();
    const back = reached.sequence >= oldest.sequence ? reached : oldest;
    return back.sequence < cursor.sequence ? back : cursor;
  }

  /** In memory at once: what is delivered is not delivered again because the cursor cannot be written. */
  async #moveTo(cursor: SinkCursor): Promise<void> {
    this.#cursor = cursor;
    this.#isSaved = false;
    await this.#parts.cursorFile.save(cursor);
    this.#isSaved = true;
  }

  async #startOver(): Promise<void> {
    const message =
      'the audit sink was given other records than this node has: all of its records are delivered again';
    // Again and again, where the destination fails before it has the first of them.
    if (this.#rareLines.isDue(message))
      this.#parts.logger.error({ sequence: this.#cursor?.sequence ?? 0 }, message);
    await this.#moveTo({ ...this.#beforeOldest(), lost: this.#cursor?.lost ?? 0 });
  }

  /** The record before the oldest one that is kept. */
  #beforeOldest(): ChainHead {
    const { rows, head } = this.#parts.store.audit;
    if (rows.length === 0) return { sequence: head.sequence, hash: head.hash };
    const { number, previousHash } = rows.at(0);
    return { sequence: number - 1, hash: number === 1 ? NO_AUDIT_HASH : Buffer.from(previousHash) };
  }

  #worked(): void {
    if (this.#failure?.wasLogged === true)
      this.#parts.logger.info(this.#parts.shown, 'the audit sink works again');
    this.#failure = null;
    this.#retryMs = LIMITS.auditSinkRetryMsMin;
  }

  /** @returns how long it is left alone */
  #failed(error: HoldfastError): number {
    const { clock, logger, shown } = this.#parts;
    const { error: before, sinceMs = clock.wallMs(), wasLogged = false } = this.#failure ?? {};
    const isNews = before?.message !== error.message && this.#rareLines.isDue(error.message);
    if (isNews) {
      const { behind } = this.status;
      const { code, hint } = error;
      logger.warn(
        { ...shown, code, hint, behind },
        `the audit sink does not get its records: ${error.message}`,
      );
    }
    this.#failure = { error, sinceMs, wasLogged: wasLogged || isNews };
    this.#isAsked = false;
    const waitMs = this.#retryMs;
    this.#retryMs = Math.min(2 * waitMs, LIMITS.auditSinkRetryMsMax);
    return waitMs;
  }

  #wait(delayMs: number): Promise<void> {
    if (this.#stopped) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.#parts.scheduler.after(delayMs, resolve);
      this.#endWait = () => {
        timer.stop();
        resolve();
      };
    });
  }
}

function foreignRecord(sequence: number): HoldfastError {
  return new HoldfastError(
    'AUDIT_TAMPERED',
    `record ${sequence}, the last one that the audit sink has, is none of this node's`,
    {
      hint: 'look who else writes to it, and move a file away; nothing is delivered until then, and nothing is left out',
    },
  );
}
