import { hash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { Command, Outcome, Policy, Principal } from '../../src/proto/storage.ts';
import { type CreateAccessToken, policyRowCodec } from '../../src/proto/users.ts';
import { bytes, codeOf, command, NODE, put, read, StoreRig, transaction } from './storeRig.ts';

const ID = '00000000000000a1';
/** What a row has beside its policy: tag and length of that, and the time. */
const ROW_BYTES = 4 + 2;
const OTHER_ID = '00000000000000a2';
const token = (name: string): Principal => ({ kind: 'token', name, address: '127.0.0.1:3' });

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

const apply = (body: Omit<Partial<Command>, 'origin' | 'sequence'>, by?: Principal): Outcome | undefined =>
  rig.apply(command(body, by))[0];
const policy = (role: string, rules: Record<string, string[]>, admin: string[] = []): Policy => ({
  role,
  rules: Object.entries(rules).map(([path, capabilities]) => ({ path, capabilities })),
  admin,
});
const putPolicy = (wanted: Policy, by?: Principal) => apply({ putPolicy: { policy: wanted } }, by);
const deletePolicy = (role: string, by?: Principal) => apply({ deletePolicy: { role } }, by);
const create = (given: Partial<CreateAccessToken> = {}, by?: Principal) =>
  apply(
    {
      createAccessToken: {
        id: ID,
        secretHash: Buffer.alloc(32, 1),
        description: 'ci',
        roles: ['viewer'],
        ttlMs: 0,
        ...given,
      },
    },
    by,
  );
const write = (key: string, by: Principal) => apply({ transaction: transaction(put(key)) }, by);
const codes = (...outcomes: readonly (Outcome | undefined)[]) =>
  outcomes.map((outcome) => outcome && codeOf(outcome));

describe('the uses of a token', () => {
  const use = (address: string, by: Principal = NODE) =>
    codes(apply({ noteTokenUse: { id: ID, address } }, by))[0];
  const kept = () => {
    const { lastUsedMs, addresses } = rig.store.access.token(ID) ?? {};
    return { lastUsedMs, addresses };
  };

  it("are kept by host, and each new one is recorded as the token's", async () => {
    create();
    expect(kept()).toEqual({ lastUsedMs: 0, addresses: [] });
    const firstMs = rig.timeMs;
    expect([use('10.0.0.1:5'), use('10.0.0.1:6'), use('[::1]:7')]).toEqual(['none', 'none', 'none']);
    expect(kept()).toEqual({ lastUsedMs: firstMs, addresses: ['10.0.0.1', '[::1]'] });
    const { digest } = rig.store;
    await rig.reopen();
    expect(rig.store.digest).toEqual(digest);
    expect(kept()).toEqual({ lastUsedMs: firstMs, addresses: ['10.0.0.1', '[::1]'] });
    const told = { principalKind: 'token', principal: ID, action: 'token.new-address', node: NODE.name };
    expect((await rig.auditRecords()).slice(1)).toMatchObject([
      { ...told, address: '10.0.0.1:5', detail: 'first use' },
      { ...told, address: '[::1]:7', detail: 'another address' },
    ]);
    expect(codes(write('x', token(ID)))).toEqual(['PERMISSION_DENIED']);
  });

  it('from where it was used before change the state now and then only', () => {
    create();
    use('10.0.0.1:5');
    const { digest } = rig.store;
    rig.timeMs += LIMITS.tokenUseNotedMs - 1;
    use('10.0.0.1:6');
    expect(rig.store.digest).toEqual(digest);
    rig.timeMs += 1;
    use('10.0.0.1:6');
    expect(kept().lastUsedMs).toBe(rig.timeMs);
  });

  it('are forgotten of the host that was not used for longest', () => {
    create();
    for (let at = 0; at < LIMITS.tokenAddressesMax; at += 1) use(`10.0.0.${at}:5`);
    rig.timeMs += LIMITS.tokenUseNotedMs;
    use('10.0.0.0:6');
    use('10.0.1.1:5');
    expect(kept().addresses).toHaveLength(LIMITS.tokenAddressesMax);
    expect(kept().addresses?.[0]).toBe('10.0.0.2');
    expect(kept().addresses?.slice(-2)).toEqual(['10.0.0.0', '10.0.1.1']);
  });

  it('are of the latest hosts, of a token that there is, and told by nodes', () => {
    expect(use('10.0.0.1:5')).toBe('none');
    create();
    for (let at = 0; at <= LIMITS.tokenAddressesMax; at += 1) use(`10.0.0.${at}:5`);
    expect(kept().addresses).toHaveLength(LIMITS.tokenAddressesMax);
    expect(kept().addresses?.[0]).toBe('10.0.0.1');
    expect(use('10.0.0.1:5', token(ID))).toBe('PERMISSION_DENIED');
    expect(use('x'.repeat(LIMITS.addressBytesMax * 8))).toMatch(/INVALID_ARGUMENT|TOO_LARGE/);
  });
});

describe('a token', () => {
  it('may have done what its roles allow, and nothing once it is revoked', () => {
    expect(
      codes(putPolicy(policy('apps', { 'apps/**': ['write'] })), create({ roles: ['apps', 'viewer'] })),
    ).toEqual(['none', 'none']);
    expect(codes(write('apps/x', token(ID)), write('x', token(ID)))).toEqual(['none', 'PERMISSION_DENIED']);
    expect(codes(apply({ transaction: transaction(read('x')) }, token(ID)))).toEqual(['none']);
    expect(codes(apply({ revokeAccessToken: { id: ID } }))).toEqual(['none']);
    expect(codes(write('apps/x', token(ID)), write('apps/x', token(OTHER_ID)))).toEqual([
      'UNAUTHENTICATED',
      'UNAUTHENTICATED',
    ]);
    expect(codes(apply({ revokeAccessToken: { id: ID } }))).toEqual(['NOT_FOUND']);
  });

  it('is due at its end, so that log time comes to it where nobody writes, and then when it goes', () => {
    create({ ttlMs: 1_000 });
    expect(rig.store.dueMs).toBe(rig.timeMs + 1_000);
    rig.timeMs += 1_000;
    apply({ advanceTime: {} }, NODE);
    expect(codes(write('x', token(ID)))).toEqual(['UNAUTHENTICATED']);
    expect(rig.store.dueMs).toBeGreaterThan(rig.timeMs + 1_000);
  });

  it('has what the policy of its role is now', () => {
    putPolicy(policy('apps', { 'apps/**': ['write'] }));
    create({ roles: ['apps'] });
    expect(codes(write('apps/x', token(ID)))).toEqual(['none']);
    putPolicy(policy('apps', { 'apps/**': ['write'], 'apps/x': [] }));
    expect(codes(write('apps/x', token(ID)), write('apps/y', token(ID)))).toEqual([
      'PERMISSION_DENIED',
      'none',
    ]);
  });

  it('is nobody from its end on, is known for a while, and then gone', () => {
    create({ ttlMs: 1_000 });
    rig.timeMs += 999;
    expect(codes(apply({ transaction: transaction(read('x')) }, token(ID)))).toEqual(['none']);
    rig.timeMs += 1;
    expect(codes(apply({ transaction: transaction(read('x')) }, token(ID)))).toEqual(['UNAUTHENTICATED']);
    rig.timeMs += LIMITS.accessTokenKeptMs - 1;
    rig.apply(command({ transaction: transaction() }));
    expect(rig.store.access.token(ID)).toMatchObject({ id: ID });
    expect(rig.store.dueMs).toBe(rig.timeMs + 1);
    rig.timeMs += 1;
    rig.apply(command({ transaction: transaction() }));
    expect(rig.store.access.token(ID)).toBeNull();
  });

  it.each<[string, Partial<CreateAccessToken>, string, string]>([
    ['the id of another', {}, 'INVALID_ARGUMENT', 'id'],
    ['no id', { id: 'x' }, 'INVALID_ARGUMENT', 'id'],
    ['no role', { id: OTHER_ID, roles: [] }, 'INVALID_ARGUMENT', 'roles'],
    ['a role that there is not', { id: OTHER_ID, roles: ['viewer', 'nobody'] }, 'NOT_FOUND', 'role'],
    ['a role of a prototype', { id: OTHER_ID, roles: ['constructor'] }, 'NOT_FOUND', 'role'],
    [
      'too many roles',
      { id: OTHER_ID, roles: Array.from({ length: 17 }, (_, at) => `r${at}`) },
      'INVALID_ARGUMENT',
      'roles',
    ],
    ['a hash that is none', { id: OTHER_ID, secretHash: bytes('x') }, 'INVALID_ARGUMENT', 'secret_hash'],
    [
      'a time without end',
      { id: OTHER_ID, ttlMs: LIMITS.accessTokenTtlMsMax + 1 },
      'INVALID_ARGUMENT',
      'ttl_ms',
    ],
    ['a long description', { id: OTHER_ID, description: 'x'.repeat(257) }, 'TOO_LARGE', 'description'],
  ])('is refused with %s', (_what, given, code, field) => {
    create();
    const digest = rig.store.digest;
    expect(create(given)?.failure).toMatchObject({ code, field });
    expect(rig.store.access.tokens).toHaveLength(1);
    expect(rig.store.digest).toEqual(digest);
  });
});

it('a policy that is put leaves a record of how many rules it has, which text it is, and what it administers', async () => {
  const apps = policy('apps', { 'apps/**': ['read', 'write'], 'apps/x': [] }, ['access', 'cluster']);
  putPolicy(apps);
  putPolicy({ ...apps, rules: apps.rules.slice(0, 1), admin: ['audit', 'audit', 'keys'] });
  putPolicy(policy('apps', { 'apps/**': ['read', 'delete'] }));
  putPolicy(policy('apps', { 'apps/**': ['read'] }, ['keys']), token(ID));
  const said = (await rig.auditRecords()).map(({ result, detail }) => `${result}: ${detail}`);
  const digest = hash('sha256', JSON.stringify(apps), 'hex').slice(0, 16);
  expect(said[0]).toBe(`OK: 2 rules, sha256:${digest}, administers access cluster`);
  expect(said[1]).toMatch(/^OK: 1 rule, sha256:[0-9a-f]{16}, administers audit keys$/);
  expect(said[2]).toMatch(/^OK: 1 rule, sha256:[0-9a-f]{16}, administers nothing$/);
  expect(said[3]).toMatch(/^UNAUTHENTICATED: 1 rule, sha256:[0-9a-f]{16}, administers keys$/);
  expect(new Set(said.map((text) => /sha256:\S+/.exec(text)?.[0])).size).toBe(4);
});

describe('nobody', () => {
  beforeEach(() => {
    putPolicy(policy('granter', { 'a/**': ['read', 'write'] }, ['access']));
    create({ roles: ['granter'] });
  });

  it('grants what he does not have, by a token or by a policy', () => {
    const by = token(ID);
    expect(codes(create({ id: OTHER_ID, roles: ['admin'] }, by))).toEqual(['PERMISSION_DENIED']);
    expect(codes(create({ id: OTHER_ID, roles: ['granter', 'viewer'] }, by))).toEqual(['PERMISSION_DENIED']);
    expect(codes(putPolicy(policy('more', { 'a/**': ['delete'] }), by))).toEqual(['PERMISSION_DENIED']);
    expect(codes(putPolicy(policy('granter', { '**': ['read', 'write'] }, ['access']), by))).toEqual([
      'PERMISSION_DENIED',
    ]);
    expect(codes(putPolicy(policy('less', { 'a/b': ['read'] }), by))).toEqual(['none']);
    expect(codes(create({ id: OTHER_ID, roles: ['less', 'granter'] }, by))).toEqual(['none']);
  });

  it('revokes a token that may do more, be it past its time', () => {
    const by = token(ID);
    create({ id: OTHER_ID, roles: ['admin'], ttlMs: 1_000 });
    const revoke = (id: string, who?: Principal) => apply({ revokeAccessToken: { id } }, who);
    expect(revoke(OTHER_ID, by)?.failure).toMatchObject({ code: 'PERMISSION_DENIED', field: 'role' });
    rig.timeMs += 1_000;
    expect(codes(revoke(OTHER_ID, by), revoke('00000000000000a9', by))).toEqual([
      'PERMISSION_DENIED',
      'NOT_FOUND',
    ]);
    expect(rig.store.access.tokens).toHaveLength(2);
    expect(codes(revoke(OTHER_ID))).toEqual(['none']);
    putPolicy(policy('less', { 'a/b': ['read'] }));
    create({ id: OTHER_ID, roles: ['less'] });
    expect(codes(revoke(OTHER_ID, by))).toEqual(['none']);
  });

  it('is kept from revoking the own token, whatever its roles take from each other', () => {
    putPolicy(policy('denial', { 'a/b/**': [] }));
    const ids = [OTHER_ID, '00000000000000a3'];
    for (const id of ids) create({ id, roles: ['granter', 'denial'] });
    const outcomes = ids.toReversed().map((id) => apply({ revokeAccessToken: { id } }, token(OTHER_ID)));
    expect(codes(...outcomes)).toEqual(['PERMISSION_DENIED', 'none']);
  });

  it('gains by taking a denial away that stands beside other roles', () => {
    const by = token(ID);
    putPolicy(policy('denial', { 'z/**': [] }));
    create({ id: OTHER_ID, roles: ['viewer', 'denial'] });
    expect(codes(putPolicy(policy('denial', {}), by))).toEqual(['PERMISSION_DENIED']);
    expect(codes(deletePolicy('denial', by))).toEqual(['IN_USE']);
    expect(codes(write('z/x', token(OTHER_ID)))).toEqual(['PERMISSION_DENIED']);
  });

  it('touches what every cluster has', () => {
    expect(putPolicy(policy('admin', {}))?.failure).toMatchObject({
      code: 'INVALID_ARGUMENT',
      field: 'role',
    });
    expect(deletePolicy('viewer')?.failure).toMatchObject({ code: 'INVALID_ARGUMENT', field: 'role' });
  });

  it('without the right to administer access changes it', () => {
    create({ id: OTHER_ID, roles: ['operator'] });
    const by = token(OTHER_ID);
    const outcomes = [
      putPolicy(policy('x', {}), by),
      deletePolicy('granter', by),
      create({ id: '00000000000000a3', roles: ['operator'] }, by),
      apply({ revokeAccessToken: { id: ID } }, by),
    ];
    expect(codes(...outcomes)).toEqual(Array.from(outcomes, () => 'PERMISSION_DENIED'));
  });
});

describe('policies and tokens', () => {
  it('are there after a restart, with the same digest', async () => {
    putPolicy(policy('apps', { 'apps/**': ['write'], 'apps/x': [] }, ['audit']));
    create({ roles: ['apps', 'viewer'], ttlMs: 5_000 });
    const { policies, tokens } = rig.store.access;
    await rig.reopen();
    expect(rig.store.access.policies).toEqual(policies);
    expect(rig.store.access.tokens).toEqual(tokens);
    expect(codes(write('apps/y', token(ID)), write('apps/x', token(ID)))).toEqual([
      'none',
      'PERMISSION_DENIED',
    ]);
    rig.timeMs += 5_000;
    expect(codes(write('apps/y', token(ID)))).toEqual(['UNAUTHENTICATED']);
  });

  it('are no longer than an answer that holds them all allows', () => {
    const most = LIMITS.policyBytesMax;
    const longest = Math.floor(most / 903);
    const path = (at: number, bytes: number) => `${at}/`.padEnd(bytes, 'x');
    const of = (more: number) =>
      policy('apps', {
        ...Object.fromEntries(Array.from({ length: longest }, (_, at) => [path(at, 891), ['list']])),
        [path(longest, more)]: ['list'],
      });
    const encodedBytes = (wanted: Policy) =>
      policyRowCodec.encode({ policy: wanted, changedMs: 0 }).length - ROW_BYTES;
    const room = most - encodedBytes(of(500)) + 500;
    expect(encodedBytes(of(room))).toBe(most);
    expect(codes(putPolicy(of(room)))).toEqual(['none']);
    const { digest } = rig.store;
    expect(putPolicy(of(room + 1))?.failure).toMatchObject({ code: 'TOO_LARGE', field: 'policy' });
    expect(rig.store.digest).toEqual(digest);
  });

  it('are few', () => {
    for (let at = 0; at < LIMITS.policiesMax; at += 1) putPolicy(policy(`r${at}`, {}));
    expect(codes(putPolicy(policy('more', {})), putPolicy(policy('r0', { a: ['read'] })))).toEqual([
      'OVERLOADED',
      'none',
    ]);
    expect(codes(deletePolicy('r0'), putPolicy(policy('more', {})), deletePolicy('r0'))).toEqual([
      'none',
      'none',
      'NOT_FOUND',
    ]);
  });

  it.each<[string, Policy, string]>([
    ['a name with capitals', policy('Apps', {}), 'role'],
    ['no name', policy('', {}), 'role'],
    ['a path that is none', policy('apps', { 'a**': ['read'] }), 'rules[0].path'],
    [
      'too many rules',
      policy('apps', Object.fromEntries(Array.from({ length: 1_001 }, (_, at) => [`a${at}`, ['read']]))),
      'rules',
    ],
    [
      'too many words',
      policy('apps', { a: Array.from({ length: 17 }, () => 'read') }),
      'rules[0].capabilities',
    ],
  ])('are refused with %s', (_what, wanted, field) => {
    expect(putPolicy(wanted)?.failure).toMatchObject({ code: 'INVALID_ARGUMENT', field });
  });

  it('have no more rules together than can be gone over, however they come together', () => {
    const half = (role: string, count: number) =>
      policy(role, Object.fromEntries(Array.from({ length: count }, (_, at) => [`${role}/${at}`, ['read']])));
    const roles = ['r1', 'r2', 'r3', 'r4'];
    for (const role of roles) expect(codes(putPolicy(half(role, 1_000)))).toEqual(['none']);
    putPolicy(half('one', 1));
    const tooMany = { code: 'INVALID_ARGUMENT', field: 'roles' };
    expect(create({ roles: [...roles, 'one'] })?.failure).toMatchObject(tooMany);
    expect(codes(create({ roles: [...roles, 'r1'] }))).toEqual(['none']);
    const user = (given: readonly string[]) =>
      apply({ createUser: { name: 'ada', passwordHash: '$x', roles: given } });
    expect(user([...roles, 'one'])?.failure).toMatchObject(tooMany);
    expect(codes(user(['r1', 'r2', 'r3', 'one']))).toEqual(['none']);
    const setRoles = apply({ setUserRoles: { name: 'ada', roles: [...roles, 'one'] } });
    expect(setRoles?.failure).toMatchObject(tooMany);
    const grown = { code: 'INVALID_ARGUMENT', field: 'rules' };
    expect(codes(putPolicy(half('one', 1_000)))).toEqual(['none']);
    expect(codes(create({ id: OTHER_ID, roles: ['viewer', 'r1', 'r2', 'r3'] }))).toEqual(['none']);
    putPolicy(half('small', 998));
    expect(codes(create({ id: '00000000000000a3', roles: ['viewer', 'r1', 'r2', 'r3', 'small'] }))).toEqual([
      'none',
    ]);
    const { digest } = rig.store;
    expect(putPolicy(half('small', 999))?.failure).toMatchObject(grown);
    expect(rig.store.digest).toEqual(digest);
  });

  it('say which rule decides', () => {
    putPolicy(policy('apps', { 'apps/**': ['write'], 'apps/x': [] }));
    create({ roles: ['apps', 'viewer'] });
    const explain = (what: string, name: string | null, who = ID) =>
      rig.store.access.explain({ who, what, name });
    expect(explain('write', 'apps/y')).toEqual({
      allowed: true,
      pattern: 'apps/**',
      roles: ['apps'],
      capabilities: ['write'],
    });
    expect(explain('write', 'apps/x')).toEqual({
      allowed: false,
      pattern: 'apps/x',
      roles: ['apps'],
      capabilities: [],
    });
    expect(explain('read', 'y')).toMatchObject({ allowed: true, pattern: '**', roles: ['viewer'] });
    expect(explain('keys', null, 'operator')).toEqual({
      allowed: true,
      pattern: '',
      roles: ['operator'],
      capabilities: [],
    });
    expect(explain('keys', null)).toMatchObject({ allowed: false, roles: [] });
    expect(explain('read', 'y', 'apps')).toEqual({
      allowed: false,
      pattern: '',
      roles: [],
      capabilities: [],
    });
    expect(() => explain('read', 'y', 'nobody')).toThrow('there is no role nobody');
  });
});
