import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { polled, type Scheduler } from '../../base/scheduler.ts';
import type { SyslogDestination } from './destination.ts';
import type { Sink, SinkBatch } from './sink.ts';
import { syslogFrame } from './syslogMessage.ts';

export interface SyslogSinkOptions {
  readonly destination: SyslogDestination;
  /** The node's name: who says it. */
  readonly host: string;
  readonly scheduler: Scheduler;
}

/**
 * Sends records over TCP or TLS. Syslog has no acknowledgement: a batch counts as delivered when this machine's kernel has taken all
 * of it and the connection still stands.
 */
export class SyslogSink implements Sink {
  readonly #options: SyslogSinkOptions;
  #connection: Connection | null = null;
  #closed = false;

  constructor(options: SyslogSinkOptions) {
    this.#options = options;
  }

  reached(): Promise<null> {
    return Promise.resolve(null);
  }

  async deliver({ records, lines }: SinkBatch): Promise<void> {
    const { host, scheduler, destination } = this.#options;
    if (this.#closed) throw unreachable('is closed');
    if (this.#connection?.failure !== null) this.#connection = new Connection(destination);
    const connection = this.#connection;
    const frames = records.map((record, at) => syslogFrame(record, { line: lines[at] ?? '', host }));
    const timer = scheduler.after(LIMITS.auditSinkTimeoutMs, () =>
      connection.fail(unreachable(`took nothing within ${LIMITS.auditSinkTimeoutMs / 1_000} s`)),
    );
    try {
      await connection.write(Buffer.concat(frames));
      // What the other side has said meanwhile, a close or a reset, has then been read.
      await polled(scheduler);
      if (connection.failure !== null) throw connection.failure;
    } finally {
      timer.stop();
    }
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#connection?.fail(unreachable('was given up: this node stops'));
    return Promise.resolve();
  }
}

class Connection {
  readonly #socket: Socket;
  #failure: HoldfastError | null = null;
  #giveUp: ((error: HoldfastError) => void) | null = null;

  constructor({ host, port, tls }: SyslogDestination) {
    const name = isIP(host) === 0 ? { servername: host } : {};
    this.#socket = tls ? connectTls({ host, port, ...name }) : connectTcp({ host, port });
    this.#socket.on('error', (error) =>
      this.fail(unreachable(`cannot be reached (${systemErrorCode(error) ?? 'unknown'})`, error)),
    );
    const closed = (): void => this.fail(unreachable('has closed the connection'));
    this.#socket.on('end', closed).on('close', closed);
    // Nothing is expected; unless it is read, the end of the connection is not seen.
    this.#socket.resume();
  }

  /** Why it is of no use any more; null: it stands, or is being made. */
  get failure(): HoldfastError | null {
    return this.#failure;
  }

  fail(error: HoldfastError): void {
    if (this.#failure !== null) return;
    this.#failure = error;
    this.#socket.destroy();
    this.#giveUp?.(error);
  }

  /** Resolves when the kernel has taken all of it. */
  async write(bytes: Buffer): Promise<void> {
    const given = new Promise<void>((resolve, reject) => {
      this.#giveUp = reject;
      // An error comes as an event too, with what it is.
      this.#socket.write(bytes, (error) => (error ? undefined : resolve()));
    });
    await given;
    this.#giveUp = null;
  }
}

function unreachable(what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `the syslog server ${what}`, {
    hint: 'check that it runs and can be reached from this node; nothing is lost meanwhile',
    ...(cause === undefined ? {} : { cause }),
  });
}
