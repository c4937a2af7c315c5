import { beforeEach, describe, expect, it } from 'vitest';
import type { Callers } from '../../src/api/caller.ts';
import { type GuardedCall, letIn } from '../../src/api/letIn.ts';
import type { Principal } from '../../src/proto/storage.ts';
import { FakeAccess } from './fakeAccess.ts';

const RENEW = '/holdfast.v1.Cluster/RenewClient';

let access: FakeAccess;
beforeEach(() => {
  access = new FakeAccess();
});

/** Lets somebody in to a method, of whom it is known who he is. */
function entry(path: string, principal: Principal): Promise<unknown> {
  const callers = { identified: () => Promise.resolve({ principal }) } as unknown as Callers;
  const call = { getPath: () => path, getPeer: () => principal.address } as unknown as GuardedCall;
  return letIn({ callers, access }, call, 7);
}

describe('a refusal leaves a record', () => {
  const address = '127.0.0.1:1';
  const token = { kind: 'token', name: '00000000000000a1', address };

  it.each([
    ['a method that has no rule', '/holdfast.v1.Cluster/Unheard', { kind: 'client', name: 'ada', address }],
    ['a renewal for who shows a token', RENEW, token],
    ['a renewal for a user', RENEW, { kind: 'user', name: 'ada', session: '00000000000000b2', address }],
  ])('of %s', async (_what, path, principal) => {
    await expect(entry(path, principal)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(access.refusals).toEqual([{ principal, proved: true, code: 'PERMISSION_DENIED', detail: path }]);
  });

  it('and to be let in leaves none, nor does what the node judges itself', async () => {
    await entry(RENEW, { ...token, kind: 'client' });
    await entry('/holdfast.v1.Access/WhoAmI', token);
    await expect(entry('/holdfast.v1.Audit/List', token)).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
    });
    expect(access.refusals).toEqual([]);
  });
});
