import { assert } from '../../src/base/assert.ts';
import { toHoldfastError } from '../../src/base/errors.ts';
import { compare, get, type HoldfastClient, put } from '../../src/client/index.ts';
import type { Begun, Recorder } from './recorder.ts';
import { statusOf } from './status.ts';
import { seen, toStoreTransaction, toTxnAnswer } from './storeForms.ts';
import type {
  CasExpectation,
  CasLine,
  DeleteLine,
  GetLine,
  OperationLine,
  PutLine,
  RangeLine,
  ReadMode,
  Seen,
  TxnLine,
  TxnRequest,
} from './types.ts';

/** What an actor needs of a client. */
export type StoreClient = Pick<HoldfastClient, 'get' | 'put' | 'delete' | 'range' | 'transaction'>;

export interface ReadChoice {
  readonly mode?: ReadMode;
  /** The revision to read as of; 0 or absent: the newest. */
  readonly revision?: number;
}

/** `Omit` that keeps the members of a union apart. */
type Asked<Line extends OperationLine> = Omit<
  Line,
  'client' | 'node' | 'call' | 'ret' | 'rev' | 'status' | 'out' | 'error'
>;
interface Answered<Line extends OperationLine> {
  readonly rev: number;
  readonly out: NonNullable<Line['out']>;
}

/**
 * One sequential user of the store whose every operation is recorded. An operation never throws for what the cluster
 * does: its line says what came of it.
 *
 * The client library sends a request again under the same id for as long as the deadline allows, and the store applies
 * an id once: whatever the number of attempts, one operation is recorded, from the call to the final answer. What a
 * repetition may leave out of its answer (values read by a transaction that writes) is recorded as withheld; for
 * that reason no operation here asks for previous values, whose absence could not be told from "there was none".
 * After an unknown outcome the actor goes on as another logical client, since the operation may still be under way.
 */
export class Actor {
  readonly #recorder: Recorder;
  readonly #client: StoreClient;
  readonly #node: string;
  readonly #timeoutMs: number;
  #logicalClient: number;
  #busy = false;

  constructor(options: {
    readonly recorder: Recorder;
    readonly client: StoreClient;
    /** The node whose endpoint the client was given, or "any". */
    readonly node: string;
    /** Deadline of each operation. */
    readonly timeoutMs: number;
  }) {
    this.#recorder = options.recorder;
    this.#client = options.client;
    this.#node = options.node;
    this.#timeoutMs = options.timeoutMs;
    this.#logicalClient = options.recorder.newClient();
  }

  /** The logical client of the next operation: in unique values, it says who wrote them. */
  get logicalClient(): number {
    return this.#logicalClient;
  }

  get(key: string, { mode = 'linearizable', revision = 0 }: ReadChoice = {}): Promise<GetLine> {
    const options = { ...this.#timeout(), serializable: mode === 'serializable', revision };
    return this.#record<GetLine>({ f: 'get', key, a: mode, b: revision }, async () => {
      const answer = await this.#client.get(key, options);
      return { rev: answer.revision, out: { item: answer.item === null ? null : seen(answer.item) } };
    });
  }

  put(key: string, value: string): Promise<PutLine> {
    return this.#record<PutLine>({ f: 'put', key, a: value, b: null }, async () => {
      const answer = await this.#client.put(key, value, this.#timeout());
      return { rev: answer.revision, out: {} };
    });
  }

  delete(key: string): Promise<DeleteLine> {
    return this.#record<DeleteLine>({ f: 'delete', key, a: null, b: null }, async () => {
      const answer = await this.#client.delete(key, this.#timeout());
      return { rev: answer.revision, out: { deleted: answer.deleted > 0 } };
    });
  }

  /** Puts `value` if `expected` holds; the line also tells what was there instead. */
  cas(key: string, expected: CasExpectation, value: string): Promise<CasLine> {
    const condition =
      'value' in expected
        ? compare.value(key).equals(expected.value)
        : compare.modRevision(key).equals(expected.mod);
    return this.#record<CasLine>({ f: 'cas', key, a: expected, b: value }, async () => {
      const answer = await this.#client.transaction(
        { compares: [condition], success: [put(key, value)], failure: [get(key)] },
        this.#timeout(),
      );
      const [result] = answer.operations;
      if (answer.succeeded) return { rev: answer.revision, out: { swapped: true } };
      const isTold = result?.kind === 'range' && result.items.length === result.count;
      if (!isTold) return { rev: answer.revision, out: { swapped: false } };
      const [item] = result.items;
      return {
        rev: answer.revision,
        out: { swapped: false, item: item === undefined ? null : seen(item) },
      };
    });
  }

  /** Everything that begins with `prefix`, page by page as of one revision. */
  range(prefix: string, { mode = 'linearizable', revision = 0 }: ReadChoice = {}): Promise<RangeLine> {
    const options = { ...this.#timeout(), prefix, serializable: mode === 'serializable', revision };
    return this.#record<RangeLine>({ f: 'range', key: prefix, a: mode, b: revision }, async () => {
      const items: Seen[] = [];
      let page = await this.#client.range(options);
      const rev = page.revision;
      for (;;) {
        items.push(...page.items.map(seen));
        if (page.nextPageToken === null) return { rev, out: { items } };
        page = await this.#client.range({ ...options, pageToken: page.nextPageToken });
      }
    });
  }

  txn(request: TxnRequest): Promise<TxnLine> {
    return this.#record<TxnLine>({ f: 'txn', key: '', a: request, b: null }, async () => {
      const answer = await this.#client.transaction(toStoreTransaction(request), this.#timeout());
      return { rev: answer.revision, out: toTxnAnswer(request, answer) };
    });
  }

  #timeout(): { readonly timeoutMs: number } {
    return { timeoutMs: this.#timeoutMs };
  }

  async #record<Line extends OperationLine>(
    asked: Asked<Line>,
    run: () => Promise<Answered<Line>>,
  ): Promise<Line> {
    assert(!this.#busy, 'an actor does one thing at a time');
    this.#busy = true;
    try {
      await this.#recorder.flushed();
      const begun = {
        client: this.#logicalClient,
        node: this.#node,
        call: this.#recorder.now(),
        ...asked,
      };
      this.#recorder.begin(begun as unknown as Begun);
      const ended = await this.#outcome(run);
      const line = { ...begun, ret: this.#recorder.now(), ...ended } as unknown as Line;
      if (line.status === 'info') this.#logicalClient = this.#recorder.newClient();
      this.#recorder.end(begun as unknown as Begun, line);
      return line;
    } finally {
      this.#busy = false;
    }
  }

  async #outcome<Line extends OperationLine>(run: () => Promise<Answered<Line>>) {
    try {
      return { status: 'ok', ...(await run()) } as const;
    } catch (thrown) {
      const error = toHoldfastError(thrown).code;
      return { status: statusOf(error), rev: null, out: null, error } as const;
    }
  }
}
