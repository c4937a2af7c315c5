import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { commandBody } from '../../src/command/body.ts';
import { checkBody, checkPrincipal, checkRequestId } from '../../src/command/checkCommand.ts';
import { checkCount, checkKey, checkRange, checkValue } from '../../src/command/checkKeys.ts';
import { checkOperation, checkTransaction } from '../../src/command/checkTransaction.ts';
import { type Compare, commandCodec, type Operation, type Transaction } from '../../src/proto/storage.ts';

const key = (text: string) => Buffer.from(text, 'latin1');
const put = (text: string, valueBytes = 0): Operation => ({
  put: { key: key(text), value: Buffer.alloc(valueBytes), previous: false },
});
const remove = (start: string, end: string): Operation => ({
  delete: { range: { start: key(start), end: key(end) }, previous: false },
});
const transaction = (...success: Operation[]): Transaction => ({ compares: [], success, failure: [] });
const compare: Compare = { key: key('k'), relation: 0, target: 0, value: key(''), number: 0 };

describe('keys, values, ranges and numbers', () => {
  it.each([
    [0, 'INVALID_ARGUMENT'],
    [1, undefined],
    [LIMITS.keyBytesMax, undefined],
    [LIMITS.keyBytesMax + 1, 'TOO_LARGE'],
  ])('a key of %i bytes: %s', (length, code) => {
    expect(checkKey(Buffer.alloc(length))?.code).toBe(code);
  });

  it.each([
    [0, undefined],
    [LIMITS.valueBytesMax, undefined],
    [LIMITS.valueBytesMax + 1, 'TOO_LARGE'],
  ])('a value of %i bytes: %s', (length, code) => {
    expect(checkValue(Buffer.alloc(length))?.code).toBe(code);
  });

  it.each([
    ['', '', undefined],
    ['a', '', undefined],
    ['a', 'b', undefined],
    ['a', 'a\0', undefined],
    ['\xff', '', undefined],
    ['a', 'a', 'INVALID_ARGUMENT'],
    ['b', 'a', 'INVALID_ARGUMENT'],
    ['\x80', '\x7f', 'INVALID_ARGUMENT'],
    ['a'.repeat(LIMITS.keyBytesMax), `${'a'.repeat(LIMITS.keyBytesMax)}\0`, undefined],
    ['a', 'b'.repeat(LIMITS.keyBytesMax + 2), 'TOO_LARGE'],
    ['a'.repeat(LIMITS.keyBytesMax + 2), '', 'TOO_LARGE'],
  ])('the range %#', (start, end, code) => {
    expect(checkRange({ start: key(start), end: key(end) })?.code).toBe(code);
  });

  it('a range that is missing', () => {
    expect(checkRange(null)?.field).toBe('range');
  });

  it.each([
    [-1, false],
    [0, true],
    [2 ** 53 - 1, true],
    [2 ** 53, false],
    [0.5, false],
    [Number.NaN, false],
    [Number.POSITIVE_INFINITY, false],
  ])('the number %d', (value, good) => {
    expect(checkCount(value, 'revision') === null).toBe(good);
  });
});

describe('transactions', () => {
  const most = LIMITS.transactionOperationsMax;
  const many = (count: number) => Array.from({ length: count }, (_, position) => put(`k${position}`));
  const half = LIMITS.requestBytesMax / 2;

  it.each<[string, Transaction, string | undefined, string | undefined]>([
    ['nothing at all', transaction(), undefined, undefined],
    ['the most operations', transaction(...many(most)), undefined, undefined],
    ['one operation more', transaction(...many(most + 1)), 'TOO_LARGE', 'success'],
    [
      'one compare too many',
      { ...transaction(), compares: Array.from({ length: most + 1 }, () => compare) },
      'TOO_LARGE',
      'compares',
    ],
    [
      'a failing branch that is too long',
      { ...transaction(), failure: many(most + 1) },
      'TOO_LARGE',
      'failure',
    ],
    ['the same key put twice', transaction(put('a'), put('a')), 'INVALID_ARGUMENT', 'success[1].put.key'],
    [
      'the same key in both branches',
      { ...transaction(put('a')), failure: [put('a')] },
      undefined,
      undefined,
    ],
    ['a put inside a deleted range', transaction(remove('a', 'c'), put('b')), 'INVALID_ARGUMENT', 'success'],
    ['a put before a deleted range', transaction(put('b'), remove('a', '')), 'INVALID_ARGUMENT', 'success'],
    ['a put beside a deleted range', transaction(put('c'), remove('a', 'c')), undefined, undefined],
    ['overlapping deleted ranges', transaction(remove('a', 'c'), remove('b', 'd')), undefined, undefined],
    ['an empty key', transaction(put('')), 'INVALID_ARGUMENT', 'success[0].put.key'],
    ['no kind', transaction({}), 'INVALID_ARGUMENT', 'success[0]'],
    ['two kinds', transaction({ ...put('a'), ...remove('b', 'c') }), 'INVALID_ARGUMENT', 'success[0]'],
    [
      'a relation of tomorrow',
      { ...transaction(), compares: [{ ...compare, relation: 4 }] },
      'INVALID_ARGUMENT',
      'compares[0].relation',
    ],
    [
      'a target of tomorrow',
      { ...transaction(), compares: [{ ...compare, target: 4 }] },
      'INVALID_ARGUMENT',
      'compares[0].target',
    ],
    [
      'an unsafe number',
      { ...transaction(), compares: [{ ...compare, number: 2 ** 53 }] },
      'INVALID_ARGUMENT',
      'compares[0].number',
    ],
    ['a largest request', transaction(put('a', half - 17), put('b', half - 17)), undefined, undefined],
    ['one byte more', transaction(put('a', half - 17), put('b', half - 16)), 'TOO_LARGE', 'request'],
  ])('%s', (_name, given, code, field) => {
    const reason = checkTransaction(given);
    expect([reason?.code, reason?.field]).toEqual([code, field]);
  });

  it('a page limit in a range', () => {
    const range = { range: { start: key('a'), end: key('') }, keysOnly: false, countOnly: false };
    expect(checkOperation({ range: { ...range, limit: LIMITS.pageKeysMax } })).toBeNull();
    expect(checkOperation({ range: { ...range, limit: LIMITS.pageKeysMax + 1 } })?.field).toBe('range.limit');
  });
});

describe('commands', () => {
  const base = { origin: '', sequence: 0, principal: null };

  it('has exactly one body', () => {
    expect(commandBody({ ...base, compact: { revision: 3 } })).toEqual({ kind: 'compact', revision: 3 });
    expect(() => commandBody(base)).toThrow(/no body/);
    expect(() => commandBody({ ...base, advanceTime: {}, registerClient: {} })).toThrow(/two bodies/);
  });

  it('takes what the wire gives for unset bytes', () => {
    expect(() => commandBody(commandCodec.decode(Buffer.alloc(0)))).toThrow(/no body/);
    const bare = commandCodec.decode(
      commandCodec.encode({ ...base, transaction: transaction({ put: {} as never }) }),
    );
    expect(checkBody(commandBody(bare))?.field).toBe('success[0].put.key');
  });

  it.each([
    [{ clientId: 1, number: 1, floor: 1 }, undefined],
    [{ clientId: 0, number: 1, floor: 1 }, 'request.client_id'],
    [{ clientId: 1, number: 0, floor: 0 }, 'request.number'],
    [{ clientId: 1, number: 2, floor: 0 }, 'request.floor'],
    [{ clientId: 1, number: 2, floor: 3 }, 'request.floor'],
    [{ clientId: 1, number: 2 ** 53, floor: 1 }, 'request.number'],
  ])('the request id %#', (request, field) => {
    expect(checkRequestId(request)?.field).toBe(field);
  });

  it.each([
    [{ kind: 'closeClient', clientId: 0 } as const, 'client_id'],
    [{ kind: 'compact', revision: 0 } as const, 'revision'],
    [{ kind: 'revokeToken', id: '' } as const, 'id'],
    [
      {
        kind: 'createToken',
        createToken: {
          id: 'x',
          secretHash: Buffer.alloc(32),
          role: 'voter',
          ttlMs: LIMITS.joinTokenTtlMsMax + 1,
        },
      } as const,
      'ttl_ms',
    ],
    [
      {
        kind: 'createToken',
        createToken: { id: 'x', secretHash: Buffer.alloc(31), role: 'voter', ttlMs: 1 },
      } as const,
      'secret_hash',
    ],
    [
      {
        kind: 'createToken',
        createToken: { id: 'x', secretHash: Buffer.alloc(32), role: 'king', ttlMs: 1 },
      } as const,
      'role',
    ],
    [
      {
        kind: 'useToken',
        useToken: { id: 'x', secretHash: Buffer.alloc(32), nodeId: 'ABC', csrKeyHash: Buffer.alloc(32) },
      } as const,
      'node_id',
    ],
    [
      {
        kind: 'bootstrap',
        bootstrap: { authorityCertificate: key('c'), authorityPrivateKey: key('k'), member: null },
      } as const,
      'member',
    ],
  ])('the body %#', (body, field) => {
    expect(checkBody(body)?.field).toBe(field);
  });

  it('a principal has a kind and a name', () => {
    expect(checkPrincipal(null)?.field).toBe('principal');
    expect(checkPrincipal({ kind: '', name: 'a', address: '' })?.field).toBe('principal.kind');
    expect(checkPrincipal({ kind: 'client', name: 'a', address: '' })).toBeNull();
  });
});
