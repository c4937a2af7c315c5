import type { AuditPort, Caller } from '../api/ports.ts';
import { requireUsable } from '../audit/alerts/evaluation.ts';
import { type Matches, matching } from '../audit/query.ts';
import type { ChainedRecord } from '../audit/record/chain.ts';
import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { AlertSettings, SetAuditSettings } from '../proto/audit.ts';
import type {
  AuditHeadRequest,
  AuditHeadResponse,
  AuditListRequest,
  AuditListResponse,
  GetAlertsResponse,
  GetAuditSettingsResponse,
} from '../proto/auditService.ts';

import type { Store } from '../store/store.ts';
import type { Authorisation } from './authorisation.ts';
import { outcomeFailure } from './outcome.ts';
import type { Submit } from './submit.ts';

export interface AuditPortParts {
  readonly nodeId: NodeId;
  readonly store: Pick<Store, 'audit' | 'auditRecords' | 'flushed' | 'logTimeMs'>;
  readonly submit: Pick<Submit, 'submit'>;
  readonly authorisation: Pick<Authorisation, 'requireAreaCaughtUp'>;
}

/** What a record takes in a page beside its names. */
const RECORD_BYTES = 512;

/** The audit as the API sees it. */
export class NodeAuditPort implements AuditPort {
  readonly #parts: AuditPortParts;

  constructor(parts: AuditPortParts) {
    this.#parts = parts;
  }

  async list(caller: Caller, request: AuditListRequest): Promise<AuditListResponse> {
    const matches = matching(request);
    await this.#caughtUp(caller);
    const { fromSequence: sequence, sinceMs: timeMs } = request;
    const page = new Page(request, matches);
    for await (const portion of this.#parts.store.auditRecords({ sequence, timeMs })) {
      if (!page.add(portion)) break;
    }
    // Retention goes on while it is read, and leaves no gap behind that could be told from one that somebody made.
    this.#requireKept(sequence || page.firstSequence);
    return page.answer;
  }

  /** @throws HoldfastError COMPACTED */
  #requireKept(sequence: number): void {
    const { checkpoint } = this.#parts.store.audit.rules;
    if (checkpoint === null || sequence === 0 || sequence > checkpoint.sequence) return;
    throw new HoldfastError('COMPACTED', `audit record ${sequence} is no longer kept`, {
      field: 'from_sequence',
      hint: `begin again with the oldest that is kept, ${checkpoint.sequence + 1}`,
    });
  }

  async head(caller: Caller, { sequence }: AuditHeadRequest): Promise<AuditHeadResponse> {
    await this.#caughtUp(caller);
    const { nodeId, store } = this.#parts;
    const { head, rules } = store.audit;
    const whole = { node: nodeId, checkpoint: rules.checkpoint };
    if (sequence === 0 || sequence === head.sequence) return { ...whole, ...head };
    for await (const [record] of store.auditRecords({ sequence, timeMs: 0 })) {
      if (record?.sequence === sequence) return { ...whole, sequence, hash: record.hash };
      break;
    }
    throw new HoldfastError('NOT_FOUND', `there is no audit record ${sequence}`, {
      field: 'sequence',
      hint: `this node has them up to ${head.sequence}`,
    });
  }

  async settings(caller: Caller): Promise<GetAuditSettingsResponse> {
    await this.#parts.authorisation.requireAreaCaughtUp(caller, 'audit');
    const { audit, logTimeMs } = this.#parts.store;
    const { former } = audit.rules.retention;
    const isInForce = former !== null && logTimeMs < former.untilMs;
    return { ...audit.rules.settings, former: isInForce ? former : null };
  }

  async setSettings({ principal, deadlineMs }: Caller, request: SetAuditSettings): Promise<void> {
    const submission = { principal, setAuditSettings: request };
    const failure = outcomeFailure(await this.#parts.submit.submit(submission, deadlineMs));
    if (failure !== null) throw failure;
  }

  /** Without the secret of the webhook. */
  async alerts(caller: Caller): Promise<GetAlertsResponse> {
    await this.#parts.authorisation.requireAreaCaughtUp(caller, 'audit');
    const { rules, head } = this.#parts.store.audit;
    const { webhook, ...rest } = rules.alerts;
    const shown = webhook ? { url: webhook.url, secret: Buffer.alloc(0) } : null;
    return { settings: { ...rest, webhook: shown }, ...rules.alertCursor, head: head.sequence };
  }

  /** @throws HoldfastError INVALID_ARGUMENT also for what only a machine can know: time zones */
  async setAlerts({ principal, deadlineMs }: Caller, settings: AlertSettings): Promise<void> {
    requireUsable(settings.rules);
    const submission = { principal, setAlerts: { settings } };
    const failure = outcomeFailure(await this.#parts.submit.submit(submission, deadlineMs));
    if (failure !== null) throw failure;
  }

  /** Records are read off the disk. */
  async #caughtUp(caller: Caller): Promise<void> {
    await this.#parts.authorisation.requireAreaCaughtUp(caller, 'audit');
    await this.#parts.store.flushed();
  }
}

/** Fills up until it is full or has gone over enough. */
class Page {
  readonly #records: ChainedRecord[] = [];
  readonly #request: AuditListRequest;
  readonly #matches: Matches;
  #bytes = 0;
  #seen = 0;
  #next = 0;
  /** That was looked at; 0: none was. */
  firstSequence = 0;

  constructor(request: AuditListRequest, matches: Matches) {
    this.#request = request;
    this.#matches = matches;
  }

  get answer(): AuditListResponse {
    return { records: this.#records, nextSequence: this.#next };
  }

  /** Whether it takes more. */
  add(portion: readonly ChainedRecord[]): boolean {
    const { untilMs, limit } = this.#request;
    const most = limit === 0 ? LIMITS.auditPageRecordsMax : limit;
    if (this.firstSequence === 0) this.firstSequence = portion[0]?.sequence ?? 0;
    for (const record of portion) {
      if (untilMs > 0 && record.timeMs >= untilMs) return false;
      const isFull = this.#records.length >= most || this.#bytes >= LIMITS.auditPageBytes;
      if (isFull || this.#seen >= LIMITS.auditPageScannedMax) {
        this.#next = record.sequence;
        return false;
      }
      this.#seen += 1;
      if (!this.#matches(record)) continue;
      this.#records.push(record);
      this.#bytes += RECORD_BYTES + record.resource.length + record.resourceEnd.length;
    }
    return true;
  }
}
