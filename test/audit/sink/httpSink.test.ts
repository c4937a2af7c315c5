import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpSink } from '../../../src/audit/sink/httpSink.ts';
import { webhookSignature } from '../../../src/audit/webhookSignature.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { systemScheduler } from '../../../src/base/scheduler.ts';
import { ManualScheduler } from '../../node/manualScheduler.ts';
import { refusalOf } from '../../node/refusal.ts';
import { until } from '../../node/until.ts';
import { batchOf, recordsUpTo } from './records.ts';

const RECORDS = recordsUpTo(20);
const BATCH = batchOf(RECORDS);
const KEY = Buffer.from('a key of the two');

interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let server: Server;
let received: Received[];
let answer: (response: ServerResponse) => void;
let url: string;
let sinks: HttpSink[];
beforeEach(async () => {
  received = [];
  sinks = [];
  answer = (response) => void response.writeHead(204).end();
  server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url: path = '', headers } = request;
      received.push({ method, path, headers, body: Buffer.concat(chunks).toString('utf8') });
      answer(response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/audit?token=t0p`;
});
afterEach(async () => {
  for (const sink of sinks) await sink.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const clock = new ManualClock();
function opened({ key = null as Buffer | null, scheduler = systemScheduler } = {}): HttpSink {
  const sink = new HttpSink({
    destination: { kind: 'http', url },
    clusterId: 'c1',
    nodeId: 'n1',
    key,
    clock,
    scheduler,
  });
  sinks.push(sink);
  return sink;
}

describe('an endpoint', () => {
  it('gets the records as lines, and is told which they are', async () => {
    await opened().deliver(BATCH);
    expect(received).toHaveLength(1);
    const [{ method, path, headers, body } = present()] = received;
    expect([method, path]).toEqual(['POST', '/audit?token=t0p']);
    expect(headers).toMatchObject({
      'content-type': 'application/x-ndjson',
      'holdfast-cluster': 'c1',
      'holdfast-node': 'n1',
      'holdfast-first-sequence': '1',
      'holdfast-last-sequence': '20',
    });
    expect(headers).not.toHaveProperty('holdfast-signature');
    expect(body).toBe(`${BATCH.lines.join('\n')}\n`);
  });

  it('gets a signature when there is a key', async () => {
    await opened({ key: KEY }).deliver(BATCH);
    const [{ headers, body } = present()] = received;
    const expected = webhookSignature({ key: KEY, timeMs: clock.wallMs(), body: Buffer.from(body) });
    expect(headers['holdfast-signature']).toBe(expected);
  });

  it('may answer at length, to which nobody listens', async () => {
    answer = (response) => void response.writeHead(200).end('x'.repeat(4 * LIMITS.auditSinkAnswerBytesMax));
    await opened().deliver(BATCH);
    expect(received).toHaveLength(1);
  });

  it.each([
    [400, 'answered 400'],
    [500, 'answered 500'],
    [302, 'redirects are not followed'],
  ])('that answers %i has got nothing', async (status, message) => {
    answer = (response) => void response.writeHead(status, { Location: url }).end('t0p secret');
    const refusal = await refusalOf(() => opened().deliver(BATCH));
    expect(refusal).toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining(message) });
    expect(JSON.stringify([refusal.message, refusal.hint])).not.toContain('t0p');
    expect(received).toHaveLength(1);
  });

  it('that closes before it answers, or within its answer, has got nothing', async () => {
    answer = (response) => response.socket?.destroy();
    expect(await refusalOf(() => opened().deliver(BATCH))).toMatchObject({ code: 'UNAVAILABLE' });
    answer = (response) => {
      response.writeHead(200, { 'Content-Length': 10 });
      response.write('abc', () => response.socket?.destroy());
    };
    expect(await refusalOf(() => opened().deliver(BATCH))).toMatchObject({
      message: expect.stringContaining('before its answer was whole'),
    });
  });

  it('that says nothing is given up in time', async () => {
    const scheduler = new ManualScheduler(new ManualClock());
    answer = () => undefined;
    const refused = refusalOf(() => opened({ scheduler }).deliver(BATCH));
    await until(() => received.length === 1, 'the request has not come');
    await scheduler.advance(LIMITS.auditSinkTimeoutMs - 1);
    expect(scheduler.timers).toHaveLength(1);
    await scheduler.advance(1);
    expect(await refused).toMatchObject({ message: expect.stringContaining('within 10 s') });
    expect(scheduler.timers).toEqual([]);
  });

  it('that is not there is named by the error of the system', async () => {
    await new Promise((resolve) => server.close(resolve));
    expect(await refusalOf(() => opened().deliver(BATCH))).toMatchObject({
      message: 'the endpoint cannot be reached (ECONNREFUSED)',
    });
  });

  it('is let go at once when the node stops', async () => {
    answer = () => undefined;
    const sink = opened();
    const refused = refusalOf(() => sink.deliver(BATCH));
    await until(() => received.length === 1, 'the request has not come');
    await sink.close();
    expect(await refused).toMatchObject({ code: 'UNAVAILABLE' });
    expect(await refusalOf(() => sink.deliver(BATCH))).toMatchObject({ code: 'UNAVAILABLE' });
  });
});

function present(): never {
  throw new Error('nothing was received');
}
