import { expect, it } from 'vitest';
import { matching } from '../../src/audit/query.ts';
import { RECORD } from '../api/fakeAudit.ts';

const ALL = { principal: '', action: '', resource: '', result: '' };
const named = (resource: string, resourceEnd = '') => ({
  ...RECORD,
  resource: Buffer.from(resource, 'latin1'),
  resourceEnd: Buffer.from(resourceEnd, 'latin1'),
});

it.each<[string, object, boolean]>([
  ['nothing that is asked', {}, true],
  ['who', { principal: 'ada' }, true],
  ['who else', { principal: 'ad' }, false],
  ['what', { action: 'kv.put' }, true],
  ['what else', { action: 'kv.delete' }, false],
  ['OK', { result: 'OK' }, true],
  ['denied', { result: 'denied' }, false],
  ['failed', { result: 'failed' }, false],
  ['a code', { result: 'TOKEN_USED' }, false],
  ['all of it', { principal: 'ada', action: 'kv.put', result: 'OK', resource: 'a' }, true],
  ['all but one', { principal: 'ada', action: 'kv.put', result: 'OK', resource: 'b' }, false],
])('a record is found by %s', (_what, query, expected) => {
  expect(matching({ ...ALL, ...query })(RECORD)).toBe(expected);
});

it.each<[string, string, string, boolean]>([
  ['prod/**', 'prod/a', '', true],
  ['prod/**', 'prod', '', false],
  ['prod/*', 'prod/a/b', '', false],
  ['prod', 'prod/a', '', false],
  ['prod/**', 'prod/', 'prod0', true],
  ['prod/**', 'prod/x', 'prod/z', true],
  ['prod/**', 'a', 'q', true],
  ['prod/**', 'a', 'p', false],
  ['prod/**', 'q', '\xff', false],
  ['prod/**', 'a', '\xff', true],
  ['prod/a', 'prod/a', 'prod/b', true],
  ['prod/a', 'prod/b', 'prod/c', false],
  ['**', '', '', true],
])('the pattern %s and the names from %s to %s: %s', (resource, start, end, expected) => {
  expect(matching({ ...ALL, resource })(named(start, end))).toBe(expected);
});

it('a failure is what is not OK, a denial what may not be', () => {
  for (const [result, failed, denied] of [
    ['OK', false, false],
    ['TOKEN_USED', true, false],
    ['PERMISSION_DENIED', true, true],
    ['UNAUTHENTICATED', true, true],
  ] as const) {
    const record = { ...RECORD, result };
    expect(['failed', 'denied', result].map((of) => matching({ ...ALL, result: of })(record))).toEqual([
      failed,
      denied,
      true,
    ]);
  }
});
