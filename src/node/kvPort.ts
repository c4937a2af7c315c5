import { decide } from '../access/policy/decide.ts';
import type { Caller, KvPort, WatchHandle, WatchSink } from '../api/ports.ts';
import { present } from '../base/assert.ts';
import type { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { checkTransaction } from '../command/checkTransaction.ts';
import { keyFromBytes } from '../command/keys.ts';
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
import { decodePageToken, encodePageToken } from '../store/pageToken.ts';
import type { Store } from '../store/store.ts';
import type { Authorisation } from './authorisation.ts';
import { outcomeFailure } from './outcome.ts';
import type { Read } from './read.ts';
import type { Submission, Submit } from './submit.ts';

export interface KvPortParts {
  readonly store: Store;
  readonly submit: Submit;
  readonly read: Read;
  readonly authorisation: Authorisation;
  /** Why nothing is served from this node's state now, or null. */
  readonly refusal: () => HoldfastError | null;
}

const NO_TOKEN = Buffer.alloc(0);

/** Keys and values as the API sees them: writes by way of submit, reads by way of read. */
export class NodeKvPort implements KvPort {
  readonly #store: Store;
  readonly #submit: Submit;
  readonly #read: Read;
  readonly #authorisation: Authorisation;
  readonly #refusal: () => HoldfastError | null;

  constructor({ store, submit, read, authorisation, refusal }: KvPortParts) {
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
    await this.#authorisation.require(caller, (asker) => decide(asker, { kind: 'transaction', transaction }));
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
    if (request.serializable) this.#requireState();
    else await this.#linearizable(caller);
    await caller.room?.(LIMITS.keyBytesMax + LIMITS.valueBytesMax);
    const key = keyFromBytes(request.key);
    this.#authorisation.requireValue(caller.principal, key);
    const item = this.#store.get(key, request.revision);
    return { revision: this.#store.revision, item };
  }

  async range(caller: Caller, request: RangeRequest): Promise<RangeResponse> {
    if (request.serializable) this.#requireState();
    else await this.#linearizable(caller);
    await caller.room?.(request.countOnly ? 0 : LIMITS.pageBytesMax);
    const range = present(request.range, 'range');
    const whole = { start: keyFromBytes(range.start), end: keyFromBytes(range.end) };
    const page = request.pageToken.length === 0 ? null : decodePageToken(request.pageToken, whole);
    // All pages show the state of the first one.
    const revision = page?.revision ?? (request.revision === 0 ? this.#store.revision : request.revision);
    const { limit, keysOnly, countOnly } = request;
    const from = page === null ? {} : { from: page.next, count: page.count };
    const what = keysOnly || countOnly ? 'names' : 'values';
    const visible = this.#authorisation.visible(caller.principal, what);
    const result = this.#store.range({ ...whole, limit, keysOnly, countOnly, revision, visible, ...from });
    const { items, count, next } = result;
    const nextPageToken = next === null ? NO_TOKEN : encodePageToken({ revision, count, next }, whole);
    return { revision: this.#store.revision, items, count, nextPageToken };
  }

  async history(caller: Caller, request: HistoryRequest): Promise<HistoryResponse> {
    await this.#linearizable(caller);
    const key = keyFromBytes(request.key);
    if (request.keysOnly) this.#authorisation.requireListed(caller.principal, key);
    else this.#authorisation.requireValue(caller.principal, key);
    return this.#store.history({ ...request, key });
  }

  watch({ principal }: Caller, request: WatchCreate, sink: WatchSink): WatchHandle {
    const range: KeyRange = present(request.range, 'watch range');
    const { startRevision, previous, progress } = request;
    const query = {
      start: keyFromBytes(range.start),
      end: keyFromBytes(range.end),
      startRevision,
      previous,
      progress,
      visible: this.#authorisation.visible(principal, 'values'),
    };
    this.#requireState();
    return this.#store.watch(query, sink);
  }

  #requireState(): void {
    this.#store.requireState();
    const refusal = this.#refusal();
    if (refusal !== null) throw refusal;
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
