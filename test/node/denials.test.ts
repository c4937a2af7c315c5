import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { checkNotes } from '../../src/command/checkAudit.ts';
import { type Denial, Denials } from '../../src/node/denials.ts';
import type { Submission } from '../../src/node/submit.ts';
import type { Outcome } from '../../src/proto/storage.ts';
import { ManualScheduler, turns } from './manualScheduler.ts';
import { FakeLogger } from './nodeFolder.ts';

const DENIAL: Denial = {
  principal: { kind: 'token', name: 'a1', address: '10.0.0.1:5' },
  action: 'kv.read',
  resource: Buffer.from('secrets/x'),
  code: 'PERMISSION_DENIED',
  detail: '',
};
const about = (name: string): Denial => ({ ...DENIAL, resource: Buffer.from(name) });
/** By who shows a token that he made up. */
const strange = (name: string): Denial => ({
  ...DENIAL,
  principal: { ...DENIAL.principal, name },
  action: 'access.denied',
  code: 'UNAUTHENTICATED',
});

let clock: ManualClock;
let denials: Denials;
let sent: Submission[];
let refusal: HoldfastError | null;
/** Null: what is sent is done. */
let answer: Promise<Outcome> | null;
let logger: FakeLogger;
let scheduler: ManualScheduler;
beforeEach(() => {
  clock = new ManualClock();
  scheduler = new ManualScheduler(clock);
  sent = [];
  refusal = null;
  answer = null;
  logger = new FakeLogger();
  const submit = (submission: Submission) => {
    if (refusal !== null) return Promise.reject(refusal);
    sent.push(submission);
    return answer ?? Promise.resolve({ replayed: false });
  };
  denials = new Denials({
    submit: { submit },
    access: { knows: ({ name }) => name === 'a1' },
    clock,
    nodeId: '00000000000000aa',
    logger,
    scheduler,
  });
});

const counts = () =>
  sent.map(({ noteAudit }) => noteAudit?.records.map(({ resource, count }) => [String(resource), count]));
const flush = () => denials.flush(clock.monotonicMs() + 1_000);

it('like ones go together, with a count, whatever connection they came on', async () => {
  await flush();
  denials.note(DENIAL);
  denials.note({ ...DENIAL, principal: { ...DENIAL.principal, address: '10.0.0.1:6' } });
  denials.note({ ...DENIAL, principal: { ...DENIAL.principal, address: '10.0.0.2:6' } });
  denials.note(about('other'));
  await flush();
  await flush();
  expect(counts()).toEqual([
    [
      ['secrets/x', 2],
      ['secrets/x', 1],
      ['other', 1],
    ],
  ]);
  expect(sent[0]?.principal).toEqual({ kind: 'node', name: '00000000000000aa', address: '' });
});

it('a flood leaves so many records and one that counts the rest, and more only with time', async () => {
  for (let i = 0; i < 10_000; i += 1) denials.note(about(`n${i}`));
  await flush();
  const first = sent[0]?.noteAudit?.records ?? [];
  expect(first).toHaveLength(LIMITS.denialRecordsMax + 1);
  expect(first.at(-1)).toMatchObject({ action: 'access.denied', count: 10_000 - LIMITS.denialRecordsMax });
  for (let i = 0; i < 1_000; i += 1) denials.note(about(`n${i}`));
  await flush();
  expect(sent).toHaveLength(1);
  clock.advance(2_000);
  await flush();
  // Two more in two seconds.
  expect(sent[1]?.noteAudit?.records.map(({ count }) => count)).toEqual([1, 1, 998]);
});

it('what cannot be written stays, and is written once it can', async () => {
  denials.note(DENIAL);
  for (let i = 0; i < 200; i += 1) denials.note(about(`n${i}`));
  refusal = new HoldfastError('NO_LEADER', 'there is no leader');
  await flush();
  await flush();
  refusal = null;
  await flush();
  const records = sent[0]?.noteAudit?.records ?? [];
  expect(records.reduce((sum, { count }) => sum + count, 0)).toBe(201);
});

it('a name that is made up is cut to a length that can be recorded', async () => {
  denials.note({ ...DENIAL, principal: { ...DENIAL.principal, name: '\u20ac'.repeat(100_000) } });
  await flush();
  const records = sent[0]?.noteAudit?.records ?? [];
  expect(checkNotes(records)).toBeNull();
});

it('a single one is named, also when the budget has just one left', async () => {
  for (let i = 0; i < LIMITS.denialRecordsMax; i += 1) denials.note(about(`n${i}`));
  await flush();
  clock.advance(1_000);
  denials.note(DENIAL);
  await flush();
  expect(sent[1]?.noteAudit?.records).toMatchObject([{ principalKind: 'token', principal: 'a1', count: 1 }]);
});

it('a flood of strangers takes no place of who is known', async () => {
  const known: string[] = [];
  for (let second = 0; second < 300; second += 1) {
    for (let i = 0; i < 1_000; i += 1) denials.note(strange(`${second} ${i}`));
    denials.note(about(`n${second}`));
    await flush();
    clock.advance(1_000);
  }
  const records = sent.flatMap(({ noteAudit }) => noteAudit?.records ?? []);
  for (const { principal, resource } of records) if (principal === 'a1') known.push(String(resource));
  expect(known).toEqual(Array.from({ length: 300 }, (_, second) => `n${second}`));
  const strangers = records.filter(({ principal }) => principal !== 'a1');
  const named = strangers.filter(({ principal }) => principal !== '').length;
  const { strangerDenialRecordsMax: most, strangerDenialRecordsPerMinute: perMinute } = LIMITS;
  expect(named).toBeGreaterThan(most);
  expect(named).toBeLessThanOrEqual(most + 5 * perMinute);
  expect(strangers.at(-1)?.detail).toBe('more denials of strangers than are recorded one by one');
  for (const { noteAudit } of sent) expect(checkNotes(noteAudit?.records ?? [])).toBeNull();
});

it('a denial that has to wait is not counted with others because a stranger may be named', async () => {
  for (let i = 0; i < LIMITS.denialRecordsMax; i += 1) denials.note(about(`n${i}`));
  await flush();
  clock.advance(500);
  denials.note(about('late'));
  denials.note(strange('made-up'));
  await flush();
  clock.advance(500);
  await flush();
  expect(counts().slice(1)).toEqual([[['secrets/x', 1]], [['late', 1]]]);
});

it('the largest batch fits into a note', async () => {
  for (let i = 0; i < 1_000; i += 1) {
    denials.note(about(`n${i}`));
    denials.note(strange(`t${i}`));
  }
  await flush();
  const records = sent[0]?.noteAudit?.records ?? [];
  expect(checkNotes(records)).toBeNull();
  expect(records.reduce((sum, { count }) => sum + count, 0)).toBe(2_000);
});

it('what is noted while a batch is under way is counted beside what comes back', async () => {
  denials.note(DENIAL);
  let fail: (error: Error) => void = () => undefined;
  answer = new Promise((_, reject) => (fail = reject));
  const flushed = flush();
  for (let i = 0; i < 50; i += 1) denials.note(DENIAL);
  fail(new HoldfastError('NO_LEADER', 'there is no leader'));
  await flushed;
  answer = null;
  sent = [];
  await flush();
  expect(counts()).toEqual([[['secrets/x', 51]]]);
});

it('what is turned down where it is applied stays, with a line', async () => {
  denials.note(DENIAL);
  const failure = { code: 'OVERLOADED', message: 'too much', field: '', hint: '' } as const;
  answer = Promise.resolve({ failure, replayed: false });
  await flush();
  await flush();
  answer = null;
  sent = [];
  await flush();
  expect(counts()).toEqual([[['secrets/x', 1]]]);
  expect(logger.warnings).toHaveLength(1);
});

describe('a stop', () => {
  /** Whether it is over by now. */
  const stopping = () => {
    const stop = { isOver: false };
    void denials.stop().then(() => (stop.isOver = true));
    return stop;
  };

  it('writes what is left, named as far as may be, and counts the rest', async () => {
    for (let i = 0; i < LIMITS.denialRecordsMax; i += 1) denials.note(about(`n${i}`));
    await flush();
    denials.note(about('last'));
    denials.note(strange('made-up'));
    await denials.stop();
    expect(sent[1]?.noteAudit?.records).toMatchObject([
      { principal: '', count: 1 },
      { principal: 'made-up', count: 1 },
    ]);
    await denials.stop();
    expect(sent).toHaveLength(2);
    expect(scheduler.timers).toEqual([]);
  });

  it('writes it after the batch that is under way', async () => {
    let done: (outcome: Outcome) => void = () => undefined;
    answer = new Promise((resolve) => (done = resolve));
    denials.note(about('first'));
    const flushed = flush();
    denials.note(about('last'));
    const stop = stopping();
    await turns();
    expect(counts()).toEqual([[['first', 1]]]);
    answer = null;
    done({ replayed: false });
    await flushed;
    await turns();
    expect(stop.isOver).toBe(true);
    expect(counts()).toEqual([[['first', 1]], [['last', 1]]]);
  });

  it('does not wait for ever', async () => {
    answer = new Promise(() => undefined);
    denials.note(DENIAL);
    const stop = stopping();
    await scheduler.advance(LIMITS.denialStopMs);
    expect(stop.isOver).toBe(true);
  });
});
