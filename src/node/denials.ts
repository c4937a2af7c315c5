import type { AuditAction } from '../audit/record/actions.ts';
import { addressGroup } from '../base/address.ts';
import type { Clock } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Logger } from '../base/logger.ts';
import { RareLines } from '../base/rareLines.ts';
import { endedWithin, type Scheduler } from '../base/scheduler.ts';
import type { AuditRecord } from '../proto/audit.ts';
import type { Principal } from '../proto/storage.ts';
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
  /** The principal has shown that it is he. Else it is a name that somebody has given. */
  readonly proved: boolean;
}

export interface DenialsParts {
  readonly submit: Pick<Submit, 'submit'>;
  readonly clock: Clock;
  readonly nodeId: string;
  readonly logger: Logger;
  readonly scheduler: Scheduler;
}

/** What is under way, and where it goes back to when it cannot be written. */
interface Taken {
  readonly room: DenialRoom;
  readonly batch: DenialBatch;
}

const NOTHING = Buffer.alloc(0);

/**
 * What this node denies by itself, before there is a command, on its way to the audit. In batches; at the bound one record says how
 * many others there were, so that a flood of denials fills neither the memory nor the store. Whoever has not shown who he is has
 * a room of his own: tokens and names are made up at will, and must not take the place of denials that are somebody's. There each
 * address has a share, and each principal among those who have shown it.
 */
export class Denials {
  readonly #parts: DenialsParts;
  readonly #lines: RareLines;
  readonly #known = new DenialRoom({
    recordsMax: LIMITS.denialRecordsMax,
    recordsPerMinute: LIMITS.denialRecordsPerMinute,
    shareMax: LIMITS.denialRecordsEachMax,
    sharePerMinute: LIMITS.denialRecordsEachPerMinute,
    shareOf: ({ principalKind, principal }) => `${principalKind} ${principal}`,
    foldedDetail: 'more denials than are recorded one by one',
  });
  readonly #strangers = new DenialRoom({
    recordsMax: LIMITS.strangerDenialRecordsMax,
    recordsPerMinute: LIMITS.strangerDenialRecordsPerMinute,
    shareMax: LIMITS.strangerDenialRecordsEachMax,
    sharePerMinute: LIMITS.strangerDenialRecordsEachPerMinute,
    shareOf: ({ address }) => addressGroup(address),
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

  note({ principal, action, resource, code, detail, proved }: Denial): void {
    const { kind, address, session = '' } = principal;
    const room = proved ? this.#known : this.#strangers;
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
    const taken = rooms.map((room) => ({ room, batch: room.take() }));
    await this.#send(taken, deadlineMs);
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
    const taken = rooms.map((room) => ({ room, batch: room.takeAll() }));
    if (taken.length > 0) await this.#send(taken, deadlineMs);
  }

  /** Never rejects. */
  #send(taken: readonly Taken[], deadlineMs: number): Promise<void> {
    this.#sending = this.#write(taken, deadlineMs).finally(() => {
      this.#sending = null;
    });
    return this.#sending;
  }

  async #write(taken: readonly Taken[], deadlineMs: number): Promise<void> {
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

  #recordsOf({ portions, folded }: DenialBatch, detail: string): readonly AuditRecord[] {
    const named = [...portions.values()].flatMap(({ records, rest }) => [
      ...records,
      ...(rest ? [rest] : []),
    ]);
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
