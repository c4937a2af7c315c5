import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { present } from '../../src/base/assert.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { Command, Outcome, Principal } from '../../src/proto/storage.ts';
import { codeOf, command, NODE, put, StoreRig, sealerOf, transaction } from './storeRig.ts';

const SESSION = '00000000000000b1';
const OTHER_SESSION = '00000000000000b2';
const HASH = '$scrypt$1';
const OTHER_HASH = '$scrypt$2';

let rig: StoreRig;
beforeEach(async () => {
  rig = await StoreRig.create();
});
afterEach(() => rig.destroy());

const apply = (body: Omit<Partial<Command>, 'origin' | 'sequence'>, by?: Principal): Outcome | undefined =>
  rig.apply(command(body, by))[0];
const users = () => rig.store.access.users;
const generation = (name: string): number => present(users().get(name), name).generation;
/** Whoever has logged in with the password that this user has now. */
const as = (name: string, session = SESSION): Principal => ({
  kind: 'user',
  name,
  address: '127.0.0.1:3',
  generation: users().get(name)?.generation ?? 0,
  session,
});
const create = (name: string, roles: readonly string[] = ['admin'], by?: Principal) =>
  apply({ createUser: { name, passwordHash: HASH, roles } }, by);
const remove = (name: string, by?: Principal) => apply({ deleteUser: { name } }, by);
const setRoles = (name: string, roles: readonly string[], by?: Principal) =>
  apply({ setUserRoles: { name, roles } }, by);
const setPassword = (name: string, shownGeneration = 0, by?: Principal) =>
  apply({ setPassword: { name, passwordHash: OTHER_HASH, shownGeneration } }, by);
const write = (by: Principal) => apply({ transaction: transaction(put('x')) }, by);
const putPolicy = (role: string, rules: Record<string, string[]>, admin: string[] = []) =>
  apply({
    putPolicy: {
      policy: {
        role,
        rules: Object.entries(rules).map(([path, capabilities]) => ({ path, capabilities })),
        admin,
      },
    },
  });
const codes = (...outcomes: readonly (Outcome | undefined)[]) => outcomes.map((outcome) => codeOf(outcome));

describe('a session', () => {
  it('may have done what the roles of its user allow', () => {
    create('ada', ['viewer']);
    expect(codes(write(as('ada')))).toEqual(['PERMISSION_DENIED']);
    expect(codes(setRoles('ada', ['deployer']), write(as('ada')))).toEqual(['none', 'none']);
  });

  it.each<[string, () => Partial<Principal>]>([
    ['no user', () => ({ name: 'nobody' })],
    ['a name of a prototype', () => ({ name: 'constructor' })],
    ['another password', () => ({ generation: generation('ada') + 1 })],
    ['no password', () => ({ generation: 0 })],
    ['no session', () => ({ session: '' })],
  ])('of %s is nobody', (_what, other) => {
    create('ada');
    expect(codes(write(as('ada')))).toEqual(['none']);
    expect(write({ ...as('ada'), ...other() })?.failure).toMatchObject({
      code: 'UNAUTHENTICATED',
      message: 'the access token or the session is unknown, ended or past its time',
    });
  });

  it('is over when its user is deleted, also when another one gets his name', () => {
    create('ada');
    create('bob');
    const before = as('bob');
    expect(codes(remove('bob'), write(before))).toEqual(['none', 'UNAUTHENTICATED']);
    create('bob');
    expect(codes(write(before), write(as('bob')))).toEqual(['UNAUTHENTICATED', 'none']);
  });

  it('is over when the password is another one, whoever has set it', () => {
    create('ada');
    create('bob');
    const [first, bob] = [as('ada'), as('bob')];
    expect(codes(setPassword('ada', generation('ada'), first), write(first))).toEqual([
      'none',
      'UNAUTHENTICATED',
    ]);
    const second = as('ada');
    expect(codes(setPassword('ada', 0, bob), write(second), write(as('ada')))).toEqual([
      'none',
      'UNAUTHENTICATED',
      'none',
    ]);
  });

  it('is over when it was ended, and no other one with it', () => {
    create('ada');
    expect(codes(apply({ endSession: {} }, as('ada')), write(as('ada')))).toEqual([
      'none',
      'UNAUTHENTICATED',
    ]);
    expect(codes(write(as('ada', OTHER_SESSION)))).toEqual(['none']);
  });

  it('is over with all others when too many were ended lately; older ones are forgotten', () => {
    create('ada');
    const end = (at: number) => apply({ endSession: {} }, as('ada', at.toString(16).padStart(16, '0')));
    for (let at = 0; at < LIMITS.endedSessionsMax; at += 1) end(at + 1);
    const last = as('ada', OTHER_SESSION);
    rig.timeMs += LIMITS.sessionMs + LIMITS.sessionLeewayMs + LIMITS.sessionEndedSpareMs;
    end(1_000);
    expect(users().get('ada')?.ended).toHaveLength(1);
    expect(codes(write(last))).toEqual(['none']);
    for (let at = 0; at < LIMITS.endedSessionsMax; at += 1) end(at + 2_000);
    expect(users().get('ada')?.ended).toEqual([]);
    expect(codes(write(last), write(as('ada')))).toEqual(['UNAUTHENTICATED', 'none']);
  });

  it('is of users only', () => {
    expect(codes(apply({ endSession: {} }), apply({ login: { passwordHash: '' } }))).toEqual([
      'PERMISSION_DENIED',
      'PERMISSION_DENIED',
    ]);
  });
});

describe('a login', () => {
  it('keeps the password at a higher cost, with all sessions', () => {
    create('ada');
    const before = as('ada', OTHER_SESSION);
    expect(codes(apply({ login: { passwordHash: OTHER_HASH } }, as('ada')))).toEqual(['none']);
    expect(users().get('ada')?.passwordHash).toBe(OTHER_HASH);
    expect(codes(write(before))).toEqual(['none']);
    expect(codes(apply({ login: { passwordHash: '' } }, as('ada')))).toEqual(['none']);
    expect(users().get('ada')?.passwordHash).toBe(OTHER_HASH);
  });

  it('with a password that was changed meanwhile is none', () => {
    create('ada');
    const before = as('ada');
    setPassword('ada');
    expect(codes(apply({ login: { passwordHash: HASH } }, before))).toEqual(['UNAUTHENTICATED']);
    expect(users().get('ada')?.passwordHash).toBe(OTHER_HASH);
  });
});

describe('a password', () => {
  it('of his own nobody sets who does not show it, an administrator neither', () => {
    create('ada');
    expect(codes(setPassword('ada', 0, as('ada')))).toEqual(['PERMISSION_DENIED']);
    expect(codes(setPassword('ada', generation('ada') + 1, as('ada')))).toEqual(['UNAUTHENTICATED']);
    expect(codes(setPassword('ada', generation('ada'), as('ada')))).toEqual(['none']);
  });

  it('of another one is set by who administers access, and is not called his own', () => {
    create('ada');
    create('bob', ['viewer']);
    create('eve', ['viewer']);
    expect(codes(setPassword('bob', 0, as('eve')))).toEqual(['PERMISSION_DENIED']);
    expect(codes(setPassword('bob', generation('bob'), as('eve')))).toEqual(['PERMISSION_DENIED']);
    expect(codes(setPassword('bob', generation('bob'), as('ada')))).toEqual(['PERMISSION_DENIED']);
    expect(codes(setPassword('bob', 0, as('ada')))).toEqual(['none']);
    expect(codes(setPassword('nobody'))).toEqual(['NOT_FOUND']);
  });
});

describe('nobody', () => {
  beforeEach(() => {
    putPolicy('granter', { 'a/**': ['read'] }, ['access']);
    putPolicy('less', { 'a/b': ['read'] });
    create('root');
    create('ada', ['granter']);
  });

  it('grants what he does not have, himself neither', () => {
    const by = as('ada');
    expect(codes(create('bob', ['admin'], by), create('bob', ['less', 'viewer'], by))).toEqual([
      'PERMISSION_DENIED',
      'PERMISSION_DENIED',
    ]);
    expect(codes(setRoles('ada', ['granter', 'admin'], by), setRoles('ada', ['admin'], by))).toEqual([
      'PERMISSION_DENIED',
      'PERMISSION_DENIED',
    ]);
    expect(codes(create('bob', ['less'], by), setRoles('bob', ['granter'], by))).toEqual(['none', 'none']);
  });

  it('comes to be who may do more: by his password or by his roles', () => {
    expect(codes(setPassword('root', 0, as('ada')))).toEqual(['PERMISSION_DENIED']);
    create('eve', ['operator']);
    expect(codes(setPassword('eve', 0, as('ada')), setRoles('eve', ['less'], as('ada')))).toEqual([
      'PERMISSION_DENIED',
      'PERMISSION_DENIED',
    ]);
  });

  it('deletes who may do more, and takes his name', () => {
    create('eve', ['operator']);
    create('bob', ['less']);
    const by = as('ada');
    const before = users().all;
    expect(remove('root', by)?.failure).toMatchObject({ code: 'PERMISSION_DENIED', field: 'role' });
    expect(codes(remove('eve', by), create('eve', ['less'], by))).toEqual([
      'PERMISSION_DENIED',
      'INVALID_ARGUMENT',
    ]);
    expect(users().all).toEqual(before);
    expect(codes(remove('nobody', by), remove('bob', by), create('bob', ['less'], by))).toEqual([
      'NOT_FOUND',
      'none',
      'none',
    ]);
  });

  it('is kept from deleting himself, whatever his roles take from each other', () => {
    putPolicy('denial', { 'a/b/**': [] });
    create('eve', ['granter', 'denial']);
    create('bob', ['granter', 'denial']);
    expect(codes(remove('bob', as('eve')), remove('eve', as('eve')))).toEqual(['PERMISSION_DENIED', 'none']);
    // A token of that name is somebody else.
    expect(codes(remove('bob', { kind: 'token', name: 'bob', address: '' }))).toEqual(['UNAUTHENTICATED']);
  });

  it('without the right to administer access changes a user', () => {
    create('eve', ['operator']);
    const by = as('eve');
    const outcomes = [
      create('x', ['viewer'], by),
      remove('ada', by),
      setRoles('eve', ['viewer'], by),
      setPassword('ada', 0, by),
      apply({ resetAdmin: { id: SESSION, passwordHash: HASH } }, by),
      apply({ resetAdmin: { id: SESSION, passwordHash: HASH } }),
    ];
    expect(codes(...outcomes)).toEqual(Array.from(outcomes, () => 'PERMISSION_DENIED'));
  });

  it('takes a denial away from a user beside his other roles', () => {
    putPolicy('denial', { 'z/**': [] });
    create('eve', ['viewer', 'denial']);
    const by = as('ada');
    const policy = { role: 'denial', rules: [], admin: [] };
    expect(codes(apply({ putPolicy: { policy } }, by))).toEqual(['PERMISSION_DENIED']);
    expect(codes(apply({ deletePolicy: { role: 'denial' } }, by), setRoles('eve', ['viewer'], by))).toEqual([
      'IN_USE',
      'PERMISSION_DENIED',
    ]);
  });
});

describe('the last administrator', () => {
  it('stays one (I52)', () => {
    create('root');
    create('eve', ['operator']);
    expect(codes(remove('root'), setRoles('root', ['operator']))).toEqual(['IN_USE', 'IN_USE']);
    expect(codes(setRoles('root', ['admin', 'viewer']))).toEqual(['none']);
    expect(codes(setRoles('eve', ['admin']), remove('root'), remove('eve'))).toEqual([
      'none',
      'none',
      'IN_USE',
    ]);
  });

  it('is made by who holds the control key, once for each request', () => {
    const reset = (id: string, passwordHash = HASH) => apply({ resetAdmin: { id, passwordHash } }, NODE);
    expect(codes(reset(SESSION))).toEqual(['none']);
    expect(users().get('admin')).toMatchObject({ roles: ['admin'], passwordHash: HASH });
    create('eve');
    setRoles('admin', ['viewer']);
    setPassword('admin');
    const changed = users().get('admin');
    const before = as('admin');
    expect(codes(reset(SESSION))).toEqual(['none']);
    expect(users().get('admin')).toEqual(changed);
    expect(codes(reset(OTHER_SESSION), write(before))).toEqual(['none', 'UNAUTHENTICATED']);
    expect(users().get('admin')).toMatchObject({ roles: ['admin'], passwordHash: HASH });
  });
});

describe('a reset of the administrator', () => {
  const reset = (id: string) => apply({ resetAdmin: { id, passwordHash: HASH } }, NODE);
  const idOf = (at: number) => at.toString(16).padStart(16, '0');
  const records = async () =>
    (await rig.auditRecords()).filter(({ action }) => action === 'user.reset').map(({ detail }) => detail);

  it('that is repeated says so, changes nothing and leaves no second record', async () => {
    reset(SESSION);
    const { digest } = rig.store;
    expect(reset(SESSION)).toEqual({ done: {}, replayed: true });
    expect(rig.store.digest).toEqual(digest);
    expect(await records()).toEqual([SESSION]);
  });

  it('is known after others, when the user was deleted, and after a restart', async () => {
    create('eve');
    for (let at = 0; at < LIMITS.adminResetsRemembered; at += 1) reset(idOf(at));
    remove('admin');
    await rig.reopen();
    expect(reset(idOf(0))).toMatchObject({ replayed: true });
    expect(users().get('admin')).toBeNull();
    reset(SESSION);
    expect(reset(idOf(1))).toMatchObject({ replayed: true });
    // The oldest one makes room.
    expect(reset(idOf(0))).toMatchObject({ replayed: false });
    expect(await records()).toHaveLength(LIMITS.adminResetsRemembered + 2);
  });

  it('that was turned down is not known', () => {
    expect(codes(apply({ resetAdmin: { id: SESSION, passwordHash: HASH } }))).toEqual(['PERMISSION_DENIED']);
    expect(reset(SESSION)).toMatchObject({ replayed: false });
  });
});

describe('users', () => {
  it('are there after a restart, with the same digest', async () => {
    create('ada');
    create('bob', ['viewer']);
    apply({ endSession: {} }, as('ada'));
    apply({ resetAdmin: { id: SESSION, passwordHash: HASH } }, NODE);
    const { all } = users();
    await rig.reopen();
    expect(users().all).toEqual(all);
    expect(codes(write(as('ada')), write(as('ada', OTHER_SESSION)))).toEqual(['UNAUTHENTICATED', 'none']);
    expect(users().all.map(({ name }) => name)).toEqual(['ada', 'admin', 'bob']);
  });

  it('are never readable on disk, whatever the setting', async () => {
    const readable = await StoreRig.create({ sealer: sealerOf('off') });
    const roles = ['viewer'];
    readable.apply(command({ createUser: { name: 'ada', passwordHash: '$hash-of-ada', roles } }));
    readable.run(put('name-of-a-key'));
    await readable.store.flushed();
    const isFound = (wanted: string) =>
      readdirSync(readable.directory, { recursive: true, encoding: 'utf8' })
        .map((name) => join(readable.directory, name))
        .filter((path) => statSync(path).isFile())
        .some((path) => readFileSync(path, 'latin1').includes(wanted));
    const keyInBase64 = Buffer.from('name-of-a-key').toString('base64');
    expect([isFound('hash-of-ada'), isFound('name-of-a-key') || isFound(keyInBase64)]).toEqual([false, true]);
    await readable.destroy();
  });

  it.each<[string, string, readonly string[], string, string]>([
    ['the name of another', 'ada', ['viewer'], 'INVALID_ARGUMENT', 'name'],
    ['the name __proto__', '__proto__', ['viewer'], 'INVALID_ARGUMENT', 'name'],
    ['no name', '', ['viewer'], 'INVALID_ARGUMENT', 'name'],
    ['capitals', 'Ada', ['viewer'], 'INVALID_ARGUMENT', 'name'],
    ['no role', 'bob', [], 'INVALID_ARGUMENT', 'roles'],
    ['a role that there is not', 'bob', ['viewer', 'nobody'], 'NOT_FOUND', 'role'],
    ['a role of a prototype', 'bob', ['constructor'], 'NOT_FOUND', 'role'],
  ])('are refused with %s', (_what, name, roles, code, field) => {
    create('ada');
    const { digest } = rig.store;
    expect(create(name, roles)?.failure).toMatchObject({ code, field });
    if (name === 'bob') expect(setRoles('ada', roles)?.failure).toMatchObject({ code, field });
    expect(rig.store.digest).toEqual(digest);
  });

  it.each(['', 'plain', `$${'x'.repeat(256)}`])('are refused with the hash %j', (passwordHash) => {
    const outcome = apply({ createUser: { name: 'ada', passwordHash, roles: ['viewer'] } });
    expect(outcome?.failure?.field).toBe('password_hash');
  });

  it('keep the policies of their roles (I50)', () => {
    putPolicy('own', {});
    create('ada', ['own']);
    expect(codes(apply({ deletePolicy: { role: 'own' } }))).toEqual(['IN_USE']);
    expect(codes(remove('ada'), apply({ deletePolicy: { role: 'own' } }))).toEqual(['none', 'none']);
  });

  it('are asked about by name, where no role has it', () => {
    create('viewer', ['operator']);
    create('ada', ['operator']);
    const explain = (who: string) => rig.store.access.explain({ who, what: 'keys', name: null }).allowed;
    expect([explain('ada'), explain('viewer'), explain('user:viewer')]).toEqual([true, false, true]);
    expect(() => explain('user:nobody')).toThrow('there is no role user:nobody');
  });
});
