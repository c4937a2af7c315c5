import { beforeEach, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { checkNotes } from '../../src/command/checkAudit.ts';
import { type Denial, Denials } from '../../src/node/denials.ts';
import type { Submission } from '../../src/node/submit.ts';

const DENIAL: Denial = {
  principal: { kind: 'token', name: 'a1', address: '10.0.0.1:5' },
  action: 'kv.read',
  resource: Buffer.from('secrets/x'),
  code: 'PERMISSION_DENIED',
  detail: '',
};
const about = (name: string): Denial => ({ ...DENIAL, resource: Buffer.from(name) });

let clock: ManualClock;
let denials: Denials;
let sent: Submission[];
let refusal: HoldfastError | null;
beforeEach(() => {
  clock = new ManualClock();
  sent = [];
  refusal = null;
  const submit = (submission: Submission) => {
    if (refusal !== null) return Promise.reject(refusal);
    sent.push(submission);
    return Promise.resolve({ done: {}, replayed: false });
  };
  denials = new Denials({ submit: { submit }, clock, nodeId: '00000000000000aa' });
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
  expect(first).toHaveLength(LIMITS.denialRecordsMax);
  expect(first.at(-1)).toMatchObject({
    action: 'access.denied',
    count: 10_000 - LIMITS.denialRecordsMax + 1,
  });
  for (let i = 0; i < 1_000; i += 1) denials.note(about(`n${i}`));
  await flush();
  expect(sent).toHaveLength(1);
  clock.advance(2_000);
  await flush();
  // Two more in two seconds.
  expect(sent[1]?.noteAudit?.records.map(({ count }) => count)).toEqual([1, 999]);
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
