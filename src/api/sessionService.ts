/**
 * Kv.Session: many requests with ids on one stream. All calls of a frame are started at once; the answers that are
 * ready within one turn of the event loop go out in one frame. Bounds: `sessionInFlightMax` calls (beyond it
 * OVERLOADED), `sessionInFlightBytesMax` bytes of requests (beyond it the stream is not read),
 * `sessionUnsentBytesMax` bytes of answers (beyond it no read is begun), and no frame is read while the caller does
 * not take its answers.
 */
import { type handleBidiStreamingCall, Metadata, type ServerDuplexStream } from '@grpc/grpc-js';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Answer, Call, SessionRequest, SessionResponse } from '../proto/kv.ts';
import type { Principal } from '../proto/storage.ts';
import { AnswerRoom } from './answerRoom.ts';
import type { KvCalls } from './kvCalls.ts';
import { letInStream } from './letIn.ts';
import { answerBytes, callBytes } from './messageBytes.ts';
import type { OpenStreams } from './openStreams.ts';
import type { Caller } from './ports.ts';
import { apiFailure, callerError, grpcStatus } from './status.ts';
import { deadlineExceeded, type HandlerContext } from './unary.ts';

const SWEEP_INTERVAL_MS = 100;
/** For a call that was answered already: nothing need be read for it. Made anew, since a promise keeps who awaits it. */
const never = (): Promise<void> => new Promise(() => undefined);

export function sessionMethod(
  context: HandlerContext,
  parts: { readonly calls: KvCalls; readonly streams: OpenStreams },
): handleBidiStreamingCall<SessionRequest, SessionResponse> {
  return (stream) => {
    const begin = async (): Promise<void> => {
      try {
        const { principal, isGood } = await letInStream(context, stream);
        if (stream.cancelled) return;
        const session = new Session({ context, calls: parts.calls, stream, principal });
        const forget = parts.streams.add(session, isGood);
        stream.on('cancelled', forget);
        stream.on('close', forget);
      } catch (thrown) {
        stream.emit('error', grpcStatus(callerError(thrown), null));
      }
    };
    void begin();
  };
}

interface Waiting {
  readonly deadlineMs: number;
  readonly bytes: number;
}

class Session {
  readonly #context: HandlerContext;
  readonly #calls: KvCalls;
  readonly #stream: ServerDuplexStream<SessionRequest, SessionResponse>;
  readonly #principal: Principal;
  readonly #inFlight = new Map<number, Waiting>();
  readonly #sweep: NodeJS.Timeout;
  readonly #room = new AnswerRoom(LIMITS.sessionUnsentBytesMax);
  #inFlightBytes = 0;
  #answers: Answer[] = [];
  #answersBytes = 0;
  #flushScheduled = false;
  /** The last write returned false: the caller does not take its answers fast enough. */
  #blocked = false;
  /** No further call is taken; the stream ends when those in flight are answered. */
  #ending: 'no' | 'caller' | 'node' = 'no';
  #closed = false;

  constructor(options: {
    readonly context: HandlerContext;
    readonly calls: KvCalls;
    readonly stream: ServerDuplexStream<SessionRequest, SessionResponse>;
    readonly principal: Principal;
  }) {
    this.#context = options.context;
    this.#calls = options.calls;
    this.#stream = options.stream;
    this.#principal = options.principal;
    this.#sweep = setInterval(() => this.#expire(), SWEEP_INTERVAL_MS);
    this.#sweep.unref();
    this.#listen();
    // The caller sends its first frame when it has seen this: what it sent to a stream that never opened was not taken.
    this.#stream.sendMetadata(new Metadata());
  }

  /** The node stops: calls in flight are answered, then the stream ends with UNAVAILABLE. */
  drain(): void {
    if (this.#ending === 'no') this.#ending = 'node';
    this.#maybeEnd();
  }

  #listen(): void {
    this.#stream.on('data', (frame: SessionRequest) => this.#onFrame(frame));
    this.#stream.on('end', () => {
      if (this.#ending === 'no') this.#ending = 'caller';
      this.#maybeEnd();
    });
    this.#stream.on('drain', () => {
      this.#blocked = false;
      this.#maybeResume();
    });
    this.#stream.on('cancelled', () => this.#close());
    this.#stream.on('error', () => this.#close());
  }

  #onFrame(frame: SessionRequest): void {
    for (const call of frame.calls) this.#start(call);
    if (this.#inFlightBytes > LIMITS.sessionInFlightBytesMax) this.#stream.pause();
  }

  #start(call: Call): void {
    if (this.#closed) return;
    const refusal = this.#refusal(call);
    if (refusal !== null) {
      this.#push({ id: call.id, failure: apiFailure(refusal, this.#context.leaderApiAddress()) });
      return;
    }
    if (this.#inFlight.has(call.id)) {
      // An answer to either would be taken for an answer to the other.
      this.#fail(new HoldfastError('INVALID_ARGUMENT', `call id ${call.id} is in flight`, { field: 'id' }));
      return;
    }
    const { principal, deadlineMs } = this.#context.callers.caller(this.#principal, call.timeoutMs);
    const waiting: Waiting = { deadlineMs, bytes: callBytes(call) };
    const room = (bytesMax: number): Promise<void> =>
      this.#isWaiting(call.id, waiting) ? this.#room.ask(waiting, bytesMax) : never();
    this.#inFlight.set(call.id, waiting);
    this.#inFlightBytes += waiting.bytes;
    answerCall(this.#calls, { principal, deadlineMs, room }, call).then(
      (answer) => this.#answer(waiting, answer),
      (thrown: unknown) => this.#answerError(waiting, { id: call.id, error: callerError(thrown) }),
    );
  }

  #refusal(call: Call): HoldfastError | null {
    if (this.#ending === 'node') return new HoldfastError('UNAVAILABLE', 'the node is stopping');
    if (this.#inFlight.size < LIMITS.sessionInFlightMax || this.#inFlight.has(call.id)) return null;
    return new HoldfastError(
      'OVERLOADED',
      `over ${LIMITS.sessionInFlightMax} calls in flight on one session`,
    );
  }

  /** The caller may use an id again once it is answered, and the port may answer after that. */
  #isWaiting(id: number, waiting: Waiting): boolean {
    return this.#inFlight.get(id) === waiting && !this.#closed;
  }

  #answerError(waiting: Waiting, { id, error }: { id: number; error: HoldfastError }): void {
    this.#answer(waiting, { id, failure: apiFailure(error, this.#context.leaderApiAddress()) });
  }

  #answer(waiting: Waiting, answer: Answer): void {
    if (!this.#isWaiting(answer.id, waiting)) return;
    this.#inFlight.delete(answer.id);
    this.#inFlightBytes -= waiting.bytes;
    this.#push(answer);
    this.#room.release(waiting);
  }

  #push(answer: Answer): void {
    const bytes = answerBytes(answer);
    this.#answers.push(answer);
    this.#answersBytes += bytes;
    this.#room.occupy(bytes);
    if (this.#answersBytes >= LIMITS.sessionAnswerFrameBytes) {
      this.#flush();
    } else if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(() => {
        this.#flushScheduled = false;
        this.#flush();
        this.#maybeResume();
        this.#maybeEnd();
      });
    }
  }

  #flush(): void {
    if (this.#closed || this.#answers.length === 0) return;
    const [answers, bytes] = [this.#answers, this.#answersBytes];
    this.#answers = [];
    this.#answersBytes = 0;
    if (this.#stream.write({ answers }, () => this.#room.vacate(bytes))) return;
    this.#blocked = true;
    this.#stream.pause();
  }

  #maybeResume(): void {
    if (this.#closed || this.#blocked || !this.#stream.isPaused()) return;
    if (this.#inFlightBytes <= LIMITS.sessionInFlightBytesMax) this.#stream.resume();
  }

  #maybeEnd(): void {
    if (this.#closed || this.#ending === 'no' || this.#inFlight.size > 0) return;
    this.#flush();
    if (this.#ending === 'node') {
      this.#fail(new HoldfastError('UNAVAILABLE', 'the node is stopping'));
      return;
    }
    this.#close();
    this.#stream.end();
  }

  #expire(): void {
    const nowMs = this.#context.callers.nowMs();
    for (const [id, waiting] of this.#inFlight) {
      if (waiting.deadlineMs <= nowMs) this.#answerError(waiting, { id, error: deadlineExceeded() });
    }
  }

  #fail(error: HoldfastError): void {
    if (this.#closed) return;
    this.#close();
    this.#stream.emit('error', grpcStatus(error, this.#context.leaderApiAddress()));
  }

  #close(): void {
    this.#closed = true;
    clearInterval(this.#sweep);
    this.#inFlight.clear();
    this.#room.close();
    this.#answers = [];
  }
}

async function answerCall(calls: KvCalls, caller: Caller, call: Call): Promise<Answer> {
  const { id } = call;
  if (call.put) return { id, put: await calls.put(caller, call.put) };
  if (call.get) return { id, get: await calls.get(caller, call.get) };
  if (call.delete) return { id, delete: await calls.delete(caller, call.delete) };
  if (call.range) return { id, range: await calls.range(caller, call.range) };
  if (call.txn) return { id, txn: await calls.txn(caller, call.txn) };
  if (call.registerClient) return { id, registerClient: await calls.registerClient(caller) };
  throw new HoldfastError('INVALID_ARGUMENT', 'a call of a session must hold one request', {
    field: 'request',
  });
}
