/** A watch that outlives its streams: it goes on after the last revision it has told, on whatever node is there. */
import type { ClientDuplexStream, StatusObject } from '@grpc/grpc-js';
import { present } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { EVENT_TYPE, kvService, type WatchRequest, type WatchResponse } from '../proto/kv.ts';
import type { KeyRange } from '../proto/storage.ts';
import type { Dispatcher } from './dispatcher.ts';
import { type AttemptFailure, failureOfAnswer, failureOfStatus, isTransient } from './failure.ts';
import { type Item, toItem, toItemOrNull } from './keys.ts';

/** Of a deletion, `item` names the key; its value is empty. `withheld`: so are both values, which only `get` tells. */
export interface WatchEvent {
  readonly type: 'put' | 'delete';
  readonly item: Item;
  readonly previous: Item | null;
  readonly withheld: boolean;
}

/** One or more whole revisions, in order. */
export interface WatchBatch {
  /** Everything up to here has been told. */
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

export interface WatchOptions {
  /** The first revision to tell; absent: what happens from now on. */
  readonly startRevision?: number;
  /** With each event also what was there before. */
  readonly previous?: boolean;
  /** Also batches without events, from time to time, with the revision reached. */
  readonly progress?: boolean;
}

/** The application's batches waiting here; beyond it the stream is not read, and the node keeps or cancels. */
const BATCHES_WAITING_MAX = 64;
const WATCH_ID = 1;
const METHOD = present(kvService['watch'], 'Kv.Watch');

type Stream = ClientDuplexStream<WatchRequest, WatchResponse>;
type Waiter = {
  resolve(result: IteratorResult<WatchBatch, undefined>): void;
  reject(error: HoldfastError): void;
};

/**
 * Iterate to receive; leave the loop or `close()` to end. Throws COMPACTED when what comes next is no longer kept, and
 * whatever else cannot be mended by trying again.
 */
export class Watch implements AsyncIterableIterator<WatchBatch, undefined> {
  readonly #dispatcher: Dispatcher;
  readonly #range: KeyRange;
  readonly #options: WatchOptions;
  readonly #forget: (watch: Watch) => void;
  readonly #batches: WatchBatch[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #readyWaiters: { resolve(revision: number): void; reject(error: HoldfastError): void }[] = [];
  /** The revision to begin from; 0 until the first stream has said where it began. */
  #nextRevision: number;
  #started = false;
  #stream: Stream | null = null;
  #retryTimer: NodeJS.Timeout | null = null;
  #attempts = 0;
  #ended: 'no' | 'closed' | HoldfastError = 'no';

  constructor(options: {
    readonly dispatcher: Dispatcher;
    readonly range: KeyRange;
    readonly watch: WatchOptions;
    readonly forget: (watch: Watch) => void;
  }) {
    this.#dispatcher = options.dispatcher;
    this.#range = options.range;
    this.#options = options.watch;
    this.#forget = options.forget;
    this.#nextRevision = options.watch.startRevision ?? 0;
    this.#open();
  }

  /** The revision after which events are told, once a node has taken the watch. */
  ready(): Promise<number> {
    return new Promise((resolve, reject) => {
      if (this.#started) resolve(this.#nextRevision - 1);
      else if (this.#ended === 'no') this.#readyWaiters.push({ resolve, reject });
      else reject(this.#ended === 'closed' ? closedError() : this.#ended);
    });
  }

  next(): Promise<IteratorResult<WatchBatch, undefined>> {
    return new Promise((resolve, reject) => {
      const batch = this.#batches.shift();
      if (batch !== undefined) {
        resolve({ done: false, value: batch });
        if (this.#batches.length < BATCHES_WAITING_MAX) this.#stream?.resume();
      } else if (this.#ended === 'no') this.#waiters.push({ resolve, reject });
      else if (this.#ended === 'closed') resolve({ done: true, value: undefined });
      else {
        reject(this.#ended);
        this.#ended = 'closed';
      }
    });
  }

  return(): Promise<IteratorResult<WatchBatch, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Ends the watch; what waits to be read is dropped. */
  close(): void {
    this.#batches.length = 0;
    this.#end('closed');
  }

  #open(): void {
    const address = this.#dispatcher.route.pick('any');
    const { client } = this.#dispatcher.connection(address);
    const stream: Stream = client.makeBidiStreamRequest(
      METHOD.path,
      METHOD.requestSerialize as (value: WatchRequest) => Buffer,
      METHOD.responseDeserialize as (bytes: Buffer) => WatchResponse,
    );
    this.#stream = stream;
    stream.on('data', (response: WatchResponse) => {
      if (this.#stream === stream) this.#onResponse(response, address);
    });
    stream.on('error', () => undefined);
    stream.on('status', (over: StatusObject) => {
      if (this.#stream === stream) this.#onFailure(failureOfStatus(over, address), address);
    });
    const { previous = false, progress = false } = this.#options;
    const create = {
      watchId: WATCH_ID,
      range: this.#range,
      startRevision: this.#nextRevision,
      previous,
      progress,
    };
    stream.write({ create });
  }

  #onResponse(response: WatchResponse, address: string): void {
    if (response.cancelled) {
      if (response.resumeRevision > 0 && response.cancelled.code !== 'COMPACTED') {
        this.#nextRevision = Math.max(this.#nextRevision, response.resumeRevision);
      }
      this.#onFailure(failureOfAnswer(response.cancelled), address);
      return;
    }
    this.#attempts = 0;
    this.#dispatcher.route.noteSuccess(address);
    if (response.created) this.#onCreated(response.revision);
    else this.#onBatch(response);
  }

  #onCreated(startedAfterRevision: number): void {
    if (this.#nextRevision === 0) this.#nextRevision = startedAfterRevision + 1;
    this.#started = true;
    for (const waiter of this.#readyWaiters.splice(0)) waiter.resolve(this.#nextRevision - 1);
  }

  #onBatch(response: WatchResponse): void {
    if (response.revision < this.#nextRevision) return;
    this.#nextRevision = response.revision + 1;
    if (response.events.length === 0 && this.#options.progress !== true) return;
    const batch = { revision: response.revision, events: response.events.map(toEvent) };
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#batches.push(batch);
    else waiter.resolve({ done: false, value: batch });
    if (this.#batches.length >= BATCHES_WAITING_MAX) this.#stream?.pause();
  }

  #onFailure(failure: AttemptFailure, address: string): void {
    this.#dropStream();
    this.#dispatcher.route.noteFailure(address, failure);
    // A node that is behind does not know the revision yet that another has told us.
    const behind = failure.error.code === 'FUTURE_REVISION' && this.#started;
    if (!isTransient(failure.error) && !behind) {
      this.#end(failure.error);
      return;
    }
    this.#attempts += 1;
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = null;
      this.#open();
    }, this.#dispatcher.pauseMs(this.#attempts));
  }

  #end(how: 'closed' | HoldfastError): void {
    this.#dropStream();
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    if (this.#ended !== 'no') return;
    this.#ended = how;
    this.#forget(this);
    const error = how === 'closed' ? closedError() : how;
    for (const waiter of this.#readyWaiters.splice(0)) waiter.reject(error);
    const waiters = this.#waiters.splice(0);
    if (how !== 'closed' && waiters.length > 0) {
      waiters.shift()?.reject(how);
      this.#ended = 'closed';
    }
    for (const waiter of waiters) waiter.resolve({ done: true, value: undefined });
  }

  #dropStream(): void {
    const stream = this.#stream;
    this.#stream = null;
    stream?.cancel();
  }
}

function toEvent(event: WatchResponse['events'][number]): WatchEvent {
  return {
    type: event.type === EVENT_TYPE.DELETE ? 'delete' : 'put',
    item: toItem(present(event.item, 'item of a watch event')),
    previous: toItemOrNull(event.previous),
    withheld: event.withheld ?? false,
  };
}

function closedError(): HoldfastError {
  return new HoldfastError('CANCELLED', 'the watch was closed');
}
