import type { Client, ClientDuplexStream } from '@grpc/grpc-js';
import { present } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { toHoldfastError } from '../../base/errors.ts';
import type { NodeId } from '../../base/ids.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Logger } from '../../base/logger.ts';
import type { RandomSource } from '../../base/random.ts';
import { type Announcement, type Forward, type PeerFrame, peerService } from '../../proto/peer.ts';
import type { MethodDefinition } from '../../proto/registry.ts';
import type { Message } from '../raft/types.ts';
import type { Dialled, PeerDialer } from './peerDialing.ts';
import { PeerQueue } from './peerQueue.ts';

export interface PeerChannelOptions {
  readonly peerId: NodeId;
  readonly lane: 'control' | 'bulk';
  /** host:port, asked at each dial; null: not known now. */
  readonly address: () => string | null;
  /** Where this node listens, for the frames; may be empty. */
  readonly ownAddress: string;
  readonly dialer: PeerDialer;
  readonly clock: Clock;
  readonly random: RandomSource;
  readonly logger: Logger;
}

type FrameStream = ClientDuplexStream<PeerFrame, object>;

interface Connection {
  readonly address: string;
  readonly dialled: Dialled;
  /** Null until both ends have proved themselves. */
  stream: FrameStream | null;
  readonly dialedMs: number;
  /** The peer's handler has answered: frames may go. */
  open: boolean;
}

/**
 * One long-lived stream of frames to one peer, dialled again for as long as the channel lives. Each try is a new
 * client: grpc-js keeps a channel CONNECTING for a minute when a peer takes the TCP connection and says nothing (F7),
 * so whoever has not answered within `peerConnectTimeoutMs` is given up.
 */
export class PeerChannel {
  readonly #options: PeerChannelOptions;
  readonly #queue = new PeerQueue();
  #connection: Connection | null = null;
  #connectTimer: NodeJS.Timeout | null = null;
  #redialTimer: NodeJS.Timeout | null = null;
  #failures = 0;
  #unflushedBytes = 0;
  #mustDrain = false;
  #closed = false;

  constructor(options: PeerChannelOptions) {
    this.#options = options;
    this.#dial();
  }

  get connected(): boolean {
    return this.#connection?.open === true;
  }

  get queue(): { readonly length: number; readonly bytes: number; readonly dropped: number } {
    return this.#queue;
  }

  /**
   * Queues without sending; `flush` sends. Entries for a peer that is not there are not kept: the leader finds out at
   * the first heartbeat that is answered, and what it would send then is newer.
   */
  push(message: Message): void {
    if (this.#options.lane === 'bulk' && !this.connected) return;
    this.#queue.push(message);
  }

  /** False: the queue is full. */
  pushForward(forward: Forward): boolean {
    return this.#queue.pushForward(forward);
  }

  /**
   * Writes frames while the stream takes them. What waits here is bounded by the queue, what grpc-js holds by the
   * window: it would buffer without end (400 MiB measured), and `write()` counts objects, not bytes.
   */
  flush(): void {
    const connection = this.#connection;
    if (connection === null || !connection.open) return;
    while (!this.#mustDrain && this.#unflushedBytes < LIMITS.peerWindowBytes) {
      const before = this.#queue.bytes;
      const frame = this.#queue.takeFrame(this.#options.clock.wallMs(), this.#options.ownAddress);
      if (frame === null) return;
      this.#write(connection, frame, before - this.#queue.bytes);
    }
  }

  /** The peer may have moved: a connection to another address than the present one is given up. */
  addressChanged(): void {
    const connection = this.#connection;
    if (connection === null || connection.address === this.#options.address()) return;
    this.#drop(connection, 'the address has changed');
  }

  /**
   * The peer has just opened a stream to this node: it is there, and the way to it too. Whatever waits for a later try,
   * or for the answer of an address that was silent, is tried again now. What fails then waits as long as it would have.
   */
  peerAppeared(): void {
    const connection = this.#connection;
    if (connection !== null) {
      const triedMs = this.#options.clock.monotonicMs() - connection.dialedMs;
      if (connection.open || triedMs < LIMITS.peerReconnectMsMax) return;
      this.#drop(connection, 'the peer has come back');
    }
    if (this.#redialTimer === null) return;
    clearTimeout(this.#redialTimer);
    this.#dial();
  }

  close(): void {
    this.#closed = true;
    if (this.#redialTimer !== null) clearTimeout(this.#redialTimer);
    this.#redialTimer = null;
    if (this.#connection !== null) this.#drop(this.#connection, 'closing');
    this.#queue.clear();
  }

  #write(connection: Connection, frame: PeerFrame, bytes: number): void {
    this.#unflushedBytes += bytes;
    const stream = present(connection.stream, 'stream of an open connection');
    const taken = stream.write(frame, () => {
      if (this.#connection !== connection) return;
      const wasFull = this.#unflushedBytes >= LIMITS.peerWindowBytes;
      this.#unflushedBytes -= bytes;
      if (wasFull) this.flush();
    });
    if (!taken) this.#mustDrain = true;
  }

  /** In a frame of its own, when there is room for one. */
  announce(announcement: Announcement): void {
    const connection = this.#connection;
    if (connection === null || !connection.open || this.#mustDrain) return;
    const { clock, ownAddress: address } = this.#options;
    this.#write(connection, { messages: [], wallMs: clock.wallMs(), forwards: [], address, announcement }, 0);
  }

  /** The peer gives a stream up that says nothing; and it may not know yet where this node listens. */
  #greet(connection: Connection): void {
    const { clock, ownAddress } = this.#options;
    this.#write(connection, { messages: [], wallMs: clock.wallMs(), forwards: [], address: ownAddress }, 0);
  }

  #dial(): void {
    this.#redialTimer = null;
    const { peerId, dialer, clock } = this.#options;
    const address = this.#options.address();
    if (address === null) {
      this.#redialLater();
      return;
    }
    let dialled: Dialled;
    try {
      dialled = dialer.dial(peerId, address);
    } catch (thrown) {
      // Called by a timer, or while a frame is delivered: what is wrong with one peer must not end the node.
      const { message } = toHoldfastError(thrown);
      this.#options.logger.debug({ ...this.#fields(), reason: message }, 'peer cannot be dialled');
      this.#redialLater();
      return;
    }
    const dialedMs = clock.monotonicMs();
    const connection: Connection = { address, dialled, stream: null, dialedMs, open: false };
    this.#connection = connection;
    const { over } = dialled;
    over.addEventListener('abort', () => this.#drop(connection, toHoldfastError(over.reason).message));
    void this.#open(connection);
    this.#connectTimer = setTimeout(
      () => this.#drop(connection, 'no answer in time'),
      LIMITS.peerConnectTimeoutMs,
    );
  }

  /** Never rejects. */
  async #open(connection: Connection): Promise<void> {
    try {
      await connection.dialled.prove();
      if (this.#connection !== connection) return;
      connection.stream = openStream(connection.dialled.client, this.#options.lane);
      this.#listen(connection, connection.stream);
    } catch (thrown) {
      this.#drop(connection, toHoldfastError(thrown).message);
    }
  }

  #listen(connection: Connection, stream: FrameStream): void {
    stream.on('metadata', () => {
      if (this.#connection !== connection) return;
      this.#clearConnectTimer();
      connection.open = true;
      this.#failures = 0;
      this.#options.logger.debug(this.#fields(), 'peer channel open');
      this.#greet(connection);
      this.flush();
    });
    stream.on('drain', () => {
      if (this.#connection !== connection) return;
      this.#mustDrain = false;
      this.flush();
    });
    // Acks are empty; reading them lets the end of the stream be seen.
    stream.on('data', () => undefined);
    stream.on('error', (error) => this.#drop(connection, error.message));
    stream.on('end', () => this.#drop(connection, 'the peer ended the stream'));
  }

  #drop(connection: Connection, reason: string): void {
    if (this.#connection !== connection) return;
    this.#connection = null;
    this.#clearConnectTimer();
    this.#mustDrain = false;
    this.#unflushedBytes = 0;
    this.#queue.clear();
    connection.stream?.cancel();
    connection.dialled.close();
    this.#options.logger.debug({ ...this.#fields(), reason }, 'peer channel lost');
    this.#redialLater();
  }

  #redialLater(): void {
    if (this.#closed) return;
    const { random } = this.#options;
    const ceiling = Math.min(
      LIMITS.peerReconnectMsMax,
      LIMITS.peerReconnectMsMin * 2 ** Math.min(this.#failures, 10),
    );
    this.#failures += 1;
    const delayMs = random.integer({ min: Math.ceil(ceiling / 2), max: ceiling + 1 });
    this.#redialTimer = setTimeout(() => this.#dial(), delayMs);
  }

  #clearConnectTimer(): void {
    if (this.#connectTimer !== null) clearTimeout(this.#connectTimer);
    this.#connectTimer = null;
  }

  #fields(): object {
    return { peerId: this.#options.peerId, lane: this.#options.lane };
  }
}

function openStream(client: Client, lane: 'control' | 'bulk'): FrameStream {
  const method = present(peerService[lane], 'peer method') as MethodDefinition<PeerFrame, object>;
  return client.makeBidiStreamRequest(method.path, method.requestSerialize, method.responseDeserialize);
}
