import type { AuditAction } from '../audit/record/actions.ts';
import { hostOf } from '../base/address.ts';
import type { Clock } from '../base/clock.ts';
import type { ErrorCode } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { AuditRecord } from '../proto/audit.ts';
import type { Principal } from '../proto/storage.ts';
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

const NOTHING = Buffer.alloc(0);
const MINUTE_MS = 60_000;

/**
 * What this node denies by itself, before there is a command, on its way to the audit. In batches, like ones as one with a count;
 * at the bound one record says how many others there were, so that a flood of denials fills neither the memory nor the store.
 */
export class Denials {
  readonly #submit: Pick<Submit, 'submit'>;
  readonly #clock: Clock;
  readonly #nodeId: string;
  #waiting = new Map<string, AuditRecord>();
  #folded = 0;
  /** Records that may be written now; more come with time. */
  #budget: number = LIMITS.denialRecordsMax;
  #filledMs: number;
  #isSending = false;

  constructor(parts: {
    readonly submit: Pick<Submit, 'submit'>;
    readonly clock: Clock;
    readonly nodeId: string;
  }) {
    this.#submit = parts.submit;
    this.#clock = parts.clock;
    this.#nodeId = parts.nodeId;
    this.#filledMs = parts.clock.monotonicMs();
  }

  note({ principal, action, resource, code, detail }: Denial): void {
    const { kind, address, session = '' } = principal;
    const name = principal.name.slice(0, LIMITS.denialNameCharactersMax);
    const text = Buffer.from(resource).toString('latin1');
    const key = [kind, name, hostOf(address), action, text, code, detail].join('\n');
    const known = this.#waiting.get(key);
    if (known === undefined && this.#waiting.size >= LIMITS.denialRecordsMax) {
      this.#folded += 1;
      return;
    }
    const record = {
      principalKind: kind,
      principal: name,
      session,
      address,
      node: this.#nodeId,
      action,
      resource,
      resourceEnd: NOTHING,
      result: code,
      requestId: '',
      revision: 0,
      count: (known?.count ?? 0) + 1,
      detail,
    };
    this.#waiting.set(key, record);
  }

  /** Called about once a second. What cannot be written now stays. */
  async flush(deadlineMs: number): Promise<void> {
    this.#fill();
    if (this.#isSending || this.#budget < 1 || this.#waiting.size + this.#folded === 0) return;
    const { records, folded } = this.#take();
    this.#isSending = true;
    try {
      const principal = { kind: 'node', name: this.#nodeId, address: '' };
      await this.#submit.submit({ principal, noteAudit: { records } }, deadlineMs);
      this.#budget -= records.length;
    } catch {
      // Nobody knows whether they stand: rather twice than not at all.
      this.#folded += folded;
      for (const record of records.slice(0, folded > 0 ? -1 : records.length)) this.#putBack(record);
    } finally {
      this.#isSending = false;
    }
  }

  /** As many as may be written; the last of them stands for all others. */
  #take(): { readonly records: readonly AuditRecord[]; readonly folded: number } {
    const all = [...this.#waiting.values()];
    const most = Math.min(Math.floor(this.#budget), LIMITS.denialRecordsMax) - 1;
    const records = all.slice(0, most);
    const others = all.slice(most).reduce((sum, { count }) => sum + count, 0);
    const folded = this.#folded + others;
    this.#waiting = new Map();
    this.#folded = 0;
    return { records: folded > 0 ? [...records, this.#foldedRecord(folded)] : records, folded };
  }

  #putBack(record: AuditRecord): void {
    const { principalKind: kind, principal: name, address, action, resource, result, detail } = record;
    if (this.#waiting.size >= LIMITS.denialRecordsMax) {
      this.#folded += record.count;
      return;
    }
    const text = Buffer.from(resource).toString('latin1');
    this.#waiting.set([kind, name, hostOf(address), action, text, result, detail].join('\n'), record);
  }

  #foldedRecord(count: number): AuditRecord {
    return {
      principalKind: '',
      principal: '',
      session: '',
      address: '',
      node: this.#nodeId,
      action: 'access.denied',
      resource: NOTHING,
      resourceEnd: NOTHING,
      result: 'PERMISSION_DENIED',
      requestId: '',
      revision: 0,
      count,
      detail: 'more denials than are recorded one by one',
    };
  }

  #fill(): void {
    const nowMs = this.#clock.monotonicMs();
    const gained = ((nowMs - this.#filledMs) / MINUTE_MS) * LIMITS.denialRecordsPerMinute;
    this.#budget = Math.min(this.#budget + gained, LIMITS.denialRecordsMax);
    this.#filledMs = nowMs;
  }
}
