import { status as grpcStatus, Metadata, type ServiceError } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { fromRefusalStatus, toRefusalStatus } from '../../src/trust/refusalStatus.ts';

const CODE = grpcStatus.FAILED_PRECONDITION;

function failure(details: string, said: Readonly<Record<string, string>> = {}): ServiceError {
  const metadata = new Metadata();
  for (const [name, text] of Object.entries(said)) metadata.set(name, text);
  return Object.assign(new Error(details), { code: CODE, details, metadata });
}

it('a refusal arrives with code, field, hint and leader', () => {
  const error = new HoldfastError('TOKEN_USED', 'it was used', { field: 'token', hint: 'Make another one.' });
  const { details = '', metadata } = toRefusalStatus(error, '127.0.0.1:7441');
  const status = Object.assign(new Error(details), { code: CODE, details, metadata }) as ServiceError;
  expect(fromRefusalStatus(status, 'n2 says')).toMatchObject({
    error: { code: 'TOKEN_USED', message: 'n2 says: it was used', field: 'token', hint: 'Make another one.' },
    leader: '127.0.0.1:7441',
    passing: false,
  });
});

it('what another node says steers no terminal, and begins no line of its own', () => {
  const details = 'no\u001b]0;title\u0007\nerror: all is lost\u202e';
  const { error } = fromRefusalStatus(failure(details), 'n2 says');
  expect(error.message).toBe('n2 says: no\\u{1b}]0;title\\u{7}\\u{a}error: all is lost\\u{202e}');
});

it('what another node says is cut, whole characters left whole', () => {
  const long = 'a'.repeat(LIMITS.refusalCharactersMax - 1);
  const { error } = fromRefusalStatus(
    failure(`${long}😀`, { 'holdfast-field': `${long}bc`, 'holdfast-hint': `${long}bc` }),
    'n2 says',
  );
  expect(error.message).toBe(`n2 says: ${long}\ufffd`);
  expect([error.field, error.hint]).toEqual([`${long}b`, `${long}b`]);
});
