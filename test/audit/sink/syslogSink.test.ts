import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { batchesOf } from '../../../src/audit/sink/sink.ts';
import { syslogFrame } from '../../../src/audit/sink/syslogMessage.ts';
import { SyslogSink } from '../../../src/audit/sink/syslogSink.ts';
import { ManualClock } from '../../../src/base/clock.ts';
import { LIMITS } from '../../../src/base/limits.ts';
import { type Scheduler, systemScheduler } from '../../../src/base/scheduler.ts';
import type { AuditRecord } from '../../../src/proto/audit.ts';
import { chainOf } from '../../api/fakeAudit.ts';
import { ManualScheduler } from '../../node/manualScheduler.ts';
import { refusalOf } from '../../node/refusal.ts';
import { until } from '../../node/until.ts';
import { batchOf, recordsUpTo } from './records.ts';

/** Takes messages apart by their counts of bytes. */
class Receiver {
  readonly messages: string[] = [];
  readonly sockets: Socket[] = [];
  readonly server: Server;

  constructor() {
    this.server = createServer((socket) => {
      this.sockets.push(socket);
      let rest: Buffer = Buffer.alloc(0);
      socket.on('error', () => socket.destroy());
      socket.on('data', (chunk: Buffer) => {
        rest = Buffer.concat([rest, chunk]);
        for (;;) {
          const [, count] = /^([1-9][0-9]*) /.exec(rest.toString('latin1', 0, 12)) ?? [];
          if (count === undefined) break;
          const [start, bytes] = [count.length + 1, Number(count)];
          if (rest.length < start + bytes) break;
          this.messages.push(rest.toString('utf8', start, start + bytes));
          rest = rest.subarray(start + bytes);
        }
      });
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  listen(port = 0): Promise<void> {
    return new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

let receiver: Receiver;
let sink: SyslogSink;
beforeEach(async () => {
  receiver = new Receiver();
  await receiver.listen();
  sink = opened();
});
afterEach(async () => {
  await sink.close();
  await receiver.close();
});

function opened(scheduler: Scheduler = systemScheduler, tls = false): SyslogSink {
  const destination = { kind: 'syslog', host: '127.0.0.1', port: receiver.port, tls } as const;
  return new SyslogSink({ destination, host: 'n1', scheduler });
}

const lineOf = (message: string): string => message.slice(message.indexOf('{'));

describe('a message of syslog', () => {
  const frameOf = (fields: Partial<AuditRecord>): string => {
    const [record] = chainOf(fields);
    if (record === undefined) throw new Error('no record');
    return syslogFrame(record, { line: '{"a":"ü"}', host: 'n1' }).toString('utf8');
  };

  it('has its length in bytes, facility, severity, time, node, action, and the line of an export', () => {
    const message = '<110>1 2023-11-14T22:13:20.000Z n1 holdfast - kv.put - {"a":"ü"}';
    expect(frameOf({})).toBe(`${Buffer.byteLength(message)} ${message}`);
  });

  it.each([
    ['OK', 110],
    ['PERMISSION_DENIED', 108],
    ['UNAUTHENTICATED', 108],
    ['TOO_LARGE', 109],
  ])('with the result %s has the priority %i', (result, priority) => {
    expect(frameOf({ result })).toContain(` <${priority}>1 `);
  });

  it('has no room for what would break its head', () => {
    expect(frameOf({ action: 'a b\n\u00fc' })).toContain(' holdfast - a?b?? - {');
    expect(frameOf({ action: 'x'.repeat(40) })).toContain(` - ${'x'.repeat(32)} - {`);
    expect(frameOf({ action: '' })).toContain(' holdfast - - - {');
  });
});

describe('a syslog server', () => {
  it('gets every record once, in order, over one connection', async () => {
    const records = recordsUpTo(1_200, { bytes: 200 });
    const lines: string[] = [];
    for (const batch of batchesOf(records)) {
      await sink.deliver(batch);
      lines.push(...batch.lines);
    }
    await until(() => receiver.messages.length >= 1_200, 'messages are missing');
    expect(receiver.messages.map(lineOf)).toEqual(lines);
    expect(receiver.sockets).toHaveLength(1);
  });

  it('that has closed gets the next batch over a new connection', async () => {
    const records = recordsUpTo(4);
    await sink.deliver(batchOf(records.slice(0, 2)));
    await until(() => receiver.messages.length === 2, 'messages are missing');
    const [socket] = receiver.sockets;
    // What it says is read and left: unread, it would hide the end.
    socket?.end('thanks');
    await until(() => socket?.closed === true, 'the connection still stands');
    await sink.deliver(batchOf(records.slice(2)));
    await until(() => receiver.messages.length === 4, 'messages are missing');
    expect(receiver.sockets).toHaveLength(2);
  });

  it('that is gone has got nothing, until it is there again', async () => {
    const { port } = receiver;
    await receiver.close();
    expect(await refusalOf(() => sink.deliver(batchOf(recordsUpTo(2))))).toMatchObject({
      code: 'UNAVAILABLE',
      message: 'the syslog server cannot be reached (ECONNREFUSED)',
    });
    receiver = new Receiver();
    await receiver.listen(port);
    await sink.deliver(batchOf(recordsUpTo(2)));
    await until(() => receiver.messages.length === 2, 'messages are missing');
  });

  it('that takes nothing is given up in time', async () => {
    const scheduler = new ManualScheduler(new ManualClock());
    receiver.server.prependListener(
      'connection',
      (socket: Socket) => void setImmediate(() => socket.pause()),
    );
    const slow = opened(scheduler);
    // More than the buffers of both sides hold.
    const lines = ['x'.repeat(64 * 1024 * 1024)];
    const refused = refusalOf(() => slow.deliver({ records: recordsUpTo(1), lines }));
    await until(() => receiver.sockets.length === 1, 'nobody has connected');
    await scheduler.advance(LIMITS.auditSinkTimeoutMs);
    expect(await refused).toMatchObject({ message: 'the syslog server took nothing within 10 s' });
    expect(scheduler.timers).toEqual([]);
    await slow.close();
  });

  it('that closes as soon as it has a batch has not got that batch for certain', async () => {
    const [, record] = recordsUpTo(2);
    receiver.server.prependListener('connection', (socket: Socket) =>
      socket.once('data', () => socket.end()),
    );
    const afterPoll = (run: () => void): void =>
      void until(() => receiver.sockets[0]?.closed === true, 'the connection still stands').then(run);
    const polling = opened({ ...systemScheduler, afterPoll });
    const refused = refusalOf(() => polling.deliver(batchOf(record === undefined ? [] : [record])));
    expect(await refused).toMatchObject({ message: 'the syslog server has closed the connection' });
    await polling.close();
  });

  it('that resets within a batch has not got that batch', async () => {
    receiver.server.prependListener('connection', (socket: Socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    const lines = ['x'.repeat(64 * 1024 * 1024)];
    expect(await refusalOf(() => sink.deliver({ records: recordsUpTo(1), lines }))).toMatchObject({
      code: 'UNAVAILABLE',
    });
  });

  it('whose certificate is not trusted gets nothing', async () => {
    const overTls = opened(systemScheduler, true);
    // The other side speaks no TLS: it answers with what is none.
    receiver.server.prependListener('connection', (socket: Socket) => void socket.write('no TLS here\n'));
    expect(await refusalOf(() => overTls.deliver(batchOf(recordsUpTo(1))))).toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(receiver.messages).toEqual([]);
    await overTls.close();
  });

  it('is let go when the node stops', async () => {
    await sink.deliver(batchOf(recordsUpTo(1)));
    await sink.close();
    await until(() => receiver.sockets[0]?.closed === true, 'the connection still stands');
    expect(await refusalOf(() => sink.deliver(batchOf(recordsUpTo(1))))).toMatchObject({
      code: 'UNAVAILABLE',
    });
  });
});
