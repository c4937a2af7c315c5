import { beforeEach, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { Denial } from '../../src/node/denials.ts';
import { NodeUserPort } from '../../src/node/userPort.ts';
import type { Principal } from '../../src/proto/storage.ts';

const ADA: Principal = { kind: 'user', name: 'ada', address: '10.0.0.1:5', generation: 3, session: 'b1' };
const WRONG = new HoldfastError('UNAUTHENTICATED', 'the user or the password is wrong');

let refusal: HoldfastError;
let noted: Denial[];
let port: NodeUserPort;
beforeEach(() => {
  noted = [];
  refusal = WRONG;
  const unused = undefined as never;
  port = new NodeUserPort({
    store: unused,
    submit: unused,
    authorisation: unused,
    sessions: unused,
    passwords: { verify: () => Promise.reject(refusal), hash: unused },
    denials: { note: (denial: Denial) => void noted.push(denial) },
  });
});

const password = Buffer.from('wrong');
const login = () =>
  port.login(
    { principal: { kind: '', name: '', address: '10.0.0.1:5' }, deadlineMs: 7 },
    { name: 'ada', password },
  );
const change = () =>
  port.changePassword({ principal: ADA, deadlineMs: 7 }, { oldPassword: password, newPassword: password });

it('a login with a wrong password is a login that was denied', async () => {
  await expect(login()).rejects.toBe(WRONG);
  const principal = { kind: 'user', name: 'ada', address: '10.0.0.1:5' };
  const resource = Buffer.alloc(0);
  expect(noted).toEqual([
    { principal, action: 'access.login', resource, code: 'UNAUTHENTICATED', detail: '', proved: false },
  ]);
});

it('a wrong present password is a change of it that was denied', async () => {
  await expect(change()).rejects.toBe(WRONG);
  const resource = Buffer.from('ada');
  expect(noted).toEqual([
    {
      principal: ADA,
      action: 'user.set-password',
      resource,
      code: 'UNAUTHENTICATED',
      detail: '',
      proved: true,
    },
  ]);
});

it.each(['NO_LEADER', 'OVERLOADED', 'DEADLINE_EXCEEDED'] as const)('%s denies nothing', async (code) => {
  refusal = new HoldfastError(code, 'not now');
  await expect(login()).rejects.toBe(refusal);
  await expect(change()).rejects.toBe(refusal);
  expect(noted).toEqual([]);
});
