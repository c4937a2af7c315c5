/**
 * The sequential model of some keys. Each operation is a transaction on them. What a write leaves behind may not be
 * known exactly: the revision of a write that was never answered is learned from the first read that sees it.
 */
import { unreachable } from '../../src/base/assert.ts';
import { asAnswer, asRequest, compareKeys, isMutation, relationHolds } from './evaluate.ts';
import type { Model } from './search.ts';
import type { OperationLine, Seen, StepAnswer, TxnCompare, TxnRequest } from './types.ts';

/** A number that is known, or only bounded from below. */
interface Bounded {
  readonly atLeast: number;
  readonly exact: boolean;
}

interface Register {
  readonly value: string;
  readonly version: number;
  readonly mod: Bounded;
  readonly create: Bounded;
}

export interface ModelState {
  /** By key; an absent key has no register. */
  readonly registers: ReadonlyMap<string, Register>;
  /** The store has come at least to this revision. */
  readonly floor: number;
}

export interface ModelOperation {
  readonly request: TxnRequest;
  readonly mutates: boolean;
  /** Null: nothing is known of the answer. */
  readonly answer: { readonly succeeded: boolean; readonly results: readonly StepAnswer[] } | null;
  /** The revision that it wrote or read at, where known. */
  readonly rev: number | null;
}

export function modelOperation(line: OperationLine): ModelOperation {
  return {
    request: asRequest(line),
    mutates: isMutation(line),
    answer: line.status === 'ok' && line.out !== null ? asAnswer(line) : null,
    rev: line.rev,
  };
}

/**
 * @param options.revisions whether answers must also fit in their revisions; without, only values, versions and the
 *   outcome of conditions count, and an order is searched for that the store's own revisions have no part in
 */
export function storeModel(options: { readonly revisions: boolean }): Model<ModelState, ModelOperation> {
  return {
    initial: { registers: new Map(), floor: 0 },
    step: (state, operation) => new Step(state, operation, options.revisions).run(),
    isRead,
    keyOf: (state) => keyOf(state, options.revisions),
  };
}

function isRead({ mutates, answer }: ModelOperation): boolean {
  if (!mutates || answer === null) return !mutates;
  return answer.results.every(
    (result) => result.op === 'get' || result.op === 'range' || (result.op === 'delete' && !result.deleted),
  );
}

/** A register that exists has some revision. */
const UNKNOWN: Bounded = { atLeast: 1, exact: false };

function keyOf(state: ModelState, revisions: boolean): string {
  let key = revisions ? `${state.floor}` : '';
  for (const [name, { value, version, mod, create }] of state.registers) {
    key += `|${JSON.stringify(name)}=${JSON.stringify(value)}.${version}`;
    if (revisions)
      key += `.${mod.atLeast}${mod.exact ? '' : '+'}.${create.atLeast}${create.exact ? '' : '+'}`;
  }
  return key;
}

/** One operation on one state: what it reads may make the state better known, what it writes changes it. */
class Step {
  readonly #operation: ModelOperation;
  readonly #revisions: boolean;
  readonly #registers: Map<string, Register>;
  readonly #floor: number;
  #changed = false;

  constructor(state: ModelState, operation: ModelOperation, revisions: boolean) {
    this.#operation = operation;
    this.#revisions = revisions;
    this.#registers = new Map(state.registers);
    this.#floor = state.floor;
  }

  run(): ModelState | undefined {
    const { request, answer, rev } = this.#operation;
    const succeeded = this.#branch();
    if (succeeded === undefined) return undefined;
    const steps = succeeded ? request.success : request.failure;
    if (answer !== null && answer.results.length !== steps.length) return undefined;
    for (const [i, step] of steps.entries()) {
      const told = answer?.results[i] ?? null;
      if (step.op === 'put') this.#put(step.key, step.value);
      else if (step.op === 'delete') {
        const deleted = this.#delete(step.key);
        if (told?.op === 'delete' && told.deleted !== deleted) return undefined;
      } else if (step.op === 'get') {
        if (told?.op === 'get' && !this.#meets(step.key, told.item)) return undefined;
      } else if (told?.op === 'range' && !this.#meetsAll(step.prefix, told.items)) return undefined;
    }
    if (!this.#revisions) return { registers: sorted(this.#registers), floor: 0 };
    const floor = this.#changed ? this.#writeRevision() : (rev ?? this.#floor);
    if (rev !== null && (this.#changed ? rev <= this.#floor : rev < this.#floor)) return undefined;
    return { registers: sorted(this.#registers), floor };
  }

  /** The revision of what this operation writes, or the least that it can be. */
  #writeRevision(): number {
    return this.#operation.rev ?? this.#floor + 1;
  }

  /** Which branch runs, or undefined when the answer says another one. */
  #branch(): boolean | undefined {
    const { request, answer } = this.#operation;
    const outcomes = request.compares.map((compare) => this.#holds(compare));
    const known = outcomes.includes(false) ? false : outcomes.includes(null) ? null : true;
    if (known !== null) return answer === null || answer.succeeded === known ? known : undefined;
    // It turns on a revision that is not known. Without an answer: the other branch may as well never have run, as
    // long as it changes nothing; workloads here do not write in both.
    const succeeded = answer?.succeeded ?? true;
    if (succeeded) for (const compare of request.compares) this.#learn(compare);
    return succeeded;
  }

  /** Null: that depends on what is not known. */
  #holds(compare: TxnCompare): boolean | null {
    const register = this.#registers.get(compare.key);
    switch (compare.target) {
      case 'value':
        if (register === undefined) return compare.relation === '!=';
        return relationHolds(compare.relation, compareKeys(register.value, compare.wanted));
      case 'version':
        return relationHolds(compare.relation, (register?.version ?? 0) - compare.wanted);
      case 'mod':
      case 'create':
        return boundedHolds(compare, register?.[compare.target] ?? ABSENT);
      default:
        return unreachable(compare, 'compare');
    }
  }

  #learn(compare: TxnCompare): void {
    if (!this.#revisions || compare.relation !== '=') return;
    const register = this.#registers.get(compare.key);
    if (register === undefined || (compare.target !== 'mod' && compare.target !== 'create')) return;
    const known = { atLeast: compare.wanted, exact: true };
    this.#registers.set(compare.key, { ...register, [compare.target]: known });
  }

  #put(key: string, value: string): void {
    const before = this.#registers.get(key);
    const { rev } = this.#operation;
    const mod = this.#revisions ? { atLeast: this.#writeRevision(), exact: rev !== null } : UNKNOWN;
    const create = before?.create ?? mod;
    this.#registers.set(key, { value, version: (before?.version ?? 0) + 1, mod, create });
    this.#changed = true;
  }

  #delete(key: string): boolean {
    const deleted = this.#registers.delete(key);
    if (deleted) this.#changed = true;
    return deleted;
  }

  /** Whether a read may have seen `item` here; it then tells which revisions are meant. */
  #meets(key: string, item: Seen | null): boolean {
    const register = this.#registers.get(key);
    if (item === null || register === undefined) return item === null && register === undefined;
    if (item.key !== key || item.value !== register.value || item.version !== register.version) return false;
    if (!this.#revisions) return true;
    if (!fits(item.mod, register.mod) || !fits(item.create, register.create)) return false;
    if (item.version === 1 && item.create !== item.mod) return false;
    if (!register.mod.exact || !register.create.exact) {
      const mod = { atLeast: item.mod, exact: true };
      this.#registers.set(key, { ...register, mod, create: { atLeast: item.create, exact: true } });
    }
    return true;
  }

  #meetsAll(prefix: string, items: readonly Seen[]): boolean {
    const keys = [...this.#registers.keys()].filter((key) => key.startsWith(prefix));
    if (keys.length !== items.length) return false;
    for (const [i, item] of items.entries()) {
      const before = items[i - 1];
      if (before !== undefined && compareKeys(before.key, item.key) >= 0) return false;
      if (!this.#meets(item.key, item)) return false;
    }
    return true;
  }
}

/** A key that does not exist has the number 0. */
const ABSENT: Bounded = { atLeast: 0, exact: true };

function fits(told: number, known: Bounded): boolean {
  return known.exact ? told === known.atLeast : told >= known.atLeast;
}

function boundedHolds(compare: TxnCompare & { readonly wanted: number }, known: Bounded): boolean | null {
  if (known.exact) return relationHolds(compare.relation, known.atLeast - compare.wanted);
  if (compare.wanted < known.atLeast) return compare.relation === '!=' || compare.relation === '>';
  return null;
}

/** In one order, so that equal states have equal keys. */
function sorted(registers: Map<string, Register>): ReadonlyMap<string, Register> {
  if (registers.size < 2) return registers;
  return new Map([...registers].sort(([a], [b]) => (a < b ? -1 : 1)));
}
