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
  proved: true,
};
const about = (name: string): Denial => ({ ...DENIAL, resource: Buffer.from(name) });
/** By who shows a token that he made up. */
const strange = (name: string): Denial => ({
  ...DENIAL,
  principal: { ...DENIAL.principal, name },
  action: 'access.denied',
  code: 'UNAUTHENTICATED',
  proved: false,
});
/** Of somebody else who is known. */
const byOther = (name: string): Denial => ({
  ...about(name),
  principal: { ...DENIAL.principal, name: 'b2' },
});
const records = () => sent.flatMap(({ noteAudit }) => noteAudit?.records ?? []);
const resourcesOf = (who: string) =>
  records()
    .filter(({ principal }) => principal === who)
    .map(({ resource }) => String(resource));
const countOf = (all: readonly { readonly count: number }[]) =>
  all.reduce((sum, { count }) => sum + count, 0);

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

/** Until nothing more is written of him at this time. */
async function exhaust(): Promise<void> {
  for (let before = -1; before < sent.length; ) {
    before = sent.length;
    for (let i = 0; i < LIMITS.denialRecordsMax; i += 1) denials.note(about(`${before} ${i}`));
    await flush();
  }
}

it('a flood leaves so many records and one that counts the rest, and more only with time', async () => {
  for (let i = 0; i < 10_000; i += 1) denials.note(about(`n${i}`));
  await flush();
  const first = sent[0]?.noteAudit?.records ?? [];
  const { denialRecordsEachMax: most } = LIMITS;
  expect(first).toHaveLength(most + 1);
  expect(first.at(-1)).toMatchObject({
    action: 'access.denied',
    principalKind: 'token',
    principal: 'a1',
    address: '10.0.0.1:5',
    count: 10_000 - most,
    detail: 'more denials than are recorded one by one',
  });
  await exhaust();
  // Half of all is kept for others.
  expect(records()).toHaveLength(LIMITS.denialRecordsMax / 2);
  sent = [];
  clock.advance(2_000);
  for (let i = 0; i < 900; i += 1) denials.note(about(`n${i}`));
  await flush();
  // Two more in two seconds.
  expect(records().map(({ count }) => count)).toEqual([1, 899 + LIMITS.denialRecordsMax]);
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
  await exhaust();
  clock.advance(1_000);
  await flush();
  sent = [];
  clock.advance(1_000);
  denials.note(DENIAL);
  await flush();
  expect(records()).toMatchObject([{ principalKind: 'token', principal: 'a1', action: 'kv.read', count: 1 }]);
});

it('a flood of strangers takes no place of who is known', async () => {
  for (let second = 0; second < 300; second += 1) {
    for (let i = 0; i < 1_000; i += 1) denials.note(strange(`${second} ${i}`));
    denials.note(about(`n${second}`));
    await flush();
    clock.advance(1_000);
  }
  expect(resourcesOf('a1')).toEqual(Array.from({ length: 300 }, (_, second) => `n${second}`));
  const strangers = records().filter(({ principal }) => principal !== 'a1');
  const { strangerDenialRecordsMax: most, strangerDenialRecordsPerMinute: perMinute } = LIMITS;
  expect(strangers.length).toBeGreaterThan(5 * perMinute);
  expect(strangers.length).toBeLessThanOrEqual(most + 5 * perMinute);
  expect(strangers.at(-1)).toMatchObject({
    principal: '',
    address: '10.0.0.1:5',
    detail: 'more denials of strangers than are recorded one by one',
  });
  for (const { noteAudit } of sent) expect(checkNotes(noteAudit?.records ?? [])).toBeNull();
});

it('one who is known takes no place of another, however much he is denied', async () => {
  for (let second = 0; second < 300; second += 1) {
    for (let i = 0; i < 1_000; i += 1) denials.note(about(`${second} ${i}`));
    if (second % 10 === 0) denials.note(byOther(`n${second}`));
    await flush();
    clock.advance(1_000);
  }
  expect(resourcesOf('b2')).toEqual(Array.from({ length: 30 }, (_, at) => `n${at * 10}`));
  expect(countOf(records().filter(({ principal }) => principal === 'a1'))).toBeGreaterThan(290_000);
  for (const { noteAudit } of sent) expect(checkNotes(noteAudit?.records ?? [])).toBeNull();
});

it('a share that another one needs is given back to him, and what had it is counted', async () => {
  const by = (name: string, what: string): Denial => ({
    ...about(what),
    principal: { ...DENIAL.principal, name },
  });
  for (let who = 0; who < 50; who += 1) for (let i = 0; i < 40; i += 1) denials.note(by(`p${who}`, `n${i}`));
  denials.note(byOther('late'));
  await flush();
  expect(resourcesOf('b2')).toEqual(['late']);
  expect(new Set(records().map(({ principal }) => principal)).size).toBe(51);
  expect(records().length).toBeLessThanOrEqual(LIMITS.denialRecordsMax);
  expect(countOf(records())).toBe(50 * 40 + 1);
});

it('one address takes no place of another among strangers, whatever names it makes up', async () => {
  const from = (address: string, name: string): Denial => {
    const { principal, ...rest } = strange(name);
    return { ...rest, principal: { ...principal, address } };
  };
  for (let i = 0; i < 1_000; i += 1) denials.note(from(`2001:db8::${i.toString(16)}:5000`, `t${i}`));
  denials.note(from('2001:db8:0:1::1:5000', 'ada'));
  await flush();
  expect(records()).toMatchObject([
    ...Array.from({ length: LIMITS.strangerDenialRecordsEachMax }, (_, at) => ({ principal: `t${at}` })),
    { principal: '', action: 'access.denied', address: '2001:db8:0:0::/64' },
    { principal: 'ada', address: '2001:db8:0:1::1:5000' },
  ]);
  expect(countOf(records())).toBe(1_001);
});

it('a denial does not stand for that of a neighbour, or of another session', async () => {
  const from = (address: string, session: string): Denial => {
    const denial = strange('ada');
    return { ...denial, principal: { ...denial.principal, address, session } };
  };
  denials.note(from('2001:db8::bad:5000', 's1'));
  denials.note(from('2001:db8::900d:5000', 's1'));
  denials.note(from('2001:db8::900d:5001', 's2'));
  await flush();
  expect(records().map(({ address, session, count }) => [address, session, count])).toEqual([
    ['2001:db8::bad:5000', 's1', 1],
    ['2001:db8::900d:5000', 's1', 1],
    ['2001:db8::900d:5001', 's2', 1],
  ]);
});

it('strangers from any number of addresses are counted, and cost no more than a few of them do', async () => {
  for (let i = 0; i < 100_000; i += 1) {
    const address = `2001:db8:${(i >> 16).toString(16)}:${(i & 65_535).toString(16)}::1:5000`;
    denials.note({ ...strange(`t${i}`), principal: { kind: 'token', name: `t${i}`, address } });
  }
  await flush();
  expect(records()).toHaveLength(LIMITS.strangerDenialRecordsMax + 1);
  expect(records().at(-1)).toMatchObject({ principal: '', address: '' });
  expect(countOf(records())).toBe(100_000);
});

it('a name that is known is a stranger until it was proved', async () => {
  for (let i = 0; i < 1_000; i += 1) denials.note({ ...about(`n${i}`), proved: false });
  denials.note(DENIAL);
  await flush();
  expect(resourcesOf('a1').at(0)).toBe('secrets/x');
});

it('a denial that has to wait is not counted with others because a stranger may be named', async () => {
  await exhaust();
  clock.advance(1_000);
  await flush();
  sent = [];
  clock.advance(500);
  denials.note(about('late'));
  denials.note(strange('made-up'));
  await flush();
  clock.advance(500);
  await flush();
  expect(counts()).toEqual([[['secrets/x', 1]], [['late', 1]]]);
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
    await exhaust();
    sent = [];
    denials.note(about('last'));
    denials.note(strange('made-up'));
    await denials.stop();
    expect(records()).toMatchObject([
      { principal: '', count: 1 + LIMITS.denialRecordsMax },
      { principal: 'made-up', count: 1 },
    ]);
    await denials.stop();
    expect(sent).toHaveLength(1);
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
