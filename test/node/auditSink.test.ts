import { beforeEach, describe, expect, it } from 'vitest';
import type { ChainedRecord } from '../../src/audit/record/chain.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { AuditSink } from '../../src/node/auditSink.ts';
import type { SinkCursor } from '../../src/node/auditSinkCursor.ts';
import { chainOf } from '../api/fakeAudit.ts';
import { recordsUpTo } from '../audit/sink/records.ts';
import { FakeAuditStore, FakeSink, Lines } from './fakeAuditSink.ts';
import { ManualScheduler } from './manualScheduler.ts';

let clock: ManualClock;
let scheduler: ManualScheduler;
let store: FakeAuditStore;
let sink: FakeSink;
let logger: Lines;
/** What is durable of the cursor. */
let saved: SinkCursor | null;
let saves: number;
let saveFails: boolean;
let running: AuditSink;
beforeEach(() => {
  clock = new ManualClock();
  scheduler = new ManualScheduler(clock);
  store = new FakeAuditStore();
  sink = new FakeSink();
  logger = new Lines();
  [saved, saves, saveFails] = [null, 0, false];
});

function start(): AuditSink {
  running = new AuditSink({
    store,
    sink,
    shown: { kind: 'http', host: 'logs.internal' },
    cursorFile: {
      load: () => Promise.resolve(saved),
      save: (cursor) => {
        if (saveFails) return Promise.reject(new HoldfastError('FILE_UNREADABLE', 'the cursor (ENOSPC)'));
        saved = cursor;
        saves += 1;
        return Promise.resolve();
      },
    },
    clock,
    scheduler,
    logger,
  });
  running.start();
  return running;
}

/** Until what is to be done now is done: a poll, and some. */
const settle = (): Promise<void> => scheduler.advance(LIMITS.auditSinkPollMs + 1);
const sequences = (): readonly number[] => sink.delivered.map(({ sequence }) => sequence);
const upTo = (last: number, first = 1): readonly number[] =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at);
const REFUSED = new HoldfastError('UNAVAILABLE', 'the endpoint answered 500');

describe('the audit sink', () => {
  it('gets all records in order, and what comes later', async () => {
    store.last = 10;
    start();
    await settle();
    expect(sequences()).toEqual(upTo(10));
    store.last = 11;
    await settle();
    expect(sequences()).toEqual(upTo(11));
    expect(saved).toMatchObject({ sequence: 11, hash: store.chain[10]?.hash, lost: 0 });
    expect(running.status).toEqual({
      kind: 'http',
      host: 'logs.internal',
      deliveredSequence: 11,
      behind: 0,
      lost: 0,
      failingSinceMs: 0,
      errorCode: '',
      error: '',
    });
  });

  it('waits for what is applied and not yet on disk', async () => {
    [store.last, store.onDisk] = [6, 4];
    start();
    await settle();
    expect([sequences(), running.status.behind]).toEqual([upTo(4), 2]);
    store.onDisk = 6;
    await settle();
    expect(sequences()).toEqual(upTo(6));
  });

  it('goes on from where it was after a restart', async () => {
    store.last = 7;
    await stopped(start());
    store.last = 9;
    start();
    await settle();
    expect(sequences()).toEqual(upTo(9));
  });

  it('looks no more often than it may, and writes no cursor that is where it was', async () => {
    store.last = 3;
    start();
    await settle();
    const before = saves;
    let looks = 0;
    const records = store.auditRecords.bind(store);
    store.auditRecords = (from) => {
      looks += 1;
      return records(from);
    };
    await scheduler.advance(20 * LIMITS.auditSinkPollMs);
    expect([looks, saves - before]).toEqual([0, 0]);
  });

  it('believes a destination that can tell what it has, be it more or less', async () => {
    store.last = 8;
    saved = { ...present(5), lost: 0 };
    sink.held = present(6);
    await stopped(start());
    expect(sequences()).toEqual([7, 8]);
    sink.held = present(3);
    sink.delivered.length = 0;
    start();
    await settle();
    expect(sequences()).toEqual(upTo(8, 4));
  });

  it.each<[string, () => ChainedRecord]>([
    ['beyond the last one of this node', () => present(9)],
    ['of another chain, beyond what was delivered', () => otherRecord(7)],
    ['of another chain, the one that was delivered last', () => otherRecord(5)],
    ['of another chain, before what was delivered', () => otherRecord(3)],
  ])('fails, and goes on failing, with a destination that holds a record %s', async (_what, held) => {
    store.last = 8;
    saved = { ...present(5), lost: 0 };
    sink.held = held();
    start();
    for (let times = 0; times < 3; times += 1) {
      await scheduler.advance(60_000);
      expect(running.status).toMatchObject({
        errorCode: 'AUDIT_TAMPERED',
        deliveredSequence: 5,
        behind: 3,
        error: expect.stringContaining("none of this node's"),
      });
      await stopped(running);
      start();
    }
    expect([sequences(), saved.sequence]).toEqual([[], 5]);
    sink.held = null;
    await scheduler.advance(60_000);
    expect(sequences()).toEqual(upTo(8, 6));
    expect(running.status.errorCode).toBe('');
  });

  it('delivers what is due to a destination that holds records which are no longer kept', async () => {
    [store.first, store.last] = [6, 8];
    for (const held of [present(5), present(3)]) {
      saved = { ...present(5), lost: 0 };
      [sink.held, sink.delivered.length] = [held, 0];
      await stopped(start());
      expect(sequences()).toEqual(upTo(8, 6));
    }
    [saved, sink.held] = [{ ...present(5), lost: 0 }, otherRecord(5)];
    start();
    await settle();
    expect(running.status.errorCode).toBe('AUDIT_TAMPERED');
  });

  it('asks it again after a failure', async () => {
    store.last = 4;
    sink.fails = REFUSED;
    start();
    await settle();
    // It has got them after all.
    [sink.held, sink.fails] = [present(3), null];
    await scheduler.advance(10_000);
    expect(sequences()).toEqual([4]);
  });

  it('waits while the state is missing', async () => {
    store.last = 5;
    store.missing = 'it was lost';
    start();
    await scheduler.advance(5_000);
    expect(sequences()).toEqual([]);
    store.missing = null;
    await settle();
    expect(sequences()).toEqual(upTo(5));
  });

  it('delivers all anew when the destination holds another chain', async () => {
    store.last = 9;
    await stopped(start());
    const other = chainOf(...Array.from({ length: 12 }, () => ({ detail: 'other' })));
    for (const last of [9, 12]) {
      [store.chain, store.last] = [last === 9 ? other : recordsUpTo(30), last];
      sink.delivered.length = 0;
      start();
      await scheduler.advance(3 * LIMITS.auditSinkPollMs);
      expect(sink.delivered).toEqual(store.chain.slice(0, last));
      await stopped(running);
    }
    expect(logger.errors).toHaveLength(2);
  });
});

describe('what retention takes away', () => {
  it('before there was a sink is not missed', async () => {
    [store.first, store.last] = [5, 9];
    start();
    await settle();
    expect(sequences()).toEqual(upTo(9, 5));
    expect([running.status.lost, logger.errors]).toEqual([0, []]);
  });

  it('before the sink has got it is counted, said, and kept in mind', async () => {
    store.last = 4;
    await stopped(start());
    sink.fails = REFUSED;
    [store.first, store.last] = [8, 9];
    start();
    await settle();
    expect(running.status).toMatchObject({ lost: 3, deliveredSequence: 7, behind: 2 });
    expect(logger.errors).toHaveLength(1);
    await stopped(running);
    sink.fails = null;
    start();
    await settle();
    expect(sequences()).toEqual([...upTo(4), 8, 9]);
    expect(running.status.lost).toBe(3);
    expect(logger.errors).toHaveLength(1);
    expect(running.warnings).toEqual([
      '3 audit records were no longer kept when the audit sink came to them',
    ]);
  });
});

describe('a destination that holds less than it was given', () => {
  it('gets again what is still kept, and what is not is no loss', async () => {
    [store.first, store.last] = [6, 9];
    saved = { ...present(8), lost: 0 };
    sink.held = present(2);
    start();
    await settle();
    expect(sequences()).toEqual(upTo(9, 6));
    expect([running.status.lost, logger.errors]).toEqual([0, []]);
  });

  it('has lost what it was never given, and no more', async () => {
    [store.first, store.last] = [8, 9];
    saved = { ...present(4), lost: 0 };
    sink.held = present(2);
    start();
    await settle();
    expect([sequences(), running.status.lost]).toEqual([[8, 9], 3]);
  });
});

describe('a destination that fails', () => {
  it('is left alone for longer and longer, and then gets what is due, which is said once', async () => {
    store.last = 2;
    sink.fails = REFUSED;
    let attempts = 0;
    const deliver = sink.deliver.bind(sink);
    sink.deliver = (batch) => {
      attempts += 1;
      return deliver(batch);
    };
    start();
    await scheduler.advance(0);
    const sinceMs = clock.wallMs();
    expect(attempts).toBe(1);
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]) {
      await scheduler.advance(waitMs - 1);
      const before = attempts;
      await scheduler.advance(1);
      expect(attempts).toBe(before + 1);
    }
    expect(running.status).toMatchObject({
      deliveredSequence: 0,
      behind: 2,
      failingSinceMs: sinceMs,
      errorCode: 'UNAVAILABLE',
      error: 'the endpoint answered 500',
    });
    expect(running.warnings).toHaveLength(1);
    expect(logger.warnings).toEqual(['the audit sink does not get its records: the endpoint answered 500']);
    sink.fails = null;
    await scheduler.advance(60_000);
    expect(sequences()).toEqual([1, 2]);
    expect(running.status).toMatchObject({ behind: 0, failingSinceMs: 0, error: '' });
    expect([running.warnings, logger.infos]).toEqual([[], ['the audit sink works again']]);
  });

  it('does not hide how far it was', async () => {
    store.last = 5;
    saved = { ...present(4), lost: 1 };
    sink.reached = () => Promise.reject(REFUSED);
    start();
    await settle();
    expect(running.status).toMatchObject({
      deliveredSequence: 4,
      behind: 1,
      lost: 1,
      error: REFUSED.message,
    });
  });

  it('for another reason is told again', async () => {
    store.last = 2;
    sink.fails = REFUSED;
    start();
    await settle();
    sink.fails = new HoldfastError('UNAVAILABLE', 'the endpoint answered 404');
    await scheduler.advance(10_000);
    expect(logger.warnings).toHaveLength(2);
  });

  it('is not given a batch again because the cursor could not be written, nor another one before it is', async () => {
    store.last = 4;
    start();
    await settle();
    saveFails = true;
    store.last = 8;
    await settle();
    expect(sequences()).toEqual(upTo(8));
    store.last = 10;
    await scheduler.advance(10_000);
    expect(sequences()).toEqual(upTo(8));
    expect(running.status.error).toContain('ENOSPC');
    saveFails = false;
    await scheduler.advance(60_000);
    expect(sequences()).toEqual(upTo(10));
  });
});

describe('the end of the node', () => {
  it('waits for nothing that hangs', async () => {
    store.last = 2;
    sink.hangs = true;
    const hung = start();
    await scheduler.advance(0);
    let ended = false;
    const stop = hung.stop().then(() => (ended = true));
    await scheduler.advance(LIMITS.auditSinkStopMs - 1);
    expect([ended, sink.closed]).toEqual([false, false]);
    await scheduler.advance(LIMITS.auditSinkAbandonMs + 1);
    await stop;
    expect([sink.closed, sink.delivered, scheduler.timers]).toEqual([true, [], []]);
  });

  it('comes at once where nothing is under way', async () => {
    start();
    await settle();
    await stopped(running);
    expect(scheduler.timers).toEqual([]);
    await scheduler.advance(60_000);
    expect(saved?.sequence).toBe(0);
  });
});

/** After it has done what there was to do. */
async function stopped(one: AuditSink): Promise<void> {
  await settle();
  const stop = one.stop();
  await scheduler.advance(0);
  await stop;
}

function otherRecord(sequence: number): ChainedRecord {
  const other = chainOf(...Array.from({ length: sequence }, () => ({ detail: 'other' }))).at(-1);
  if (other === undefined) throw new Error('there is no such record');
  return other;
}

function present(sequence: number): ChainedRecord {
  const record = store.chain[sequence - 1];
  if (record === undefined) throw new Error(`there is no record ${sequence}`);
  return record;
}
