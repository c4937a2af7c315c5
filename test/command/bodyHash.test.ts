import { describe, expect, it } from 'vitest';
import type { CommandBody } from '../../src/command/body.ts';
import { bodyHash } from '../../src/command/bodyHash.ts';
import type { Operation, Transaction } from '../../src/proto/storage.ts';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const put = (key: string, value: string | Buffer, previous = false): Operation => ({
  put: { key: bytes(key), value: typeof value === 'string' ? bytes(value) : value, previous },
});
const transaction = (given: Partial<Transaction>): CommandBody => ({
  kind: 'transaction',
  transaction: { compares: [], success: [], failure: [], ...given },
});
const remove = (start: string, end: string, previous = false): Operation => ({
  delete: { range: { start: bytes(start), end: bytes(end) }, previous },
});
const range = (limit: number, keysOnly: boolean, countOnly: boolean): Operation => ({
  range: { range: { start: bytes('a'), end: bytes('b') }, limit, keysOnly, countOnly },
});
const compare = { key: bytes('k'), relation: 0, target: 0, value: bytes(''), number: 0 };
const large = Buffer.alloc(100_000, 1);

const DIFFERENT: readonly CommandBody[] = [
  transaction({}),
  transaction({ success: [put('a', 'bc')] }),
  transaction({ success: [put('ab', 'c')] }),
  transaction({ success: [put('a', 'bc', true)] }),
  transaction({ failure: [put('a', 'bc')] }),
  transaction({ success: [put('a', 'bc'), put('d', '')] }),
  transaction({ success: [put('a', large)] }),
  transaction({ success: [put('a', large.subarray(1))] }),
  transaction({ success: [put('a', Buffer.concat([large.subarray(1), Buffer.from([2])]))] }),
  transaction({ success: [put('a', large), put('b', '')] }),
  transaction({ success: [remove('a', 'bc')] }),
  transaction({ success: [remove('ab', 'c')] }),
  transaction({ success: [remove('a', 'bc', true)] }),
  transaction({ success: [range(0, false, false)] }),
  transaction({ success: [range(1, false, false)] }),
  transaction({ success: [range(0, true, false)] }),
  transaction({ success: [range(0, false, true)] }),
  transaction({ compares: [compare] }),
  transaction({ compares: [{ ...compare, relation: 1 }] }),
  transaction({ compares: [{ ...compare, target: 1 }] }),
  transaction({ compares: [{ ...compare, number: 1 }] }),
  transaction({ compares: [{ ...compare, value: bytes('x') }] }),
  { kind: 'registerClient' },
  { kind: 'advanceTime' },
  { kind: 'compact', revision: 1 },
  { kind: 'compact', revision: 2 ** 32 + 1 },
  { kind: 'closeClient', clientId: 1 },
  { kind: 'revokeToken', id: 'a' },
  { kind: 'rotateAuthority', next: { certificate: bytes('ab'), privateKey: bytes('c') } },
  { kind: 'rotateAuthority', next: { certificate: bytes('a'), privateKey: bytes('bc') } },
  { kind: 'switchAuthority', step: { certificateHash: bytes('h'), confirmed: ['a', 'b'] } },
  { kind: 'switchAuthority', step: { certificateHash: bytes('h'), confirmed: ['ab'] } },
  { kind: 'createUser', create: { name: 'a', passwordHash: 'bc', roles: ['d'] } },
  { kind: 'createUser', create: { name: 'ab', passwordHash: 'c', roles: ['d'] } },
  { kind: 'createUser', create: { name: 'ab', passwordHash: 'c', roles: ['d', 'e'] } },
  { kind: 'deleteUser', name: 'a' },
  { kind: 'setPassword', set: { name: 'a', passwordHash: 'b', shownGeneration: 0 } },
  { kind: 'setPassword', set: { name: 'a', passwordHash: 'b', shownGeneration: 1 } },
  { kind: 'setUserRoles', set: { name: 'a', roles: ['b'] } },
  { kind: 'login', login: { passwordHash: '' } },
  { kind: 'login', login: { passwordHash: 'a' } },
  { kind: 'endSession' },
  { kind: 'resetAdmin', reset: { id: 'a', passwordHash: 'b' } },
  { kind: 'finishAuthorityRotation', step: { certificateHash: bytes('h'), confirmed: ['a', 'b'] } },
];

describe('bodyHash', () => {
  it('differs for every different body', () => {
    const hashes = DIFFERENT.map((body) => bodyHash(body).toString('hex'));
    expect(new Set(hashes).size).toBe(DIFFERENT.length);
    expect(DIFFERENT.map((body) => bodyHash(body).toString('hex'))).toEqual(hashes);
  });

  it('is part of the stored format', () => {
    const body = transaction({ success: [put('a', 'b')] });
    expect(bodyHash(body).toString('hex')).toBe(
      'bce1eea1496fd47ec9dc0648d742be9142387fbb9f468e692c0f8b7069dfadfb',
    );
  });
});
