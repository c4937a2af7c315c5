/**
 * Strict serializability of transactions over lists, from what they appended and read (after Elle, Kingsbury and
 * Alvaro 2020). Each element is appended once, so a list that is read tells the order of all writes of its key; with
 * who read what, and what ended before what began, every transaction that had to come before another one is known,
 * and a cycle among them is a violation. Linear in the length of the history.
 */
import { type Edge, findCycles } from './cycles.ts';
import { describe } from './describe.ts';
import { asAnswer, asRequest } from './evaluate.ts';
import type { Finding, OperationLine, StepAnswer, TxnStep, WorkloadLine } from './types.ts';

const SEPARATOR = ',';
const PROBLEMS_SHOWN = 10;

/** A list as a value, and back; a key that does not exist is the empty list. */
export function listValue(elements: readonly string[]): string {
  return elements.join(SEPARATOR);
}
export function listOf(value: string | null): readonly string[] {
  return value === null || value === '' ? [] : value.split(SEPARATOR);
}

export interface ListTransaction {
  readonly line: OperationLine;
  /** What it saw of each list before its own append. */
  readonly reads: readonly { readonly key: string; readonly list: readonly string[] }[];
  readonly appends: readonly { readonly key: string; readonly element: string }[];
}

export interface ListAppendResult {
  readonly findings: readonly Finding[];
  readonly transactions: number;
  readonly edges: number;
}

/**
 * An append is the put of a list with one element more, under a condition that the rest is what is there; where it
 * is done, it has read that rest.
 */
export function listTransactions(
  lines: readonly OperationLine[],
  prefix: string,
): readonly ListTransaction[] {
  return lines.flatMap((line) => {
    const request = asRequest(line);
    const answer = line.status === 'ok' ? asAnswer(line) : null;
    const steps = answer?.succeeded === false ? request.failure : request.success;
    const reads: { key: string; list: readonly string[] }[] = [];
    const appends: { key: string; element: string }[] = [];
    for (const [i, step] of steps.entries()) {
      if (step.op === 'put' && step.key.startsWith(prefix)) {
        const list = listOf(step.value);
        appends.push({ key: step.key, element: list.at(-1) ?? '' });
        if (answer !== null) reads.push({ key: step.key, list: list.slice(0, -1) });
      } else reads.push(...readsOf(step, answer?.results[i]).filter(({ key }) => key.startsWith(prefix)));
    }
    return reads.length + appends.length === 0 ? [] : [{ line, reads, appends }];
  });
}

function readsOf(step: TxnStep, answer: StepAnswer | undefined) {
  if (step.op === 'get' && answer?.op === 'get') {
    return [{ key: step.key, list: listOf(answer.item?.value ?? null) }];
  }
  if (answer?.op !== 'range') return [];
  return answer.items.map(({ key, value }) => ({ key, list: listOf(value) }));
}

export function checkListAppend(
  lines: readonly OperationLine[],
  workload: WorkloadLine & { readonly kind: 'append' },
): ListAppendResult {
  // Reads that may be stale are held against their revision elsewhere.
  const current = lines.filter(
    (line) => (line.f !== 'get' && line.f !== 'range') || (line.a === 'linearizable' && line.b === 0),
  );
  const all = listTransactions(current, workload.prefix);
  const subject = `${workload.prefix}*`;
  const lists = new Lists(all);
  const problems = [...lists.problems];
  let edges = 0;
  let count = 0;
  if (problems.length === 0) {
    const graph = new Graph(all, lists);
    edges = graph.edges.length;
    count = graph.count;
    problems.push(...graph.cycles());
  }
  const verdict = problems.length > 0 ? 'illegal' : count === 0 ? 'unknown' : 'ok';
  const detail =
    verdict === 'unknown' ? 'there are no transactions' : problems.slice(0, PROBLEMS_SHOWN).join('\n');
  return { findings: [{ check: 'list append', subject, verdict, detail }], transactions: count, edges };
}

/** The longest list read of each key, that all others must begin. */
class Lists {
  readonly longest = new Map<string, readonly string[]>();
  /** By key and element. */
  readonly writers = new Map<string, ListTransaction>();
  readonly problems: string[] = [];

  constructor(transactions: readonly ListTransaction[]) {
    for (const transaction of transactions) {
      for (const { key, element } of transaction.appends) this.#addWriter(transaction, placeOf(key, element));
    }
    for (const { line, reads } of transactions) {
      if (line.status !== 'ok') continue;
      for (const { key, list } of reads) this.#addRead(key, list, line);
    }
    for (const [key, list] of this.longest) this.#checkElements(key, list);
  }

  #addWriter(transaction: ListTransaction, place: string): void {
    const other = this.writers.get(place);
    if (other === undefined || other.line.status !== 'ok') this.writers.set(place, transaction);
    else if (transaction.line.status === 'ok') {
      this.problems.push(
        `one element appended twice:\n  ${describe(other.line)}\n  ${describe(transaction.line)}`,
      );
    }
  }

  #addRead(key: string, list: readonly string[], line: OperationLine): void {
    const longest = this.longest.get(key) ?? [];
    const shorter = list.length < longest.length ? list : longest;
    const longer = shorter === list ? longest : list;
    const at = shorter.findIndex((element, i) => element !== longer[i]);
    if (at >= 0) {
      this.problems.push(
        `${key}: two reads do not agree at element ${at}: ${shorter[at]} and ${longer[at]}\n  ${describe(line)}`,
      );
    }
    this.longest.set(key, longer);
  }

  #checkElements(key: string, list: readonly string[]): void {
    if (new Set(list).size < list.length)
      this.problems.push(`${key}: an element is there twice: ${listValue(list)}`);
    for (const element of list) {
      const writer = this.writers.get(placeOf(key, element));
      if (writer === undefined) this.problems.push(`${key}: ${element} was read, and never appended`);
      else if (writer.line.status === 'fail') {
        this.problems.push(`${key}: ${element} was read, and its append refused\n  ${describe(writer.line)}`);
      }
    }
  }
}

function placeOf(key: string, element: string): string {
  return JSON.stringify([key, element]);
}

type Reason = 'appended before' | 'read what' | 'did not see what' | 'ended before';

/** Nodes: the transactions that happened, then one for each moment at which one ended. */
class Graph {
  readonly edges: Edge<Reason>[] = [];
  readonly #nodes = new Map<ListTransaction, number>();
  readonly #transactions: ListTransaction[] = [];
  readonly #lists: Lists;
  /** The elements of each key's longest list. */
  readonly #places = new Map<string, ReadonlySet<string>>();
  #moments = 0;

  constructor(all: readonly ListTransaction[], lists: Lists) {
    this.#lists = lists;
    for (const transaction of all) {
      if (transaction.line.status === 'ok' || this.#wasSeen(transaction)) {
        this.#nodes.set(transaction, this.#transactions.length);
        this.#transactions.push(transaction);
      }
    }
    this.#addWrites();
    this.#addReads();
    this.#addTime();
  }

  get count(): number {
    return this.#transactions.length;
  }

  cycles(): readonly string[] {
    return findCycles(this.count + this.#moments, this.edges).map((cycle) => this.#show(cycle));
  }

  #wasSeen({ line, appends }: ListTransaction): boolean {
    if (line.status !== 'info') return false;
    return appends.some(({ key, element }) => this.#isIn(key, element));
  }

  #writer(key: string, element: string | undefined): number | undefined {
    if (element === undefined) return undefined;
    const writer = this.#lists.writers.get(placeOf(key, element));
    return writer === undefined ? undefined : this.#nodes.get(writer);
  }

  #add(from: number | undefined, to: number | undefined, label: Reason): void {
    if (from !== undefined && to !== undefined && from !== to) this.edges.push({ from, to, label });
  }

  /** Elements in the order of the longest list; what nobody has seen yet comes after all that somebody has. */
  #addWrites(): void {
    for (const [key, list] of this.#lists.longest) {
      for (const [i, element] of list.entries()) {
        this.#add(this.#writer(key, list[i - 1]), this.#writer(key, element), 'appended before');
      }
    }
    for (const [transaction, node] of this.#nodes) {
      for (const { key, element } of transaction.appends) {
        const list = this.#lists.longest.get(key) ?? [];
        if (!this.#isIn(key, element)) this.#add(this.#writer(key, list.at(-1)), node, 'appended before');
      }
    }
  }

  #isIn(key: string, element: string): boolean {
    let elements = this.#places.get(key);
    if (elements === undefined) {
      elements = new Set(this.#lists.longest.get(key) ?? []);
      this.#places.set(key, elements);
    }
    return elements.has(element);
  }

  #addReads(): void {
    const unseen = this.#unseenWriters();
    for (const [{ line, reads }, node] of this.#nodes) {
      if (line.status !== 'ok') continue;
      for (const { key, list } of reads) {
        this.#add(this.#writer(key, list.at(-1)), node, 'read what');
        const longest = this.#lists.longest.get(key) ?? [];
        this.#add(node, this.#writer(key, longest[list.length]), 'did not see what');
        if (list.length < longest.length) continue;
        for (const writer of unseen.get(key) ?? []) this.#add(node, writer, 'did not see what');
      }
    }
  }

  /** By key: acknowledged appends that no list has. Each of them comes after every read. */
  #unseenWriters(): ReadonlyMap<string, readonly number[]> {
    const unseen = new Map<string, number[]>();
    for (const [{ line, appends }, node] of this.#nodes) {
      if (line.status !== 'ok') continue;
      for (const { key, element } of appends) {
        if (this.#isIn(key, element)) continue;
        const writers = unseen.get(key);
        if (writers === undefined) unseen.set(key, [node]);
        else writers.push(node);
      }
    }
    return unseen;
  }

  /** One chain of moments: who ended before who began, with two edges for each transaction. */
  #addTime(): void {
    const events = this.#transactions.flatMap(({ line }, node) => {
      const call = { time: line.call, isEnd: false, node };
      return line.status === 'ok' && line.ret !== null
        ? [call, { time: line.ret, isEnd: true, node }]
        : [call];
    });
    events.sort((a, b) => a.time - b.time || Number(a.isEnd) - Number(b.isEnd));
    let moment: number | undefined;
    for (const { isEnd, node } of events) {
      if (!isEnd) {
        this.#add(moment, node, 'ended before');
        continue;
      }
      const next = this.count + this.#moments;
      this.#moments += 1;
      this.#add(moment, next, 'ended before');
      this.#add(node, next, 'ended before');
      moment = next;
    }
  }

  #show(cycle: readonly Edge<Reason>[]): string {
    // Begins at a transaction; the moments between two of them are one "ended before".
    const start = cycle.findIndex(({ from }) => from < this.count);
    const edges = [...cycle.slice(start), ...cycle.slice(0, start)];
    const lines = ['these have no order:'];
    for (const { from, to, label } of edges) {
      const transaction = this.#transactions[from];
      if (transaction !== undefined) lines.push(`  ${describe(transaction.line)}`);
      const isTransaction = to < this.count;
      if (isTransaction) lines.push(`    ${REASONS[label]}`);
    }
    lines.push('    the first one');
    return lines.join('\n');
  }
}

const REASONS: Readonly<Record<Reason, string>> = {
  'appended before': 'appended before',
  'read what': 'appended what was read by',
  'did not see what': 'did not see what was appended by',
  'ended before': 'ended before the call of',
};
