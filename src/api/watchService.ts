/**
 * Kv.Watch: several watches on one stream, told apart by the caller's own numbers. When the stream is full, every
 * watch on it stops delivering until it drains; the store bounds what waits meanwhile.
 */
import { type handleBidiStreamingCall, Metadata, type ServerDuplexStream } from '@grpc/grpc-js';
import { HoldfastError } from '../base/errors.ts';
import { checkCount, checkRange } from '../command/checkKeys.ts';
import type { WatchCreate, WatchEvent, WatchRequest, WatchResponse } from '../proto/kv.ts';
import type { Principal } from '../proto/storage.ts';
import { letInStream } from './letIn.ts';
import type { OpenStreams } from './openStreams.ts';
import type { KvPort, WatchHandle, WatchSink } from './ports.ts';
import { refuse } from './refuse.ts';
import { apiFailure, callerError, grpcStatus } from './status.ts';
import type { HandlerContext } from './unary.ts';

type WatchStream = ServerDuplexStream<WatchRequest, WatchResponse>;

export function watchMethod(
  context: HandlerContext,
  parts: { readonly port: KvPort; readonly streams: OpenStreams },
): handleBidiStreamingCall<WatchRequest, WatchResponse> {
  return (stream) => {
    const begin = async (): Promise<void> => {
      try {
        const { principal, isGood } = await letInStream(context, stream);
        if (stream.cancelled) return;
        const watches = new Watches({ context, port: parts.port, stream, principal });
        const forget = parts.streams.add(watches, isGood);
        stream.on('cancelled', forget);
        stream.on('close', forget);
      } catch (thrown) {
        stream.emit('error', grpcStatus(callerError(thrown), null));
      }
    };
    void begin();
  };
}

/** `handle` is null while the watch still begins: what it delivers then waits for `created` to go first. */
interface OpenWatch {
  handle: WatchHandle | null;
  readonly early: WatchResponse[];
  lastRevision: number;
  /** The caller has cancelled it, or is gone: perhaps before it has begun. */
  isUnwanted: boolean;
}

class Watches {
  readonly #context: HandlerContext;
  readonly #port: KvPort;
  readonly #stream: WatchStream;
  readonly #principal: Principal;
  readonly #open = new Map<number, OpenWatch>();
  #blocked = false;
  #closed = false;

  constructor(options: {
    readonly context: HandlerContext;
    readonly port: KvPort;
    readonly stream: WatchStream;
    readonly principal: Principal;
  }) {
    this.#context = options.context;
    this.#port = options.port;
    this.#stream = options.stream;
    this.#principal = options.principal;
    this.#listen();
    this.#stream.sendMetadata(new Metadata());
  }

  /** The node stops: every watch is over, with the revision to resume from on another node. */
  drain(): void {
    const stopping = new HoldfastError('UNAVAILABLE', 'the node is stopping');
    for (const [watchId, watch] of this.#open) {
      watch.handle?.close();
      this.#write(this.#cancelledResponse(watchId, stopping, watch.lastRevision + 1));
    }
    this.#fail(stopping);
  }

  #listen(): void {
    this.#stream.on('data', (request: WatchRequest) => this.#onRequest(request));
    this.#stream.on('end', () => {
      this.#close();
      this.#stream.end();
    });
    this.#stream.on('drain', () => this.#onDrain());
    this.#stream.on('cancelled', () => this.#close());
    this.#stream.on('error', () => this.#close());
  }

  #onRequest(request: WatchRequest): void {
    if (this.#closed) return;
    if (request.create) this.#create(request.create);
    else if (request.cancel) this.#cancel(request.cancel.watchId);
    else this.#fail(new HoldfastError('INVALID_ARGUMENT', 'create or cancel must be set', { field: 'kind' }));
  }

  #create(create: WatchCreate): void {
    const { watchId } = create;
    if (this.#open.has(watchId)) {
      this.#fail(
        new HoldfastError('INVALID_ARGUMENT', `watch ${watchId} is open on this stream`, {
          field: 'watch_id',
        }),
      );
      return;
    }
    const watch: OpenWatch = { handle: null, early: [], lastRevision: 0, isUnwanted: false };
    this.#open.set(watchId, watch);
    void this.#start(create, watch);
  }

  async #start(create: WatchCreate, watch: OpenWatch): Promise<void> {
    const { watchId } = create;
    try {
      refuse(checkRange(create.range) ?? checkCount(create.startRevision, 'start_revision'));
      const caller = this.#context.callers.caller(this.#principal, 0);
      const handle = await this.#port.watch(caller, create, this.#sink(watchId, watch));
      this.#begin(watchId, { watch, handle });
    } catch (thrown) {
      if (watch.isUnwanted) return;
      this.#open.delete(watchId);
      this.#write(this.#cancelledResponse(watchId, callerError(thrown), 0));
    }
  }

  #begin(watchId: number, begun: { readonly watch: OpenWatch; readonly handle: WatchHandle }): void {
    const { watch, handle } = begun;
    if (watch.isUnwanted) {
      handle.close();
      return;
    }
    watch.lastRevision = Math.max(watch.lastRevision, handle.startedAfterRevision);
    watch.handle = handle;
    this.#write({ ...EMPTY, watchId, created: true, revision: handle.startedAfterRevision });
    const hadEarly = watch.early.length > 0;
    for (const response of watch.early) this.#write(response);
    watch.early.length = 0;
    if (hadEarly && !this.#blocked) handle.resume();
  }

  #sink(watchId: number, watch: OpenWatch): WatchSink {
    return {
      // Else each of many watches on a stream would put one delivery more into it.
      isFull: () => this.#blocked,
      deliver: (batch) => this.#deliver({ watchId, watch, ...batch }),
      cancelled: (error, resumeRevision) => {
        if (this.#open.get(watchId) === watch) this.#open.delete(watchId);
        this.#send(watch, this.#cancelledResponse(watchId, error, resumeRevision));
      },
    };
  }

  #deliver(delivery: {
    readonly watchId: number;
    readonly watch: OpenWatch;
    readonly revision: number;
    readonly events: readonly WatchEvent[];
  }): boolean {
    const { watchId, watch, revision, events } = delivery;
    watch.lastRevision = revision;
    return this.#send(watch, { ...EMPTY, watchId, revision, events });
  }

  #send(watch: OpenWatch, response: WatchResponse): boolean {
    if (watch.handle !== null) return this.#write(response);
    watch.early.push(response);
    return false;
  }

  #cancel(watchId: number): void {
    const watch = this.#open.get(watchId);
    if (watch === undefined) return;
    this.#open.delete(watchId);
    watch.isUnwanted = true;
    watch.handle?.close();
    const cancelled = new HoldfastError('CANCELLED', 'the caller cancelled the watch');
    this.#write(this.#cancelledResponse(watchId, cancelled, watch.lastRevision + 1));
  }

  #cancelledResponse(watchId: number, error: HoldfastError, resumeRevision: number): WatchResponse {
    const cancelled = apiFailure(error, this.#context.leaderApiAddress());
    return { ...EMPTY, watchId, cancelled, resumeRevision };
  }

  #write(response: WatchResponse): boolean {
    if (this.#closed) return false;
    if (this.#stream.write(response)) return !this.#blocked;
    this.#blocked = true;
    // A caller that asks and never reads must not grow our memory with answers.
    this.#stream.pause();
    return false;
  }

  #onDrain(): void {
    if (this.#closed) return;
    this.#blocked = false;
    this.#stream.resume();
    for (const watch of this.#open.values()) {
      if (this.#blocked) return;
      watch.handle?.resume();
    }
  }

  #fail(error: HoldfastError): void {
    if (this.#closed) return;
    this.#close();
    this.#stream.emit('error', grpcStatus(error, this.#context.leaderApiAddress()));
  }

  #close(): void {
    this.#closed = true;
    for (const watch of this.#open.values()) {
      watch.isUnwanted = true;
      watch.handle?.close();
    }
    this.#open.clear();
  }
}

const EMPTY = { revision: 0, created: false, events: [], resumeRevision: 0 } as const;
