import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Principal } from '../../src/proto/storage.ts';
import { codeOf, command, StoreRig } from './storeRig.ts';

const [GRANTER, READER] = ['00000000000000a1', '00000000000000a2'];

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

const put = (role: string, paths: readonly string[], by?: Principal, admin: readonly string[] = []) => {
  const rules = paths.map((path) => ({ path, capabilities: ['read'] }));
  return rig.apply(command({ putPolicy: { policy: { role, rules, admin } } }, by)).map(codeOf)[0];
};
const give = (id: string, role: string): void => {
  const create = { id, secretHash: Buffer.alloc(32), description: '', roles: [role], ttlMs: 0 };
  expect(rig.apply(command({ createAccessToken: create })).map(codeOf)).toEqual(['none']);
};

it('nobody takes from others what he does not have, by another policy of their role', () => {
  const granter = { kind: 'token', name: GRANTER, address: '' };
  put('granter', ['a/**'], undefined, ['access']);
  give(GRANTER, 'granter');
  put('strong', ['**']);
  // Nobody has the role yet.
  expect(put('strong', ['a/b'], granter)).toBe('none');
  put('strong', ['**']);
  give(READER, 'strong');
  expect([put('strong', ['a/b'], granter), put('strong', ['a/b'])]).toEqual(['PERMISSION_DENIED', 'none']);
  // What they have now, he has too.
  expect(put('strong', [], granter)).toBe('none');
});
