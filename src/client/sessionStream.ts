/** One Kv.Session stream: calls made in one turn of the event loop go out in one frame. */
import { type Client, type ClientDuplexStream, type StatusObject, status } from '@grpc/grpc-js';
import { present } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { LIMITS } from '../base/limits.ts';
import { type Call, kvService, type SessionRequest, type SessionResponse } from '../proto/kv.ts';
import { type AttemptFailure, failureOfAnswer, failureOfStatus } from './failure.ts';
import { answerResponse, type Outgoing, sessionCall } from './outgoing.ts';

const CALL_OVERHEAD_BYTES = 64;

/** Where the outcome of an attempt goes. */
export interface AttemptEvents {
  succeeded(outgoing: Outgoing, response: object): void;
  failed(outgoing: Outgoing, failure: AttemptFailure): void;
  /** This node has no Session method; what was not sent has to go as unary calls. */
  sessionUnsupported(unsent: readonly Outgoing[]): void;
}

interface Queued {
  readonly outgoing: Outgoing;
  readonly attemptId: number;
}

const SESSION = present(kvService['session'], 'Kv.Session');

export class SessionStream {
  readonly #stream: ClientDuplexStream<SessionRequest, SessionResponse>;
  readonly #events: AttemptEvents;
  readonly #endpoint: string;
  readonly #clock: Clock;
  readonly #inFlight = new Map<number, Outgoing>();
  #queue: Queued[] = [];
  #queueHead = 0;
  /** The node has taken the stream: what is sent before that is known never to have arrived. */
  #open = false;
  #closed = false;
  #blocked = false;
  #flushScheduled = false;

  constructor(options: {
    readonly client: Client;
    readonly endpoint: string;
    readonly events: AttemptEvents;
    readonly clock: Clock;
  }) {
    this.#events = options.events;
    this.#endpoint = options.endpoint;
    this.#clock = options.clock;
    this.#stream = options.client.makeBidiStreamRequest<SessionRequest, SessionResponse>(
      SESSION.path,
      SESSION.requestSerialize as (value: SessionRequest) => Buffer,
      SESSION.responseDeserialize as (bytes: Buffer) => SessionResponse,
    );
    this.#listen();
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(outgoing: Outgoing): void {
    this.#queue.push({ outgoing, attemptId: outgoing.attemptId });
    this.#schedule();
  }

  /** Nobody waits for this attempt any more. */
  abandon(outgoing: Outgoing): void {
    this.#inFlight.delete(outgoing.attemptId);
  }

  close(): void {
    this.#closed = true;
    this.#stream.cancel();
  }

  #listen(): void {
    this.#stream.on('metadata', () => {
      this.#open = true;
      this.#schedule();
    });
    this.#stream.on('data', (frame: SessionResponse) => this.#onFrame(frame));
    this.#stream.on('drain', () => {
      this.#blocked = false;
      this.#flush();
    });
    // A status follows every error; it is the one event that says that the stream is over.
    this.#stream.on('error', () => undefined);
    this.#stream.on('status', (over: StatusObject) => this.#onStatus(over));
  }

  #schedule(): void {
    if (this.#flushScheduled || !this.#open) return;
    this.#flushScheduled = true;
    setImmediate(() => {
      this.#flushScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (!this.#closed && this.#open && !this.#blocked && this.#queueHead < this.#queue.length) {
      const calls = this.#nextFrame();
      if (calls.length === 0) return;
      if (!this.#stream.write({ calls })) this.#blocked = true;
    }
  }

  #nextFrame(): Call[] {
    const nowMs = this.#clock.monotonicMs();
    const calls: Call[] = [];
    let bytes = 0;
    while (this.#queueHead < this.#queue.length && this.#inFlight.size < LIMITS.sessionInFlightMax) {
      const { outgoing, attemptId } = this.#queue[this.#queueHead] as Queued;
      if (outgoing.attemptId === attemptId && outgoing.state === 'attempt') {
        if (calls.length > 0 && bytes + outgoing.bytes > LIMITS.sessionCallFrameBytes) break;
        bytes += outgoing.bytes + CALL_OVERHEAD_BYTES;
        outgoing.sent = true;
        this.#inFlight.set(attemptId, outgoing);
        calls.push(sessionCall(outgoing, Math.max(1, Math.ceil(outgoing.deadlineMs - nowMs))));
      }
      this.#queueHead += 1;
    }
    if (this.#queueHead === this.#queue.length) {
      this.#queue = [];
      this.#queueHead = 0;
    }
    return calls;
  }

  #onFrame(frame: SessionResponse): void {
    for (const answer of frame.answers) {
      const outgoing = this.#inFlight.get(answer.id);
      if (outgoing === undefined) continue;
      this.#inFlight.delete(answer.id);
      if (outgoing.attemptId !== answer.id) continue;
      const response = answerResponse(answer);
      if (response !== undefined) this.#events.succeeded(outgoing, response);
      else this.#events.failed(outgoing, failureOfAnswer(answer.failure ?? MALFORMED));
    }
    if (this.#queueHead < this.#queue.length) this.#schedule();
  }

  #onStatus(over: StatusObject): void {
    this.#closed = true;
    const unsent = this.#queue
      .slice(this.#queueHead)
      .filter(({ outgoing, attemptId }) => outgoing.attemptId === attemptId && outgoing.state === 'attempt')
      .map(({ outgoing }) => outgoing);
    const inFlight = [...this.#inFlight.values()];
    this.#queue = [];
    this.#queueHead = 0;
    this.#inFlight.clear();
    if (over.code === status.UNIMPLEMENTED && !this.#open) {
      this.#events.sessionUnsupported(unsent);
      return;
    }
    const failure = failureOfStatus(over, this.#endpoint);
    // The end of a stream says nothing of the calls on it, whatever its code.
    const lost = { ...failure, answered: failure.answered && !this.#open };
    for (const outgoing of inFlight) this.#events.failed(outgoing, lost);
    for (const outgoing of unsent) this.#events.failed(outgoing, failure);
  }
}

const MALFORMED = {
  code: 'INTERNAL',
  message: 'an answer holds no response',
  field: '',
  hint: '',
  leader: '',
} as const;
