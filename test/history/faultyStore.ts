/** A simulated store that answers requests, and does one thing wrong where it is told to. */

import type { CasExpectation, Seen, StepAnswer, TxnRequest } from '../../cluster-tests/history/types.ts';
import { unreachable } from '../../src/base/assert.ts';
import { SimulatedStore } from './simulatedStore.ts';

/** What goes wrong once, at the first operation that it can show at. */
export type Fault =
  | 'dropped write'
  | 'stale read'
  | 'stale read under a new revision'
  | 'stale serializable read'
  | 'lost update'
  | 'refused although it held'
  | 'duplicate apply'
  | 'unknown write twice'
  | 'value never written'
  | 'half a transaction'
  | 'transaction half seen'
  | 'refused and applied'
  | 'revision used twice'
  | 'deleted nothing'
  | 'append lost';

/** An operation before it has an answer. */
export type Request =
  | {
      readonly f: 'get';
      readonly key: string;
      readonly a: 'linearizable' | 'serializable';
      readonly b: number;
    }
  | { readonly f: 'range'; readonly key: string; readonly a: 'linearizable'; readonly b: 0 }
  | { readonly f: 'put'; readonly key: string; readonly a: string; readonly b: null }
  | { readonly f: 'delete'; readonly key: string; readonly a: null; readonly b: null }
  | { readonly f: 'cas'; readonly key: string; readonly a: CasExpectation; readonly b: string }
  | { readonly f: 'txn'; readonly key: ''; readonly a: TxnRequest; readonly b: null };

export interface Answer {
  readonly rev: number;
  readonly out: object;
}

/** Decides whether the fault happens here, once, where it can show. */
export type Fires = (fault: Fault, canShow?: boolean) => boolean;

export class FaultyStore {
  readonly #store = new SimulatedStore();
  readonly #fires: Fires;
  readonly #below: (max: number) => number;
  readonly #later: (run: () => void) => void;

  constructor(options: {
    readonly fires: Fires;
    readonly below: (max: number) => number;
    /** Runs something some time later. */
    readonly later: (run: () => void) => void;
  }) {
    this.#fires = options.fires;
    this.#below = options.below;
    this.#later = options.later;
  }

  get revision(): number {
    return this.#store.revision;
  }

  get events(): SimulatedStore['events'] {
    return this.#store.events;
  }

  item(key: string): Seen | null {
    return this.#store.item(key);
  }

  apply(request: Request): Answer {
    switch (request.f) {
      case 'get':
        return this.#get(request);
      case 'range':
        return { rev: this.#store.revision, out: { items: this.#range(request.key) } };
      case 'put':
        return { rev: this.#put(request.key, request.a), out: {} };
      case 'delete':
        return this.#delete(request.key);
      case 'cas':
        return this.#cas(request);
      case 'txn':
        return this.#txn(request.a);
      default:
        return unreachable(request, 'request');
    }
  }

  #get(request: Request & { readonly f: 'get' }): Answer {
    const { revision } = this.#store;
    const item = this.#store.item(request.key);
    if (request.b > 0) return { rev: revision, out: { item: this.#store.itemAt(request.key, request.b) } };
    if (request.a === 'serializable') {
      const rev = Math.max(0, revision - this.#below(10));
      const shown = this.#store.itemAt(request.key, rev);
      const wrong = this.#store.itemAt(request.key, rev - 5);
      const isWrong = this.#fires('stale serializable read', wrong?.mod !== shown?.mod);
      return { rev, out: { item: isWrong ? wrong : shown } };
    }
    const old = this.#store.itemAt(request.key, Math.max(0, revision - 40));
    const differs = revision > 40 && old?.mod !== item?.mod;
    if (this.#fires('stale read', differs)) return { rev: revision - 40, out: { item: old } };
    if (this.#fires('stale read under a new revision', differs)) return { rev: revision, out: { item: old } };
    if (item !== null && this.#fires('value never written')) {
      return { rev: revision, out: { item: { ...item, value: 'out of thin air' } } };
    }
    return { rev: revision, out: { item } };
  }

  #range(prefix: string): readonly Seen[] {
    const items = this.#store.items(prefix);
    const last = this.#store.events.filter(
      ({ mod, key }) => mod === this.#store.revision && key.startsWith(prefix),
    );
    if (!this.#fires('transaction half seen', last.length > 1)) return items;
    return items.map((item) => (item.key === last[0]?.key ? (last[0].previous ?? item) : item));
  }

  #put(key: string, value: string): number {
    if (this.#fires('revision used twice')) this.#store.revision -= 1;
    const rev = this.#store.write(new Map([[key, value]]));
    if (this.#fires('dropped write')) this.#store.undo(key);
    if (this.#fires('duplicate apply')) this.#later(() => this.#store.write(new Map([[key, value]])));
    return rev;
  }

  #delete(key: string): Answer {
    const deleted = this.#store.item(key) !== null;
    if (this.#fires('deleted nothing', deleted))
      return { rev: this.#store.revision, out: { deleted: false } };
    return { rev: this.#store.write(new Map([[key, null]])), out: { deleted } };
  }

  #cas({ key, a, b }: Request & { readonly f: 'cas' }): Answer {
    const item = this.#store.item(key);
    let holds = 'value' in a ? item?.value === a.value : (item?.mod ?? 0) === a.mod;
    if (this.#fires('lost update', !holds)) holds = true;
    else if (this.#fires('refused although it held', holds)) holds = false;
    if (!holds) return { rev: this.#store.revision, out: { swapped: false, item } };
    return { rev: this.#store.write(new Map([[key, b]])), out: { swapped: true } };
  }

  #txn({ compares, success, failure }: TxnRequest): Answer {
    const succeeded = compares.every(({ key, wanted }) => (this.#store.item(key)?.mod ?? 0) === wanted);
    const branch = succeeded ? success : failure;
    const changes = new Map(branch.flatMap((step) => (step.op === 'put' ? [[step.key, step.value]] : [])));
    const results = branch.map((step): StepAnswer => {
      if (step.op === 'range') return { op: 'range', items: this.#range(step.prefix) };
      return step.op === 'get' ? { op: 'get', item: this.#store.item(step.key) } : { op: 'put' };
    });
    const rev = this.#store.write(changes);
    const [first = ''] = changes.keys();
    if (this.#fires('half a transaction', changes.size > 1)) this.#store.undo(first);
    if (this.#fires('append lost', first.startsWith('list/'))) this.#store.undo(first);
    return { rev, out: { succeeded, results } };
  }
}
