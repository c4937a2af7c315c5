import { describe, expect, it } from 'vitest';
import { AlertEvaluation, requireUsable } from '../../src/audit/alerts/evaluation.ts';
import { withinHours } from '../../src/audit/alerts/officeHours.ts';
import { SlidingCount } from '../../src/audit/alerts/slidingCount.ts';
import { ANOTHER_ADDRESS } from '../../src/audit/record/actions.ts';
import { type ChainedRecord, NO_AUDIT_HASH } from '../../src/audit/record/chain.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { AlertRule, AuditRecord } from '../../src/proto/audit.ts';
import { RECORD } from '../api/fakeAudit.ts';

const MINUTE_MS = 60_000;
const NOON_MS = Date.parse('2026-03-02T12:00:00Z'); // A Monday.
const ANY: AlertRule = {
  name: 'watched',
  kind: 'break-glass',
  resource: '',
  fromMinute: 0,
  toMinute: 0,
  days: 0,
  timeZone: '',
  by: '',
  count: 0,
  withinMs: 0,
};

let sequence = 0;
const record = (fields: Partial<ChainedRecord>): ChainedRecord => {
  sequence += 1;
  const place = { index: sequence, timeMs: NOON_MS, previousHash: NO_AUDIT_HASH, hash: NO_AUDIT_HASH };
  return { ...RECORD, count: 1, ...place, sequence, ...fields };
};
const read = (principal: string, name = 'secrets/a', fields: Partial<ChainedRecord> = {}) =>
  record({ principal, action: 'kv.read', result: 'OK', resource: Buffer.from(name), ...fields });
const denied = (principal: string, fields: Partial<ChainedRecord> = {}) =>
  record({ principal, action: 'kv.read', result: 'PERMISSION_DENIED', ...fields });

/** What each record gives. */
const alertsOf = (rule: Partial<AlertRule>, records: readonly ChainedRecord[]) => {
  const evaluation = new AlertEvaluation([{ ...ANY, ...rule }]);
  return records.map((one) => evaluation.take(one).map(({ detail }) => detail.replace(/, record .*/, '')));
};

describe('hours', () => {
  const berlin = { fromMinute: 8 * 60, toMinute: 18 * 60, days: 0b0111110, timeZone: 'Europe/Berlin' };
  it.each([
    ['2026-03-02T06:59:00Z', false],
    ['2026-03-02T07:00:00Z', true],
    ['2026-03-02T16:59:00Z', true],
    ['2026-03-02T17:00:00Z', false],
    // In summer an hour earlier; and a Sunday.
    ['2026-07-06T06:00:00Z', true],
    ['2026-03-01T12:00:00Z', false],
  ])('of a place hold at %s: %s', (time, isWithin) => {
    expect(withinHours(berlin)(Date.parse(time))).toBe(isWithin);
  });

  it.each([
    ['2026-03-02T23:00:00Z', true],
    ['2026-03-02T05:59:00Z', true],
    ['2026-03-02T06:00:00Z', false],
    ['2026-03-03T00:00:00Z', false],
  ])('may go over midnight, of the day that it is: %s %s', (time, isWithin) => {
    const night = { fromMinute: 22 * 60, toMinute: 6 * 60, days: 0b10, timeZone: 'UTC' };
    expect(withinHours(night)(Date.parse(time))).toBe(isWithin);
  });

  it('need a time zone that the machine knows', () => {
    const hours = { kind: 'reads-outside-hours', resource: 'a', toMinute: 5, days: 1, timeZone: 'Moon/Base' };
    const rule = { ...ANY, ...hours };
    expect(() => requireUsable([rule])).toThrow(/no time zone Moon\/Base/);
    // Where it came to be in force all the same, the other rules are judged by.
    const evaluation = new AlertEvaluation([rule, { ...ANY, name: 'glass' }]);
    expect(evaluation.take(record({ action: 'user.reset' })).map(({ detail }) => detail)).toEqual([
      expect.stringMatching(/^glass: /),
    ]);
    const reason = 'this machine knows no time zone Moon/Base';
    expect(evaluation.unusable).toEqual([{ name: 'watched', reason }]);
  });
});

describe('reads outside hours', () => {
  const rule = {
    kind: 'reads-outside-hours',
    resource: 'secrets/**',
    fromMinute: 8 * 60,
    toMinute: 11 * 60,
    days: 127,
    timeZone: 'UTC',
  };

  it('are those of secret values that were delivered', () => {
    const inside = { timeMs: NOON_MS - 2 * 3_600_000 };
    const records = [
      read('ann'),
      read('bea', 'secrets/a', inside),
      read('cid', 'public/a'),
      denied('dan'),
      record({ principal: 'eve', action: 'kv.put', resource: Buffer.from('secrets/a') }),
      read('fay', 'secrets/b', { action: 'kv.reveal' }),
      // What a compare came to tells of the value, and so does which branch was refused.
      read('gil', 'secrets/b', { action: 'kv.compare' }),
      read('hal', 'secrets/b', { action: 'kv.compare', result: 'TOO_LARGE' }),
    ];
    const said = ['watched: read outside the hours'];
    expect(alertsOf(rule, records)).toEqual([said, [], [], [], [], said, said, said]);
  });

  it('are told once an hour of each principal', () => {
    const at = (ms: number) => ({ timeMs: NOON_MS + ms });
    const records = [
      read('ann'),
      read('ann', 'secrets/b', at(LIMITS.alertRepeatMs - 1)),
      read('bea', 'secrets/b', at(LIMITS.alertRepeatMs - 1)),
      read('ann', 'secrets/b', at(LIMITS.alertRepeatMs)),
    ];
    expect(alertsOf(rule, records).map(({ length }) => length)).toEqual([1, 0, 1, 1]);
  });
});

describe('many readers', () => {
  const rule = { kind: 'many-readers', resource: 'secrets/**', count: 3, withinMs: 10 * MINUTE_MS };
  const at = (minutes: number) => ({ timeMs: NOON_MS + minutes * MINUTE_MS });

  it('are different ones of one secret', () => {
    const records = [read('ann'), read('ann'), read('bea'), read('bea', 'secrets/b'), read('cid')];
    expect(alertsOf(rule, records)).toEqual([[], [], [], [], ['watched: read by 3 principals']]);
  });

  it('count within the time only, and the last time of each', () => {
    const late = [read('ann'), read('bea', undefined, at(5)), read('cid', undefined, at(10))];
    expect(alertsOf(rule, late).flat()).toEqual([]);
    const again = [read('ann'), read('bea', undefined, at(5)), read('ann', undefined, at(9))];
    expect(alertsOf(rule, [...again, read('cid', undefined, at(14))]).flat()).toHaveLength(1);
  });

  it('who have the same name and are not the same count both', () => {
    const records = [read('ann'), read('ann', undefined, { principalKind: 'token' }), read('bea')];
    expect(alertsOf(rule, records).flat()).toHaveLength(1);
  });
});

describe('denials', () => {
  const rule = { kind: 'denials', by: 'principal', count: 3, withinMs: MINUTE_MS };

  it('are counted by principal', () => {
    const records = [
      denied('ann'),
      denied('bea'),
      denied('ann'),
      denied('bea'),
      denied('ann'),
      denied('ann'),
    ];
    expect(alertsOf(rule, records)).toEqual([[], [], [], [], ['watched: 3 denials'], []]);
  });

  it('are counted by address, whatever its port', () => {
    const from = (address: string) => denied('x', { address, result: 'UNAUTHENTICATED' });
    const records = [from('10.0.0.1:1'), from('10.0.0.2:1'), from('10.0.0.1:2'), from('10.0.0.1:3')];
    expect(alertsOf({ ...rule, by: 'address' }, records).map(({ length }) => length)).toEqual([0, 0, 0, 1]);
  });

  it.each([
    ['2001:db8:1:2::1:50001', '[2001:db8:1:2:3:4:5:6]:443', '2001:db8:1:2:a:b:c:d:50002'],
    ['::ffff:10.0.0.1:50001', '10.0.0.1:7', '::ffff:10.0.0.1:50002'],
  ])('are counted together from %s and %s', (...addresses) => {
    const records = addresses.map((address) => denied('x', { address }));
    expect(alertsOf({ ...rule, by: 'address' }, records).map(({ length }) => length)).toEqual([0, 0, 1]);
  });

  it('count as often as their record says', () => {
    expect(alertsOf(rule, [denied('ann', { count: 3 })]).flat()).toEqual(['watched: 3 denials']);
  });

  it.each(['principal', 'address'])('of nobody, or of many together, are of no %s', (by) => {
    const folded = () => denied('', { principalKind: '', address: '', count: 100 });
    expect(alertsOf({ ...rule, by }, [folded(), folded()]).flat()).toEqual([]);
  });

  it('are told again when the time is over', () => {
    const many = { count: 5 };
    const at = (ms: number) => ({ ...many, timeMs: NOON_MS + ms });
    const records = [denied('ann', at(0)), denied('ann', at(MINUTE_MS - 1)), denied('ann', at(MINUTE_MS))];
    expect(alertsOf(rule, records).map(({ length }) => length)).toEqual([1, 0, 1]);
  });
});

it('a token from another address and a reset administrator are told each time', () => {
  const elsewhere = () => record({ action: 'token.new-address', detail: ANOTHER_ADDRESS });
  const tokens = [record({ action: 'token.new-address', detail: 'first use' }), elsewhere(), elsewhere()];
  expect(alertsOf({ kind: 'token-address' }, tokens).map(({ length }) => length)).toEqual([0, 1, 1]);
  const resets = [record({ action: 'user.reset' }), record({ action: 'user.reset' })];
  expect(alertsOf({ kind: 'break-glass' }, resets).map(({ length }) => length)).toEqual([1, 1]);
});

it('an alert says of whom, of what and why, and never repeats what was written elsewhere', () => {
  const trigger = read('ann', 'secrets/a', { session: 's1', address: '10.0.0.1:5', requestId: '1.2' });
  const rule = { ...ANY, kind: 'many-readers', resource: '**', count: 2, withinMs: 1_000 };
  const evaluation = new AlertEvaluation([rule]);
  evaluation.take(read('bea'));
  const [alert] = evaluation.take(trigger);
  expect(alert).toEqual({
    principalKind: trigger.principalKind,
    principal: 'ann',
    session: 's1',
    address: '10.0.0.1:5',
    node: '',
    action: 'alert.raised',
    resource: trigger.resource,
    resourceEnd: Buffer.alloc(0),
    result: 'OK',
    requestId: '',
    revision: 0,
    count: 2,
    detail: `watched: read by 2 principals, record ${trigger.sequence}`,
  } satisfies AuditRecord);
});

it('who goes over records that were judged keeps as quiet as who judged them, and counts them', () => {
  const rule = { ...ANY, kind: 'denials', by: 'principal', count: 2, withinMs: MINUTE_MS };
  const judged = [denied('ann'), denied('ann'), denied('bea')];
  const first = new AlertEvaluation([rule]);
  const [alert] = judged.flatMap((one) => first.take(one));
  const later = [denied('ann'), denied('bea')];
  const next = new AlertEvaluation([rule]);
  next.know(alert as AuditRecord);
  expect(judged.flatMap((one) => next.take(one, true))).toEqual([]);
  expect(later.flatMap((one) => next.take(one)).map(({ principal }) => principal)).toEqual(['bea']);
  // Of another rule it says nothing.
  const other = new AlertEvaluation([{ ...rule, name: 'another' }]);
  other.know(alert as AuditRecord);
  for (const one of judged) other.take(one, true);
  expect(later.flatMap((one) => other.take(one)).map(({ principal }) => principal)).toEqual(['ann', 'bea']);
  expect(next.memoryMs).toBe(MINUTE_MS);
});

it('of many subjects the one that was quiet longest is forgotten', () => {
  const count = new SlidingCount({ withinMs: 1_000, count: 5 });
  const see = (subject: string, what: string) => count.add(subject, { what, timeMs: 1, times: 1 });
  for (let at = 0; at < LIMITS.alertSubjectsMax; at += 1) see(`s${at}`, 'a');
  expect(see('s0', 'b')).toBe(2);
  see('one more', 'a');
  expect(see('s0', 'c')).toBe(3);
  expect(see('s1', 'b')).toBe(1);
});
