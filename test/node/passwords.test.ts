import { beforeEach, describe, expect, it } from 'vitest';
import { hashPassword, PASSWORD_COST } from '../../src/access/password.ts';
import { ALL_RIGHTS } from '../../src/access/policy/rights.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Passwords } from '../../src/node/passwords.ts';
import { Access } from '../../src/store/access.ts';
import { RowChanges } from '../../src/store/rowChanges.ts';

const RIGHT = 'a right password';
const random = new SeededRandom(1);
const WRONG = { code: 'UNAUTHENTICATED', message: 'the user or the password is wrong' };

let access: Access;
let passwords: Passwords;
let read: () => Promise<void>;
beforeEach(() => {
  access = new Access(new RowChanges());
  read = () => Promise.resolve();
  const clock = new ManualClock();
  passwords = new Passwords({ store: { access }, read: { linearizable: () => read() }, clock, random });
});

async function create(name: string, cost = PASSWORD_COST): Promise<void> {
  const principal = { kind: 'client', name: 'admin', address: '' };
  const at = { number: 1, sub: 0, timeMs: 100, rights: ALL_RIGHTS, principal };
  const passwordHash = await hashPassword(Buffer.from(RIGHT), { random, cost });
  access.users.create({ name, passwordHash, roles: ['viewer'] }, at);
}

const verify = (name: string, password = Buffer.from(RIGHT)) =>
  passwords.verify({ name, password, address: '192.0.2.1:1' }, 7);

describe('a password that is shown', () => {
  it('is right for its user, and wiped once it was looked at, whatever it was', async () => {
    await create('ada');
    const [right, wrong, ofNobody] = [RIGHT, 'a wrong password', RIGHT].map((text) => Buffer.from(text));
    expect(await verify('ada', right)).toMatchObject({ user: { name: 'ada' }, rehashed: '' });
    await expect(verify('ada', wrong)).rejects.toMatchObject(WRONG);
    await expect(verify('nobody', ofNobody)).rejects.toMatchObject(WRONG);
    for (const bytes of [right, wrong, ofNobody]) expect(bytes?.every((byte) => byte === 0)).toBe(true);
  });

  it('is hashed anew where it was at a lower cost', async () => {
    await create('ada', { ...PASSWORD_COST, logN: PASSWORD_COST.logN - 5 });
    const { user, rehashed } = await verify('ada');
    expect(user.passwordHash).not.toContain(`ln=${PASSWORD_COST.logN},`);
    expect(rehashed).toContain(`$scrypt$ln=${PASSWORD_COST.logN},`);
  });

  it('is looked at once this node has caught up', async () => {
    read = () => create('ada');
    expect(await verify('ada')).toMatchObject({ user: { name: 'ada' } });
  });

  it('counts as wrong only when it was looked at', async () => {
    await create('ada');
    read = () => Promise.reject(new HoldfastError('NO_LEADER', 'no leader'));
    for (let at = 0; at < 2 * LIMITS.loginFailuresFree; at += 1)
      await expect(verify('ada')).rejects.toMatchObject({ code: 'NO_LEADER' });
    read = () => Promise.resolve();
    for (let at = 0; at < LIMITS.loginFailuresFree; at += 1)
      await expect(verify('ada', Buffer.from('a wrong password'))).rejects.toMatchObject(WRONG);
    await expect(verify('ada')).rejects.toMatchObject({ code: 'OVERLOADED' });
  });

  it('counts as wrong while it is looked at, so that many at once are none the better', async () => {
    await create('ada');
    const tries = Array.from({ length: 2 * LIMITS.loginFailuresFree }, () =>
      verify('ada', Buffer.from('a wrong password')).catch((thrown: HoldfastError) => thrown.code),
    );
    const codes = await Promise.all(tries);
    expect(codes.filter((code) => code === 'UNAUTHENTICATED')).toHaveLength(LIMITS.loginFailuresFree);
  });
});
