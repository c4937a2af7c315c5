import type { AuditAction } from '../audit/record/actions.ts';
import type { Clock } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { RareLines } from '../base/rareLines.ts';
import { endedWithin, type Scheduler } from '../base/scheduler.ts';
import type { AuditRecord } from '../proto/audit.ts';
import type { Principal } from '../proto/storage.ts';
import type { Access } from '../store/access.ts';
import { type DenialBatch, DenialRoom } from './denialRoom.ts';
import { outcomeFailure } from './outcome.ts';
import type { Submit } from './submit.ts';

/** What was denied, to whom. */
export interface Denial {
  readonly principal: Principal;
  readonly action: AuditAction;
  readonly resource: Uint8Array;
  readonly code: ErrorCode;
  /** One line. */
  readonly detail: string;
}

export interface DenialsParts {
  readonly submit: Pick<Submit, 'submit'>;
  readonly access: Pick<Access, 'knows'>;
  readonly clock: Clock;
  readonly nodeId: string;
  readonly logger: Logger;
  readonly scheduler: Scheduler;
}

const NOTHING = Buffer.alloc(0);

/**
 * What this node denies by itself, before there is a command, on its way to the audit. In batches; at the bound one record says how
 * many others there were, so that a flood of denials fills neither the memory nor the store. Whoever nobody knows has a room of his
 * own: tokens and names are made up at will, and must not take the place of denials that are somebody's.
 */
export class Denials {
  readonly #parts: DenialsParts;
  readonly #lines: RareLines;
  readonly #known = new DenialRoom({
    recordsMax: LIMITS.denialRecordsMax,
    recordsPerMinute: LIMITS.denialRecordsPerMinute,
    foldedDetail: 'more denials than are recorded one by one',
  });
  readonly #strangers = new DenialRoom({
    recordsMax: LIMITS.strangerDenialRecordsMax,
    recordsPerMinute: LIMITS.strangerDenialRecordsPerMinute,
    foldedDetail: 'more denials of strangers than are recorded one by one',
  });
  readonly #rooms = [this.#known, this.#strangers];
  #filledMs: number;
  /** The batch that is under way. */
  #sending: Promise<void> | null = null;

  constructor(parts: DenialsParts) {
    this.#parts = parts;
    this.#lines = new RareLines(parts.clock);
    this.#filledMs = parts.clock.monotonicMs();
  }

  note({ principal, action, resource, code, detail }: Denial): void {
    const { kind, address, session = '' } = principal;
    const room = this.#parts.access.knows(principal) ? this.#known : this.#strangers;
    room.note({
      ...this.#record(action, code),
      principalKind: kind,
      principal: principal.name.slice(0, LIMITS.denialNameCharactersMax),
      session,
      address,
      resource,
      detail,
    });
  }

  /** Called about once a second. What cannot be written now stays. */
  async flush(deadlineMs: number): Promise<void> {
    this.#fill();
    const rooms = this.#rooms.filter(({ isDue }) => isDue);
    if (this.#sending !== null || rooms.length === 0) return;
    await this.#send(rooms, deadlineMs);
  }

  /** The last of it, also what could not be named yet: it would be lost. Waits for LIMITS.denialStopMs at most. Never rejects. */
  async stop(): Promise<void> {
    const { clock, scheduler } = this.#parts;
    const deadlineMs = clock.monotonicMs() + LIMITS.denialStopMs;
    await endedWithin(scheduler, LIMITS.denialStopMs, this.#sendRest(deadlineMs));
  }

  async #sendRest(deadlineMs: number): Promise<void> {
    await this.#sending;
    this.#fill();
    const rooms = this.#rooms.filter(({ isEmpty }) => !isEmpty);
    if (rooms.length > 0) await this.#send(rooms, deadlineMs);
  }

  /** Never rejects. */
  #send(rooms: readonly DenialRoom[], deadlineMs: number): Promise<void> {
    this.#sending = this.#write(rooms, deadlineMs).finally(() => {
      this.#sending = null;
    });
    return this.#sending;
  }

  async #write(rooms: readonly DenialRoom[], deadlineMs: number): Promise<void> {
    const taken = rooms.map((room) => ({ room, batch: room.take() }));
    try {
      const records = taken.flatMap(({ room, batch }) => this.#recordsOf(batch, room.foldedDetail));
      await this.#submit(records, deadlineMs);
      for (const { room, batch } of taken) room.written(batch);
    } catch {
      // Nobody knows whether they stand: rather twice than not at all.
      for (const { room, batch } of taken) room.putBack(batch);
    }
  }

  /** @throws HoldfastError when they are not known to stand */
  async #submit(records: readonly AuditRecord[], deadlineMs: number): Promise<void> {
    const { submit, nodeId, logger } = this.#parts;
    const principal = { kind: 'node', name: nodeId, address: '' };
    const failure = outcomeFailure(await submit.submit({ principal, noteAudit: { records } }, deadlineMs));
    if (failure === null) return;
    const { code, message } = failure;
    if (this.#lines.isDue(code)) logger.warn({ code }, `denials are not recorded: ${message}`);
    throw failure;
  }

  #recordsOf({ named, folded }: DenialBatch, detail: string): readonly AuditRecord[] {
    if (folded === 0) return named;
    return [...named, { ...this.#record('access.denied', 'PERMISSION_DENIED'), count: folded, detail }];
  }

  /** Of nobody. */
  #record(action: AuditAction, result: ErrorCode): AuditRecord {
    return {
      principalKind: '',
      principal: '',
      session: '',
      address: '',
      node: this.#parts.nodeId,
      action,
      resource: NOTHING,
      resourceEnd: NOTHING,
      result,
      requestId: '',
      revision: 0,
      count: 1,
      detail: '',
    };
  }

  #fill(): void {
    const nowMs = this.#parts.clock.monotonicMs();
    for (const room of this.#rooms) room.fill(nowMs - this.#filledMs);
    this.#filledMs = nowMs;
  }
}
