/** Histories as a cluster would make them, from a seed: operations that overlap, some never answered, some late. */
import { listOf, listValue } from '../../cluster-tests/history/listAppend.ts';
import { amountOf } from '../../cluster-tests/history/sums.ts';
import type {
  History,
  OperationLine,
  Seen,
  TxnRequest,
  WorkloadLine,
} from '../../cluster-tests/history/types.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { type Answer, type Fault, FaultyStore, type Request } from './faultyStore.ts';

export interface RunOptions {
  readonly seed: number;
  readonly clients?: number;
  readonly operations?: number;
  readonly infoRate?: number;
  readonly keys?: number;
  /** Of all operations, the share on accounts and on lists; the rest is on single keys. */
  readonly transfers?: number;
  readonly lists?: number;
  readonly fault?: Fault;
}

interface Action {
  readonly time: number;
  readonly run: () => void;
}

const ACCOUNTS = 5;
const AMOUNT = 100;
const LISTS = 3;

export function simulate(options: RunOptions): { readonly history: History; readonly faulted: boolean } {
  return new SimulatedRun(options).run();
}

class SimulatedRun {
  readonly #options: Required<Omit<RunOptions, 'fault'>> & { readonly fault: Fault | undefined };
  readonly #random: SeededRandom;
  readonly #store: FaultyStore;
  readonly #actions: Action[] = [];
  readonly #lines: OperationLine[] = [];
  #now = 0;
  #tick = 0;
  #clients = 0;
  #values = 0;
  #begun = 0;
  #faulted = false;
  /** Whether the client will hear of what is being applied: what goes wrong must be able to show. */
  #isHeard = true;

  constructor(options: RunOptions) {
    const defaults = { clients: 5, operations: 300, infoRate: 0.03, keys: 4, transfers: 0, lists: 0 };
    this.#options = { ...defaults, fault: undefined, ...options };
    this.#random = new SeededRandom(options.seed);
    this.#store = new FaultyStore({
      fires: (fault, canShow) => this.#fires(fault, canShow),
      below: (max) => this.#below(max),
      later: (run) => this.#after(200, run),
    });
  }

  run(): { readonly history: History; readonly faulted: boolean } {
    const workloads = this.#setUp();
    for (let i = 0; i < this.#options.clients; i += 1) this.#goOn(this.#newClient());
    for (let action = this.#nextAction(); action !== undefined; action = this.#nextAction()) {
      this.#now = action.time;
      action.run();
    }
    this.#readAll();
    return { history: this.#history(workloads), faulted: this.#faulted };
  }

  #history(workloads: readonly WorkloadLine[]): History {
    return {
      operations: this.#lines.toSorted((a, b) => a.call - b.call),
      watches: [],
      events: this.#store.events,
      log: { f: 'log', prefix: '', after: 0, upTo: this.#store.revision },
      digests: [],
      applied: [],
      workloads,
    };
  }

  #setUp(): readonly WorkloadLine[] {
    const workloads: WorkloadLine[] = [];
    if (this.#options.transfers > 0) {
      const puts = Array.from({ length: ACCOUNTS }, (_, i) => put(`sum/${i}`, `${AMOUNT}#start`));
      this.#atOnce({ f: 'txn', key: '', a: { compares: [], success: puts, failure: [] }, b: null });
      const since = this.#store.revision;
      workloads.push({ f: 'workload', kind: 'sum', prefix: 'sum/', total: ACCOUNTS * AMOUNT, since });
    }
    if (this.#options.lists > 0) workloads.push({ f: 'workload', kind: 'append', prefix: 'list/' });
    return workloads;
  }

  /** The final reads. */
  #readAll(): void {
    const keys = new Set(this.#store.events.map(({ key }) => key));
    for (const key of [...keys].sort()) this.#atOnce({ f: 'get', key, a: 'linearizable', b: 0 });
    if (this.#options.transfers > 0) this.#atOnce({ f: 'range', key: 'sum/', a: 'linearizable', b: 0 });
  }

  #atOnce(request: Request): void {
    const call = this.#moment();
    const answer = this.#store.apply(request);
    this.#record(request, { client: this.#newClient(), call, status: 'ok', answer });
  }

  // Time

  #moment(): number {
    this.#tick += 1;
    return this.#tick;
  }

  #after(delay: number, run: () => void): void {
    this.#actions.push({ time: this.#now + 1 + this.#below(delay), run });
  }

  #nextAction(): Action | undefined {
    let first = 0;
    for (const [i, { time }] of this.#actions.entries()) {
      if (time < (this.#actions[first]?.time ?? 0)) first = i;
    }
    return this.#actions.splice(first, 1)[0];
  }

  #below(max: number): number {
    return this.#random.integer({ min: 0, max });
  }

  #chance(rate: number): boolean {
    return this.#below(10_000) < rate * 10_000;
  }

  #fires(fault: Fault, canShow = true): boolean {
    if (this.#faulted || this.#options.fault !== fault || !canShow || !this.#isHeard) return false;
    // Not among the first ones: something has to be there.
    if (this.#begun < this.#options.operations / 4) return false;
    this.#faulted = true;
    return true;
  }

  // Clients

  #newClient(): number {
    this.#clients += 1;
    return this.#clients;
  }

  #goOn(client: number): void {
    if (this.#begun >= this.#options.operations) return;
    this.#begun += 1;
    this.#after(20, () => this.#call(client, this.#choose(client)));
  }

  #call(client: number, request: Request): void {
    const call = this.#moment();
    const isRead = request.f === 'get' || request.f === 'range';
    if (this.#fires('unknown write twice', request.f === 'put')) {
      this.#twice(client, request, call);
    } else if (this.#fires('refused and applied', request.f === 'put')) {
      this.#after(20, () => {
        this.#applyUnheard(request);
        this.#record(request, { client, call, status: 'info', error: 'UNAVAILABLE' });
        this.#goOn(this.#newClient());
      });
    } else if (this.#chance(this.#options.infoRate)) {
      // The effect may come long after the client has given up, or never.
      if (!isRead && this.#chance(0.5)) this.#after(400, () => this.#applyUnheard(request));
      this.#after(60, () => {
        this.#record(request, { client, call, status: 'info', error: 'OUTCOME_UNKNOWN' });
        this.#goOn(this.#newClient());
      });
    } else {
      this.#after(40, () => {
        const answer = this.#store.apply(request);
        this.#after(40, () => {
          this.#record(request, { client, call, status: 'ok', answer });
          this.#goOn(client);
        });
      });
    }
  }

  #twice(client: number, request: Request, call: number): void {
    this.#after(20, () => {
      this.#applyUnheard(request);
      this.#after(100, () => this.#applyUnheard(request));
      this.#record(request, { client, call, status: 'info', error: 'OUTCOME_UNKNOWN' });
      this.#goOn(this.#newClient());
    });
  }

  #record(
    request: Request,
    done: {
      readonly client: number;
      readonly call: number;
      readonly status: 'ok' | 'info';
      readonly answer?: Answer;
      readonly error?: string;
    },
  ): void {
    const { client, call, status, answer, error } = done;
    const { rev = null, out = null } = answer ?? {};
    const ret = this.#moment();
    const why = error === undefined ? {} : { error };
    this.#lines.push({
      ...request,
      client,
      call,
      ret,
      rev,
      out,
      status,
      node: 'any',
      ...why,
    } as OperationLine);
  }

  // Requests

  #choose(client: number): Request {
    const kind = this.#below(10_000) / 10_000;
    if (kind < this.#options.transfers) return this.#transferOrRead(client);
    if (kind < this.#options.transfers + this.#options.lists) return this.#listRequest(client);
    const key = `key/${this.#below(this.#options.keys)}`;
    const now = this.#store.item(key);
    const value = this.#value(client);
    const roll = this.#below(100);
    if (roll < 40) return { f: 'get', key, a: 'linearizable', b: 0 };
    if (roll < 48) return { f: 'get', key, a: 'serializable', b: 0 };
    if (roll < 50 && this.#store.revision > 0)
      return { f: 'get', key, a: 'linearizable', b: 1 + this.#below(this.#store.revision) };
    if (roll < 72) return { f: 'put', key, a: value, b: null };
    if (roll < 80) return { f: 'delete', key, a: null, b: null };
    if (roll < 90) return { f: 'cas', key, a: { mod: now?.mod ?? 0 }, b: value };
    return { f: 'cas', key, a: { value: now?.value ?? 'none' }, b: value };
  }

  #value(client: number): string {
    this.#values += 1;
    return `c${client}-${this.#values}`;
  }

  #transferOrRead(client: number): Request {
    if (this.#chance(0.4)) return { f: 'range', key: 'sum/', a: 'linearizable', b: 0 };
    const [from, step] = [this.#below(ACCOUNTS), 1 + this.#below(ACCOUNTS - 1)];
    const keys = [`sum/${from}`, `sum/${(from + step) % ACCOUNTS}`];
    const amount = 1 + this.#below(9);
    const items = keys.map((key) => this.#store.item(key));
    const success = items.map((item, i) => {
      const after = (amountOf(item?.value ?? '') ?? 0) + (i === 0 ? -amount : amount);
      return put(keys[i] ?? '', `${after}#${this.#value(client)}`);
    });
    return {
      f: 'txn',
      key: '',
      a: { compares: unchanged(items), success, failure: [{ op: 'range', prefix: 'sum/' }] },
      b: null,
    };
  }

  #listRequest(client: number): Request {
    const first = this.#below(LISTS);
    const keys = [`list/${first}`, `list/${(first + 1) % LISTS}`];
    const reads = keys.map((key) => ({ op: 'get', key }) as const);
    if (this.#chance(0.4))
      return { f: 'txn', key: '', a: { compares: [], success: reads, failure: [] }, b: null };
    const items = keys.map((key) => this.#store.item(key));
    const compares = unchanged(items).concat(
      keys
        .filter((_, i) => items[i] === null)
        .map((key) => ({ key, relation: '=', target: 'mod', wanted: 0 })),
    );
    const appended = put(keys[0] ?? '', listValue([...listOf(items[0]?.value ?? null), this.#value(client)]));
    const success = [appended, { op: 'get', key: keys[1] ?? '' } as const];
    return { f: 'txn', key: '', a: { compares, success, failure: reads }, b: null };
  }

  // The store

  #applyUnheard(request: Request): void {
    this.#isHeard = false;
    this.#store.apply(request);
    this.#isHeard = true;
  }
}

function put(key: string, value: string) {
  return { op: 'put', key, value } as const;
}

function unchanged(items: readonly (Seen | null)[]): TxnRequest['compares'] {
  return items.flatMap((item) =>
    item === null ? [] : [{ key: item.key, relation: '=', target: 'mod', wanted: item.mod } as const],
  );
}
