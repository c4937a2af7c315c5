import { decide } from '../access/policy/decide.ts';
import type { NameRange } from '../access/policy/nameRange.ts';
import type { Caller, KvPort, WatchHandle, WatchSink } from '../api/ports.ts';
import { present } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { checkTransaction } from '../command/checkTransaction.ts';
import { bytesFromKey, keyAfter, keyFromBytes } from '../command/keys.ts';
import { type ValueRead, valueReadCodec } from '../proto/audit.ts';
import type {
  GetRequest,
  GetResponse,
  HistoryRequest,
  HistoryResponse,
  RangeRequest,
  RangeResponse,
  WatchCreate,
} from '../proto/kv.ts';
import type { KeyRange, Outcome, RequestId, Transaction } from '../proto/storage.ts';
import { firstName } from '../store/auditOfCommand.ts';
import { decodePageToken, encodePageToken } from '../store/pageToken.ts';
import type { Store } from '../store/store.ts';
import type { AuditedReads, Deliverable } from './auditedReads.ts';
import type { Authorisation } from './authorisation.ts';
import { outcomeFailure } from './outcome.ts';
import type { Read } from './read.ts';
import type { ScanTurns } from './scanTurns.ts';
import type { Submission, Submit } from './submit.ts';

export interface KvPortParts {
  readonly store: Store;
  readonly submit: Submit;
  readonly read: Read;
  readonly authorisation: Authorisation;
  readonly auditedReads: AuditedReads;
  readonly scans: ScanTurns;
  /** Why nothing is served from this node's state now, or null. */
  readonly refusal: () => HoldfastError | null;
}

const NO_BYTES = Buffer.alloc(0);
/** Wherever it is read, as it is when it is come to. */
const ANY = { revision: 0, until: null };

/** Keys and values as the API sees them: writes by way of submit, reads by way of read. */
export class NodeKvPort implements KvPort {
  readonly #store: Store;
  readonly #submit: Submit;
  readonly #read: Read;
  readonly #authorisation: Authorisation;
  readonly #auditedReads: AuditedReads;
  readonly #scans: ScanTurns;
  readonly #refusal: () => HoldfastError | null;

  constructor({ store, submit, read, authorisation, auditedReads, scans, refusal }: KvPortParts) {
    this.#scans = scans;
    this.#auditedReads = auditedReads;
    this.#authorisation = authorisation;
    this.#refusal = refusal;
    this.#store = store;
    this.#submit = submit;
    this.#read = read;
  }

  async transact(
    caller: Caller,
    command: { request: RequestId | null; transaction: Transaction },
  ): Promise<Outcome> {
    this.#requireState();
    const problem = checkTransaction(command.transaction);
    if (problem !== null) throw problem;
    const { transaction } = command;
    const deed = { action: 'kv.transaction', name: firstName(transaction), detail: '' } as const;
    const body = { kind: 'transaction', transaction } as const;
    await this.#authorisation.require(caller, deed, (asker) => decide(asker, body));
    const { principal, deadlineMs } = caller;
    return this.#submit.submit({ principal, ...command }, deadlineMs);
  }

  async registerClient(caller: Caller): Promise<{ readonly clientId: number }> {
    const outcome = await this.#done(caller, { principal: caller.principal, registerClient: {} });
    return { clientId: present(outcome.client, 'registered client').clientId };
  }

  async closeClient(caller: Caller, request: { readonly clientId: number }): Promise<void> {
    await this.#done(caller, { principal: caller.principal, closeClient: request });
  }

  async compact(
    caller: Caller,
    request: { readonly revision: number },
  ): Promise<{ readonly revision: number }> {
    await this.#done(caller, { principal: caller.principal, compact: request });
    return { revision: this.#store.compactedRevision };
  }

  async get(caller: Caller, request: GetRequest): Promise<GetResponse> {
    const key = keyFromBytes(request.key);
    const isAudited = (): boolean => this.#store.audit.rules.isAudited(key);
    if (!isAudited()) {
      await this.#ready(caller, request);
      await caller.room?.(LIMITS.keyBytesMax + LIMITS.valueBytesMax);
    }
    // As the settings are now: they may have changed while it waited.
    if (isAudited()) return this.#repeated(() => this.#auditedGet(caller, request, key));
    this.#authorisation.requireValue(caller.principal, key);
    const item = this.#store.get(key, request.revision);
    return { revision: this.#store.revision, item };
  }

  async #auditedGet(caller: Caller, request: GetRequest, key: string): Promise<GetResponse | null> {
    this.#requireState();
    await this.#authorisation.requireAuditedValue(caller, key);
    const { revision: asked } = request;
    const read = readOfKey(key, asked === 0 ? {} : { revision: asked });
    const deliverable = await this.#auditedReads.allow(caller, read);
    const { revision } = deliverable;
    // Only now: room that is held while the record is on its way is held from all others of the session.
    await caller.room?.(this.#store.bytesOf(key, revision));
    const item = this.#store.get(key, revision);
    if (item !== null && !this.#isDeliverable(deliverable, key)) return null;
    return { revision: request.revision === 0 ? revision : this.#store.revision, item };
  }

  async range(caller: Caller, request: RangeRequest): Promise<RangeResponse> {
    const range = present(request.range, 'range');
    const whole = { start: keyFromBytes(range.start), end: keyFromBytes(range.end) };
    const isOfValues = !request.keysOnly && !request.countOnly;
    const isAudited = (): boolean => isOfValues && this.#store.audit.rules.mayBeAudited(whole);
    if (!isAudited()) {
      await this.#ready(caller, request);
      await caller.room?.(request.countOnly ? 0 : LIMITS.pageBytesMax);
      // As the settings are now: they may have changed while it waited.
      const page = () => (isAudited() ? null : this.#page(caller, request, ANY));
      const answer = await this.#scans.run(caller, page);
      if (answer !== null) return answer;
    }
    return this.#repeated(() => this.#auditedPage(caller, request, whole));
  }

  async #auditedPage(caller: Caller, request: RangeRequest, whole: NameRange): Promise<RangeResponse | null> {
    this.#requireState();
    const page = pageOf(request, whole);
    const read = {
      range: request.range,
      revision: page?.revision ?? request.revision,
      limit: request.limit || LIMITS.pageKeysMax,
      from: page === null ? NO_BYTES : bytesFromKey(page.next),
      history: false,
    };
    const deliverable = await this.#auditedReads.allow(caller, read);
    await caller.room?.(LIMITS.pageBytesMax);
    const answer = await this.#scans.run(caller, () => this.#page(caller, request, deliverable));
    const isRecorded = answer.items.every(({ key }) => this.#isDeliverable(deliverable, keyFromBytes(key)));
    if (!isRecorded) return null;
    const { items, nextPageToken } = answer;
    // All that was gone over for the record may not be seen: the page begins at the first name that may be.
    if (items.length > 0 || nextPageToken.length === 0) return answer;
    return await this.#auditedPage(caller, { ...request, pageToken: nextPageToken }, whole);
  }

  /** @param at where it is read, unless the request or its page says so */
  #page({ principal }: Caller, request: RangeRequest, at: Omit<Deliverable, 'names'>): RangeResponse {
    this.#requireState();
    const range = present(request.range, 'range');
    const whole = { start: keyFromBytes(range.start), end: keyFromBytes(range.end) };
    const page = pageOf(request, whole);
    // All pages show the state of the first one.
    const revision = page?.revision ?? (request.revision || at.revision || this.#store.revision);
    const { limit, keysOnly, countOnly } = request;
    const from = page === null ? {} : { from: page.next, count: page.count };
    const visible = this.#authorisation.visibleNow(principal, keysOnly || countOnly ? 'names' : 'values');
    const until = at.until === null ? {} : { until: at.until };
    const query = { ...whole, limit, keysOnly, countOnly, revision, visible, ...from, ...until };
    const result = this.#store.range(query);
    const { items, count, next, visited } = result;
    this.#scans.visited(visited);
    const nextPageToken = next === null ? NO_BYTES : encodePageToken({ revision, count, next }, whole);
    return { revision: at.revision || this.#store.revision, items, count, nextPageToken };
  }

  async history(caller: Caller, request: HistoryRequest): Promise<HistoryResponse> {
    const key = keyFromBytes(request.key);
    const isAudited = (): boolean => !request.keysOnly && this.#store.audit.rules.isAudited(key);
    if (!isAudited()) await this.#linearizable(caller);
    if (isAudited()) return this.#repeated(() => this.#auditedHistory(caller, request, key));
    if (request.keysOnly) this.#authorisation.requireListed(caller.principal, key);
    else this.#authorisation.requireValue(caller.principal, key);
    return this.#store.history({ ...request, key });
  }

  async #auditedHistory(
    caller: Caller,
    request: HistoryRequest,
    key: string,
  ): Promise<HistoryResponse | null> {
    this.#requireState();
    await this.#authorisation.requireAuditedValue(caller, key);
    const read = readOfKey(key, { history: true });
    const deliverable = await this.#auditedReads.allow(caller, read);
    const { revision } = deliverable;
    const { versions, compactedRevision } = this.#store.history({ ...request, key });
    const recorded = versions.filter(({ item }) => item.modRevision <= revision);
    if (recorded.length > 0 && !this.#isDeliverable(deliverable, key)) return null;
    return { versions: recorded, revision, compactedRevision };
  }

  /** By the record, or because it is not audited; what came into being since, or has become audited, is neither. */
  #isDeliverable({ names }: Deliverable, name: string): boolean {
    return names.has(name) || !this.#store.audit.rules.isAudited(name);
  }

  /**
   * Until a read is recorded with all that it delivers. It gives null where what may be read, or is audited, has changed since it
   * was recorded.
   * @throws HoldfastError UNAVAILABLE
   */
  async #repeated<Answer>(read: () => Promise<Answer | null>): Promise<Answer> {
    for (let attempt = 0; attempt < LIMITS.auditedReadAttempts; attempt += 1) {
      const answer = await read();
      if (answer !== null) return answer;
    }
    throw new HoldfastError('UNAVAILABLE', 'what may be read changes faster than it is read', {
      hint: 'ask again',
    });
  }

  async watch(caller: Caller, request: WatchCreate, sink: WatchSink): Promise<WatchHandle> {
    const { principal } = caller;
    const range: KeyRange = present(request.range, 'watch range');
    const { startRevision, previous, progress } = request;
    const query = {
      start: keyFromBytes(range.start),
      end: keyFromBytes(range.end),
      startRevision,
      previous,
      progress,
      visible: () => this.#authorisation.visibleThen(principal, 'values'),
      withheld: (name: string) => this.#store.audit.rules.isAudited(name),
    };
    // What has happened since is told as the settings are then; what has happened before, as they are now.
    const isOfPast = startRevision !== 0 && startRevision <= this.#store.revision;
    if (isOfPast) await this.#linearizable(caller);
    this.#requireState();
    return this.#store.watch(query, sink);
  }

  #requireState(): void {
    this.#store.requireState();
    const refusal = this.#refusal();
    if (refusal !== null) throw refusal;
  }

  async #ready(caller: Caller, { serializable }: { readonly serializable: boolean }): Promise<void> {
    if (serializable) this.#requireState();
    else await this.#linearizable(caller);
  }

  async #linearizable(caller: Caller): Promise<void> {
    this.#requireState();
    await this.#read.linearizable(caller.deadlineMs);
  }

  async #done(caller: Caller, submission: Submission): Promise<Outcome> {
    this.#requireState();
    const outcome = await this.#submit.submit(submission, caller.deadlineMs);
    const failure = outcomeFailure(outcome);
    if (failure !== null) throw failure;
    return outcome;
  }
}

/** What is not given takes no bytes of the log: there are as many of these as there are reads. */
function readOfKey(key: string, given: Partial<ValueRead>): ValueRead {
  const range = { start: bytesFromKey(key), end: bytesFromKey(keyAfter(key)) };
  return valueReadCodec.create({ range, ...given });
}

/** Null: it asks for the first page. @throws HoldfastError INVALID_ARGUMENT */
function pageOf({ pageToken }: RangeRequest, whole: NameRange): ReturnType<typeof decodePageToken> | null {
  return pageToken.length === 0 ? null : decodePageToken(pageToken, whole);
}
