import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Clock } from '../../base/clock.ts';
import { HoldfastError, systemErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import type { Scheduler } from '../../base/scheduler.ts';
import { webhookSignature } from '../webhookSignature.ts';
import type { HttpDestination } from './destination.ts';
import type { Sink, SinkBatch } from './sink.ts';

export interface HttpSinkOptions {
  readonly destination: HttpDestination;
  readonly clusterId: string;
  readonly nodeId: string;
  /** Signs what is sent; null: nothing is signed. */
  readonly key: Uint8Array | null;
  readonly clock: Clock;
  readonly scheduler: Scheduler;
}

/** Posts records as JSON lines; a batch is delivered when the answer is 2xx. Redirects are not followed. */
export class HttpSink implements Sink {
  readonly #options: HttpSinkOptions;
  #request: ClientRequest | null = null;
  #closed = false;

  constructor(options: HttpSinkOptions) {
    this.#options = options;
  }

  reached(): Promise<null> {
    return Promise.resolve(null);
  }

  async deliver(batch: SinkBatch): Promise<void> {
    if (this.#closed) throw refused('is closed');
    const body = Buffer.from(`${batch.lines.join('\n')}\n`, 'utf8');
    const status = await this.#post(body, this.#headers(batch, body));
    if (status >= 200 && status < 300) return;
    throw refused(
      status >= 300 && status < 400
        ? `answered ${status}, and redirects are not followed`
        : `answered ${status}`,
    );
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#request?.destroy();
    return Promise.resolve();
  }

  #headers({ records }: SinkBatch, body: Buffer): Record<string, string | number> {
    const { clusterId, nodeId, key, clock } = this.#options;
    return {
      'Content-Type': 'application/x-ndjson',
      'Content-Length': body.length,
      'Holdfast-Cluster': clusterId,
      'Holdfast-Node': nodeId,
      'Holdfast-First-Sequence': records[0]?.sequence ?? 0,
      'Holdfast-Last-Sequence': records.at(-1)?.sequence ?? 0,
      ...(key === null
        ? {}
        : { 'Holdfast-Signature': webhookSignature({ key, timeMs: clock.wallMs(), body }) }),
    };
  }

  /** The status, once the answer has ended. */
  #post(body: Buffer, headers: Record<string, string | number>): Promise<number> {
    const { destination, scheduler } = this.#options;
    const send = destination.url.startsWith('https:') ? requestHttps : requestHttp;
    return new Promise((resolve, reject) => {
      // A connection of its own: one that was kept may be closed by the other side just when it is used again.
      const request = send(destination.url, { method: 'POST', agent: false, headers });
      this.#request = request;
      let [isLate, hasAnswered] = [false, false];
      const timer = scheduler.after(LIMITS.auditSinkTimeoutMs, () => {
        isLate = true;
        request.destroy();
      });
      const fail = (what: string, cause?: Error): void => {
        reject(
          refused(isLate ? `did not answer within ${LIMITS.auditSinkTimeoutMs / 1_000} s` : what, cause),
        );
      };
      request.on('error', (error) =>
        fail(`cannot be reached (${systemErrorCode(error) ?? 'unknown'})`, error),
      );
      request.on('response', (response) => {
        hasAnswered = true;
        readToEnd(response, () => resolve(response.statusCode ?? 0));
        response.on('error', (error) => fail('closed the connection before its answer was whole', error));
        // After its end this changes nothing any more.
        response.on('close', () => fail('closed the connection before its answer was whole'));
      });
      request.on('close', () => {
        timer.stop();
        this.#request = null;
        // Of an answer that has begun the end may still have to be read.
        if (!hasAnswered) fail('closed the connection before it answered');
      });
      request.end(body);
    });
  }
}

/** Nothing of an answer but its status is looked at, so that a long one is not read to its end. */
function readToEnd(response: IncomingMessage, onEnd: () => void): void {
  let bytes = 0;
  response.on('end', onEnd);
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes <= LIMITS.auditSinkAnswerBytesMax) return;
    onEnd();
    response.destroy();
  });
}

function refused(what: string, cause?: Error): HoldfastError {
  return new HoldfastError('UNAVAILABLE', `the endpoint ${what}`, {
    hint: 'check that it runs, can be reached from this node and takes POST; nothing is lost meanwhile',
    ...(cause === undefined ? {} : { cause }),
  });
}
