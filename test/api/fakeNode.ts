import type { Caller, ClusterPort, KvPort, WatchHandle, WatchSink } from '../../src/api/ports.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type {
  AuthorityStatus,
  JoinTokenStatus,
  KeyChangeStatus,
  MemberStatus,
  RenewClientRequest,
  RenewClientResponse,
  StatusResponse,
} from '../../src/proto/cluster.ts';
import type {
  GetRequest,
  GetResponse,
  HistoryRequest,
  HistoryResponse,
  RangeRequest,
  RangeResponse,
  WatchCreate,
  WatchEvent,
} from '../../src/proto/kv.ts';
import {
  COMPARE_TARGET,
  type Compare,
  type KeyRange,
  type KeyValue,
  type Operation,
  type OperationOutcome,
  type Outcome,
  RELATION,
  type RequestId,
  type Transaction,
} from '../../src/proto/storage.ts';
import { FakeAccess } from './fakeAccess.ts';
import { FakeAudit } from './fakeAudit.ts';
import { EMPTY_STATUS, type FakeState, FakeWatch, isWithin, text } from './fakeState.ts';
import { answerAfter } from './until.ts';

/** What a fake node is told to do with calls of one method, before or after it has done them. */
export interface Fault {
  /** 'before': not applied. 'after': applied, then fails. */
  readonly when: 'before' | 'after';
  readonly error: HoldfastError | 'never answers';
  /** How many calls; each takes one. */
  count: number;
}

/** A fake of the node behind the API: one process's memory, no log, no disk. It applies a request id once. */
export class FakeNode implements KvPort, ClusterPort {
  readonly state: FakeState;
  readonly access = new FakeAccess();
  readonly audit = new FakeAudit();
  readonly faults = new Map<string, Fault>();
  readonly callers: Caller[] = [];
  readonly requests: RequestId[] = [];
  calls = 0;
  delayMs = 0;
  leader: string | null = null;
  members: readonly MemberStatus[] = [];
  tokens: readonly JoinTokenStatus[] = [];
  /** Of its status. */
  told: Partial<StatusResponse> = { warnings: [] };
  nodeId: string;
  role = '';
  /** What status tells of changes of keys, one after the other; the last one again and again. */
  keyChanges: (KeyChangeStatus | null)[] = [];
  authority: AuthorityStatus = { phase: 'none', signing: '', other: '', missing: [], readyToFinish: false };
  renew: (request: RenewClientRequest & { readonly shown: Uint8Array }) => RenewClientResponse = () => {
    throw new HoldfastError('INVALID_ARGUMENT', 'nothing is renewed here');
  };

  constructor(state: FakeState, nodeId = '0000000000000001') {
    this.state = state;
    this.nodeId = nodeId;
  }

  fail(method: string, fault: Omit<Fault, 'count'> & { count?: number }): void {
    this.faults.set(method, { count: 1, ...fault });
  }

  transact(
    caller: Caller,
    command: { request: RequestId | null; transaction: Transaction },
  ): Promise<Outcome> {
    if (command.request !== null) this.requests.push(command.request);
    return this.#run('transact', caller, () => this.#apply(command));
  }

  registerClient(caller: Caller): Promise<{ readonly clientId: number }> {
    return this.#run('registerClient', caller, () => {
      this.state.clients += 1;
      this.state.answers.set(this.state.clients, new Map());
      return { clientId: this.state.clients };
    });
  }

  closeClient(caller: Caller, request: { readonly clientId: number }): Promise<void> {
    return this.#run('closeClient', caller, () => {
      this.state.answers.delete(request.clientId);
    });
  }

  compact(caller: Caller, request: { readonly revision: number }): Promise<{ readonly revision: number }> {
    return this.#run('compact', caller, () => {
      this.state.compactedRevision = Math.max(this.state.compactedRevision, request.revision);
      return { revision: this.state.compactedRevision };
    });
  }

  get(caller: Caller, request: GetRequest): Promise<GetResponse> {
    return this.#run('get', caller, () => ({
      revision: this.state.revision,
      item: this.state.items.get(text(request.key)) ?? null,
    }));
  }

  range(caller: Caller, request: RangeRequest): Promise<RangeResponse> {
    return this.#run('range', caller, () => {
      const all = this.#within(request.range);
      const from = text(request.pageToken);
      const rest = all.filter((item) => text(item.key) >= from);
      const limit = request.limit === 0 ? 1_000 : request.limit;
      const next = rest[limit];
      return {
        revision: this.state.revision,
        items: request.countOnly ? [] : rest.slice(0, limit),
        count: all.length,
        nextPageToken: next === undefined || request.countOnly ? Buffer.alloc(0) : next.key,
      };
    });
  }

  history(caller: Caller, request: HistoryRequest): Promise<HistoryResponse> {
    return this.#run('history', caller, () => {
      const versions = this.state.history
        .flatMap(({ events }) => events)
        .filter((event) => event.item && text(event.item.key) === text(request.key))
        .map((event) => ({ item: event.item, deleted: event.type === 1, timeMs: 1 }))
        .reverse();
      return { revision: this.state.revision, versions, compactedRevision: this.state.compactedRevision };
    });
  }

  async watch(caller: Caller, request: WatchCreate, sink: WatchSink): Promise<WatchHandle> {
    this.callers.push(caller);
    const { state } = this;
    if (request.startRevision > 0 && request.startRevision <= state.compactedRevision) {
      throw new HoldfastError('COMPACTED', `revision ${request.startRevision} is no longer kept`);
    }
    const after = request.startRevision > 0 ? request.startRevision - 1 : state.revision;
    return new FakeWatch({ state, range: request.range ?? null, after, sink, node: this });
  }

  /** The node is gone as far as its watches know. */
  cancelWatches(error: HoldfastError): void {
    for (const watch of this.state.watches) if (watch.node === this) watch.cancel(error);
  }

  status(caller: Caller): Promise<StatusResponse> {
    const leader = this.members.find((member) => member.leader)?.nodeId ?? '';
    return this.#run('status', caller, () => ({
      ...EMPTY_STATUS,
      nodeId: this.nodeId,
      leader,
      role: this.role,
      keyChange: (this.keyChanges.length > 1 ? this.keyChanges.shift() : this.keyChanges[0]) ?? null,
      revision: this.state.revision,
      members: this.members,
      ...this.told,
    }));
  }

  memberList(caller: Caller) {
    return this.#run('memberList', caller, () => ({ members: this.members }));
  }

  addToken(caller: Caller) {
    return this.#run('addToken', caller, () => ({ token: 'hf1.token', expiresMs: 1 }));
  }

  tokenList(caller: Caller) {
    return this.#run('tokenList', caller, () => ({ tokens: this.tokens }));
  }

  revokeToken(caller: Caller) {
    return this.#run('revokeToken', caller, () => undefined);
  }

  beginKeyChange(caller: Caller) {
    return this.#run('beginKeyChange', caller, () => ({ id: 'abc' }));
  }

  confirmKeyChange(caller: Caller) {
    return this.#run('confirmKeyChange', caller, () => undefined);
  }

  abortKeyChange(caller: Caller) {
    return this.#run('abortKeyChange', caller, () => undefined);
  }

  promoteMember(caller: Caller) {
    return this.#run('promoteMember', caller, () => undefined);
  }

  demoteMember(caller: Caller) {
    return this.#run('demoteMember', caller, () => undefined);
  }

  removeMember(caller: Caller) {
    return this.#run('removeMember', caller, () => undefined);
  }

  transferLeadership(caller: Caller) {
    return this.#run('transferLeadership', caller, () => undefined);
  }

  rotateAuthority = (caller: Caller) => this.#authority('rotateAuthority', caller);
  finishAuthorityRotation = (caller: Caller) => this.#authority('finishAuthorityRotation', caller);
  authorityStatus = (caller: Caller) => this.#authority('authorityStatus', caller);

  #authority(method: string, caller: Caller) {
    return this.#run(method, caller, () => this.authority);
  }

  renewClient(caller: Caller, request: RenewClientRequest & { readonly shown: Uint8Array }) {
    return this.#run('renewClient', caller, () => this.renew(request));
  }

  leaderApiAddress(): string | null {
    return this.leader;
  }

  async #run<T>(method: string, caller: Caller, work: () => T): Promise<T> {
    this.calls += 1;
    this.callers.push(caller);
    if (this.delayMs > 0) await answerAfter(this.delayMs);
    const fault = this.#takeFault(method);
    if (fault?.when === 'before') return failWith(fault);
    const result = work();
    if (fault?.when === 'after') return failWith(fault);
    return result;
  }

  #takeFault(method: string): Fault | null {
    const fault = this.faults.get(method);
    if (fault === undefined || fault.count <= 0) return null;
    fault.count -= 1;
    return fault;
  }

  #apply({ request, transaction }: { request: RequestId | null; transaction: Transaction }): Outcome {
    if (request === null) return this.#evaluate(transaction);
    const answers = this.state.answers.get(request.clientId);
    if (answers === undefined) return failed('REQUEST_FORGOTTEN');
    const known = answers.get(request.number);
    if (known !== undefined) return { ...known, replayed: true };
    for (const number of answers.keys()) if (number < request.floor) answers.delete(number);
    const outcome = this.#evaluate(transaction);
    answers.set(request.number, outcome);
    return outcome;
  }

  #evaluate({ compares, success, failure }: Transaction): Outcome {
    const succeeded = compares.every((compare) => this.#holds(compare));
    const branch = succeeded ? success : failure;
    const events: WatchEvent[] = [];
    const revision = this.state.revision + 1;
    const operations = branch.map((operation) => this.#operate(operation, { revision, events }));
    if (branch.some((operation) => !operation.range)) {
      this.state.revision = revision;
      this.state.applied += 1;
      this.state.history.push({ revision, events });
      for (const watch of this.state.watches) watch.pump();
    }
    return { transaction: { revision: this.state.revision, succeeded, operations }, replayed: false };
  }

  #operate(operation: Operation, at: { revision: number; events: WatchEvent[] }): OperationOutcome {
    if (operation.put) {
      const { key, value, previous } = operation.put;
      const before = this.state.items.get(text(key));
      const item = {
        key: Buffer.from(key),
        value: Buffer.from(value),
        createRevision: before?.createRevision ?? at.revision,
        modRevision: at.revision,
        version: (before?.version ?? 0) + 1,
      };
      this.state.items.set(text(key), item);
      at.events.push({ type: 0, item, previous: before ?? null });
      return { put: { previous: previous ? (before ?? null) : null } };
    }
    if (operation.delete) {
      const gone = this.#within(operation.delete.range);
      for (const item of gone) {
        this.state.items.delete(text(item.key));
        const tombstone = { ...item, value: Buffer.alloc(0), modRevision: at.revision };
        at.events.push({ type: 1, item: tombstone, previous: item });
      }
      return { delete: { deleted: gone.length, previous: operation.delete.previous ? gone : [] } };
    }
    const items = this.#within(operation.range?.range ?? null);
    return { range: { items, count: items.length, more: false } };
  }

  #holds(compare: Compare): boolean {
    const item = this.state.items.get(text(compare.key));
    if (compare.target === COMPARE_TARGET.VALUE) {
      const equal = item !== undefined && text(item.value) === text(compare.value);
      return compare.relation === RELATION.EQUAL ? equal : !equal;
    }
    const numbers = [0, item?.version ?? 0, item?.createRevision ?? 0, item?.modRevision ?? 0];
    const actual = numbers[compare.target] ?? 0;
    if (compare.relation === RELATION.EQUAL) return actual === compare.number;
    if (compare.relation === RELATION.NOT_EQUAL) return actual !== compare.number;
    return compare.relation === RELATION.GREATER ? actual > compare.number : actual < compare.number;
  }

  #within(range: KeyRange | null | undefined): KeyValue[] {
    if (!range) return [];
    return [...this.state.items.values()]
      .filter((item) => isWithin(range, item.key))
      .sort((a, b) => Buffer.compare(a.key, b.key));
  }
}

function failWith(fault: Fault): Promise<never> {
  if (fault.error === 'never answers') return new Promise(() => undefined);
  return Promise.reject(fault.error);
}

function failed(code: string): Outcome {
  return { failure: { code, message: `fake ${code}`, field: '', hint: '' }, replayed: false };
}
