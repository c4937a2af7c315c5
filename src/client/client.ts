import { type Clock, systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type RandomSource, systemRandom } from '../base/random.ts';
import type {
  CompactResponse,
  DeleteResponse,
  GetResponse,
  HistoryResponse,
  PutResponse,
  RangeResponse,
  TxnResponse,
} from '../proto/kv.ts';
import type { Compare, Operation } from '../proto/storage.ts';
import { AccessClient } from './accessClient.ts';
import { AuditClient } from './auditClient.ts';
import { ClusterClient } from './clusterClient.ts';
import { type ClientIdentity, securityOf } from './connection.ts';
import { Dispatcher } from './dispatcher.ts';
import { type Bytes, type Item, type KeySelector, toBytes, toItem, toItemOrNull, toRange } from './keys.ts';
import { Route } from './route.ts';
import { hasMutation, type OperationResult, selection, toOperationResult } from './transaction.ts';
import { Watch, type WatchOptions } from './watch.ts';

export interface ConnectOptions extends ClientIdentity {
  /** host:port of some nodes; others are learned. */
  readonly endpoints: readonly string[];
  /** How long an answer is of use, in milliseconds, unless a call says otherwise. */
  readonly requestTimeoutMs?: number;
  /** For tests. */
  readonly clock?: Clock;
  readonly random?: RandomSource;
}

export interface WriteOptions {
  /** Answer with what was there before. */
  readonly previous?: boolean;
  readonly timeoutMs?: number;
}

export interface ReadOptions {
  /** Read as of this revision; the newest when absent. */
  readonly revision?: number;
  /** Read what one node has applied, which may be behind, without asking the leader. */
  readonly serializable?: boolean;
  readonly timeoutMs?: number;
}

export interface RangeOptions extends ReadOptions {
  /** Keys a page, 1 to 1,000; a page may also end earlier, by its bytes. */
  readonly limit?: number;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  /** From the page before; all else must be as then. */
  readonly pageToken?: Uint8Array;
}

export interface RangePage {
  readonly revision: number;
  readonly items: readonly Item[];
  /** How many keys the whole range has at this revision. */
  readonly count: number;
  /** Null on the last page. */
  readonly nextPageToken: Buffer | null;
}

export interface Transaction {
  /** All must hold for `success` to run; without compares it always runs. */
  readonly compares?: readonly Compare[];
  readonly success?: readonly Operation[];
  readonly failure?: readonly Operation[];
}

export interface TransactionResult {
  readonly revision: number;
  readonly succeeded: boolean;
  readonly operations: readonly OperationResult[];
}

export interface HistoryVersion {
  readonly item: Item;
  readonly deleted: boolean;
  /** Milliseconds since 1970, by the cluster's clock. */
  readonly timeMs: number;
}

/**
 * Connects to a cluster and finds its leader.
 * @throws HoldfastError INVALID_ARGUMENT, CERTIFICATE_INVALID; UNAVAILABLE when no endpoint answers in time;
 *   UNAUTHENTICATED when the cluster does not take the certificate
 */
export async function connect(options: ConnectOptions): Promise<HoldfastClient> {
  const client = new HoldfastClient(options);
  try {
    await client.cluster.status();
    return client;
  } catch (thrown) {
    await client.close();
    throw thrown;
  }
}

/** A client of one cluster. Every method throws HoldfastError with a stable `code`. */
export class HoldfastClient {
  readonly cluster: ClusterClient;
  readonly access: AccessClient;
  readonly audit: AuditClient;
  readonly #dispatcher: Dispatcher;
  readonly #watches = new Set<Watch>();
  #closed = false;

  /** Does not connect yet; `connect` does. */
  constructor(options: ConnectOptions) {
    const { endpoints, clock = systemClock, random = systemRandom } = options;
    checkEndpoints(endpoints);
    const firstIndex = random.integer({ min: 0, max: endpoints.length });
    this.#dispatcher = new Dispatcher({
      security: securityOf(options),
      route: new Route({ endpoints, clock, firstIndex }),
      clock,
      random,
      defaultTimeoutMs: options.requestTimeoutMs ?? LIMITS.requestTimeoutMs,
    });
    this.cluster = new ClusterClient({ dispatcher: this.#dispatcher, endpoints });
    this.access = new AccessClient(this.#dispatcher);
    this.audit = new AuditClient(this.#dispatcher);
  }

  /** Puts a value. `previous` in the result is null unless asked for and there. */
  put(
    key: Bytes,
    value: Bytes,
    options: WriteOptions = {},
  ): Promise<{ revision: number; previous: Item | null }> {
    const body = { key: toBytes(key), value: toBytes(value), previous: options.previous ?? false };
    const bytes = body.key.length + body.value.length;
    return this.#write<PutResponse>('put', { body, bytes, timeoutMs: options.timeoutMs }).then(
      (response) => ({
        revision: response.revision,
        previous: toItemOrNull(response.previous),
      }),
    );
  }

  /** Gets one key; `item` is null when it does not exist. */
  async get(key: Bytes, options: ReadOptions = {}): Promise<{ revision: number; item: Item | null }> {
    const { revision = 0, serializable = false } = options;
    const body = { key: toBytes(key), revision, serializable };
    const response = await this.#read<GetResponse>('get', { body, ...routing(options) });
    return { revision: response.revision, item: toItemOrNull(response.item) };
  }

  /** Deletes one key, or all of a selection. `deleted` counts what was there. */
  async delete(
    target: Bytes | KeySelector,
    options: WriteOptions = {},
  ): Promise<{ revision: number; deleted: number; previous: readonly Item[] }> {
    const body = { range: selection(target), previous: options.previous ?? false };
    const { timeoutMs } = options;
    const response = await this.#write<DeleteResponse>('delete', { body, bytes: 0, timeoutMs });
    return {
      revision: response.revision,
      deleted: response.deleted,
      previous: response.previous.map(toItem),
    };
  }

  /** One page of a selection, in the order of the keys' bytes. */
  async range(options: KeySelector & RangeOptions): Promise<RangePage> {
    const { limit = 0, keysOnly = false, countOnly = false, revision = 0, serializable = false } = options;
    const pageToken = options.pageToken ?? Buffer.alloc(0);
    const range = toRange(options);
    const body = { range, limit, pageToken, keysOnly, countOnly, revision, serializable };
    const response = await this.#read<RangeResponse>('range', { body, ...routing(options) });
    return {
      revision: response.revision,
      items: response.items.map(toItem),
      count: response.count,
      nextPageToken: response.nextPageToken.length > 0 ? Buffer.from(response.nextPageToken) : null,
    };
  }

  /** All items of a selection, page by page, all at the revision of the first page. */
  async *list(
    options: KeySelector & Omit<RangeOptions, 'pageToken' | 'countOnly'>,
  ): AsyncGenerator<Item, undefined> {
    let page = await this.range(options);
    for (;;) {
      yield* page.items;
      if (page.nextPageToken === null) return undefined;
      // The token holds the revision of the first page.
      page = await this.range({ ...options, pageToken: page.nextPageToken });
    }
  }

  /** Runs one branch, decided by the compares, as one step that nothing comes between. */
  async transaction(
    transaction: Transaction,
    options: { readonly timeoutMs?: number } = {},
  ): Promise<TransactionResult> {
    const { compares = [], success = [], failure = [] } = transaction;
    const body = { compares, success, failure };
    const changes = hasMutation(success) || hasMutation(failure);
    const request = { body, bytes: transactionBytes(body), timeoutMs: options.timeoutMs };
    const response = changes
      ? await this.#write<TxnResponse>('txn', request)
      : await this.#read<TxnResponse>('txn', { ...request, to: 'leader' });
    return {
      revision: response.revision,
      succeeded: response.succeeded,
      operations: response.operations.map(toOperationResult),
    };
  }

  /** The versions of one key that are still kept, newest first. */
  async history(
    key: Bytes,
    options: { readonly limit?: number; readonly keysOnly?: boolean; readonly timeoutMs?: number } = {},
  ): Promise<{ revision: number; compactedRevision: number; versions: readonly HistoryVersion[] }> {
    const body = { key: toBytes(key), limit: options.limit ?? 0, keysOnly: options.keysOnly ?? false };
    const { timeoutMs } = options;
    const response = await this.#dispatcher.request<HistoryResponse>({
      method: 'history',
      repeat: 'read',
      body,
      timeoutMs,
    });
    const versions = response.versions.flatMap(({ item, deleted, timeMs }) =>
      item ? [{ item: toItem(item), deleted, timeMs }] : [],
    );
    return { revision: response.revision, compactedRevision: response.compactedRevision, versions };
  }

  /** Drops history below `revision`; resolves with the compaction point in force. */
  compact(revision: number, options: { readonly timeoutMs?: number } = {}): Promise<{ revision: number }> {
    const { timeoutMs } = options;
    const request = { method: 'compact', repeat: 'read', body: { revision }, timeoutMs } as const;
    return this.#dispatcher
      .request<CompactResponse>(request)
      .then((response) => ({ revision: response.revision }));
  }

  /** Watches a selection. The watch goes on across disconnects and leader changes until it is closed. */
  watch(options: KeySelector & WatchOptions): Watch {
    if (this.#closed) throw new HoldfastError('CANCELLED', 'the client is closed');
    const watch = new Watch({
      dispatcher: this.#dispatcher,
      range: toRange(options),
      watch: options,
      forget: (ended) => this.#watches.delete(ended),
    });
    this.#watches.add(watch);
    return watch;
  }

  /** Ends everything: what still waits is rejected with CANCELLED, or OUTCOME_UNKNOWN for a write under way. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const watch of this.#watches) watch.close();
    await this.#giveUpClientId();
    this.#dispatcher.close();
  }

  /** The node would drop the id after ten idle minutes anyway; this only frees its place sooner. */
  async #giveUpClientId(): Promise<void> {
    const { clientId } = this.#dispatcher;
    if (clientId === null) return;
    const request = {
      method: 'closeClient',
      repeat: 'once',
      body: { clientId },
      timeoutMs: CLOSE_TIMEOUT_MS,
    } as const;
    await this.#dispatcher.request(request).catch(() => undefined);
  }

  #write<Response extends object>(
    method: string,
    request: { readonly body: object; readonly bytes: number; readonly timeoutMs: number | undefined },
  ): Promise<Response> {
    return this.#dispatcher.request<Response>({ method, inSession: true, repeat: 'write', ...request });
  }

  #read<Response extends object>(
    method: string,
    request: {
      readonly body: object;
      readonly to: string;
      readonly bytes?: number;
      readonly timeoutMs: number | undefined;
    },
  ): Promise<Response> {
    return this.#dispatcher.request<Response>({ method, inSession: true, repeat: 'read', ...request });
  }
}

const CLOSE_TIMEOUT_MS = 500;

function routing(options: ReadOptions): { readonly to: string; readonly timeoutMs: number | undefined } {
  return { to: options.serializable === true ? 'any' : 'leader', timeoutMs: options.timeoutMs };
}

function transactionBytes(transaction: Required<Transaction>): number {
  let bytes = 0;
  for (const compare of transaction.compares) bytes += compare.key.length + compare.value.length;
  for (const operation of [...transaction.success, ...transaction.failure]) {
    if (operation.put) bytes += operation.put.key.length + operation.put.value.length;
  }
  return bytes;
}

function checkEndpoints(endpoints: readonly string[]): void {
  for (const endpoint of endpoints) {
    if (/^(\[[^\]]+\]|[^:[\]\s]+):\d{1,5}$/.test(endpoint)) continue;
    throw new HoldfastError('INVALID_ARGUMENT', `endpoint ${endpoint} is not host:port`, {
      field: 'endpoints',
    });
  }
  if (endpoints.length > 0) return;
  throw new HoldfastError('INVALID_ARGUMENT', 'at least one endpoint is needed', {
    field: 'endpoints',
    hint: 'give host:port of one node',
  });
}
