import { type ChainedRecord, NO_AUDIT_HASH } from '../../src/audit/record/chain.ts';
import type { Sink, SinkBatch } from '../../src/audit/sink/sink.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type { AuditSinkParts } from '../../src/node/auditSink.ts';
import { recordsUpTo } from '../audit/sink/records.ts';
import { FakeLogger } from './nodeFolder.ts';

/** Keeps what is logged at every level. */
export class Lines extends FakeLogger {
  readonly infos: string[] = [];
  readonly errors: string[] = [];
  override info(_fields?: object, message = ''): void {
    this.infos.push(message);
  }
  override error(_fields?: object, message = ''): void {
    this.errors.push(message);
  }
}

/** The audit of a node, by the record: what retention has taken away, and what has been applied. */
export class FakeAuditStore {
  chain: readonly ChainedRecord[] = recordsUpTo(30);
  first = 1;
  last = 0;
  missing: string | null = null;
  portionRecords = 4;
  /** What is applied is on disk a moment later. */
  onDisk: number | null = null;

  get audit(): AuditSinkParts['store']['audit'] {
    const { sequence, hash } = this.#at(this.last);
    const rows = {
      length: this.last - this.first + 1,
      at: (position: number) => ({
        number: this.first + position,
        timeMs: 0,
        previousHash: this.#at(this.first + position - 1).hash,
        digest: '',
      }),
      positionOf: () => 0,
      positionFrom: () => 0,
    };
    return { head: { sequence, hash }, rows, rules: null as never };
  }

  async *auditRecords({ sequence }: { readonly sequence: number }): AsyncGenerator<readonly ChainedRecord[]> {
    for (let next = Math.max(sequence, this.first); next <= (this.onDisk ?? this.last); ) {
      const portion = this.chain.slice(
        next - 1,
        Math.min(next - 1 + this.portionRecords, this.onDisk ?? this.last),
      );
      yield await Promise.resolve(portion);
      next += portion.length;
      next = Math.max(next, this.first);
    }
  }

  #at(sequence: number): { readonly sequence: number; readonly hash: Buffer } {
    return this.chain[sequence - 1] ?? { sequence: 0, hash: NO_AUDIT_HASH };
  }
}

/** A destination that does as it is told. */
export class FakeSink implements Sink {
  readonly delivered: ChainedRecord[] = [];
  readonly batches: number[] = [];
  held: ChainedRecord | null = null;
  fails: HoldfastError | null = null;
  hangs = false;
  closed = false;
  #giveUp: (() => void) | null = null;

  reached() {
    return Promise.resolve(this.held);
  }

  async deliver({ records }: SinkBatch): Promise<void> {
    if (this.fails !== null) throw this.fails;
    if (this.hangs)
      await new Promise<void>(
        (_, reject) => (this.#giveUp = () => reject(new HoldfastError('UNAVAILABLE', 'closed'))),
      );
    this.delivered.push(...records);
    this.batches.push(records.length);
  }

  close(): Promise<void> {
    this.closed = true;
    this.#giveUp?.();
    return Promise.resolve();
  }
}
