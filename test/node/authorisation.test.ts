import { createSecretKey, type KeyObject } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { createAccessToken } from '../../src/access/accessToken.ts';
import { decide } from '../../src/access/policy/decide.ts';
import { denied } from '../../src/access/policy/decision.ts';
import { ALL_RIGHTS } from '../../src/access/policy/rights.ts';
import type { Session } from '../../src/access/session.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Authorisation } from '../../src/node/authorisation.ts';
import type { Denial } from '../../src/node/denials.ts';
import type { Principal } from '../../src/proto/storage.ts';
import { Access } from '../../src/store/access.ts';
import { RowChanges } from '../../src/store/rowChanges.ts';

const made = createAccessToken(new SeededRandom(1));
const principal: Principal = { kind: 'token', name: made.id, address: '' };
const caller = { principal, deadlineMs: 7 };
const SHOWN = { address: '10.0.0.1:9', deadlineMs: 7 };
const ATTEMPT = { action: 'kv.compact', name: 'x', detail: '' } as const;
const COMPACT = { kind: 'compact', revision: 1 } as const;

let access: Access;
let deadlines: number[];
/** What a signed token says; null: it is none. */
let session: Session | null;
/** What this node has not applied yet: it has, once it has caught up. */
let ahead: () => void;
let caughtUp: Promise<void>;
let authorisation: Authorisation;
let noted: Denial[];
let used: string[];
let keyInForce: KeyObject;
let nowMs: number;
beforeEach(() => {
  access = new Access(new RowChanges());
  deadlines = [];
  session = null;
  const verify = () => Promise.resolve(session);
  ahead = () => undefined;
  caughtUp = Promise.resolve();
  const linearizable = (deadlineMs: number): Promise<void> => {
    deadlines.push(deadlineMs);
    ahead();
    return caughtUp;
  };
  nowMs = 100;
  noted = [];
  keyInForce = createSecretKey(Buffer.alloc(32, 1));
  const denials = { note: (denial: Denial) => void noted.push(denial) };
  const sessions = { verify, keyInForce: () => keyInForce };
  used = [];
  const tokenUses = { note: (id: string, address: string) => void used.push(`${id} ${address}`) };
  const read = { linearizable };
  authorisation = new Authorisation({
    store: { access },
    nowMs: () => nowMs,
    read,
    sessions,
    denials,
    tokenUses,
  });
});

const ADMIN: Principal = { kind: 'client', name: 'admin', address: '' };
const BY_ADMIN = { number: 1, sub: 0, timeMs: 100, rights: ALL_RIGHTS, principal: ADMIN };

function create(role: string, ttlMs = 0): void {
  const { id, secretHash } = made;
  access.createToken({ id, secretHash, description: '', roles: [role], ttlMs }, BY_ADMIN);
}

const compacts = () => authorisation.require(caller, ATTEMPT, (asker) => decide(asker, COMPACT));

describe('a token', () => {
  it('that is known here is taken at once', async () => {
    create('viewer');
    expect(await authorisation.holderOf(made.text, SHOWN)).toEqual({
      principal: { kind: 'token', name: made.id },
    });
    expect(deadlines).toEqual([]);
    expect(used).toEqual([`${made.id} ${SHOWN.address}`]);
  });

  it('that was made elsewhere a moment ago is taken, once this node has caught up', async () => {
    ahead = () => create('viewer');
    expect(await authorisation.holderOf(made.text, SHOWN)).toEqual({
      principal: { kind: 'token', name: made.id },
    });
    expect(deadlines).toEqual([7]);
  });

  it('is over at its end, also while no entry comes that says so', async () => {
    create('viewer', 50);
    nowMs = 149;
    expect(authorisation.isKnown(principal)).toBe(true);
    await authorisation.holderOf(made.text, SHOWN);
    nowMs = 150;
    expect(authorisation.isKnown(principal)).toBe(false);
    await expect(authorisation.holderOf(made.text, SHOWN)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('that is not known here waits with few others, and one that is known does not wait for them', async () => {
    create('viewer');
    let catchUp = (): void => undefined;
    caughtUp = new Promise((resolve) => {
      catchUp = resolve;
    });
    const other = createAccessToken(new SeededRandom(2)).text;
    const asked = Array.from({ length: LIMITS.unknownTokensMax }, () => authorisation.holderOf(other, SHOWN));
    await expect(authorisation.holderOf(other, SHOWN)).rejects.toMatchObject({ code: 'OVERLOADED' });
    await authorisation.holderOf(made.text, SHOWN);
    expect(deadlines).toHaveLength(asked.length);
    const settled = Promise.allSettled(asked);
    catchUp();
    expect(new Set((await settled).map(({ status }) => status))).toEqual(new Set(['rejected']));
    await expect(authorisation.holderOf(other, SHOWN)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
  });

  it('that there is not, or has another secret, is refused with the same words', async () => {
    create('viewer');
    const other = createAccessToken(new SeededRandom(2)).text;
    const unchecked = `hft_${made.id}_${other.split('_').slice(2).join('_')}`;
    for (const text of [other, unchecked, 'hft_', '']) {
      await expect(authorisation.holderOf(text, SHOWN)).rejects.toMatchObject({
        code: 'UNAUTHENTICATED',
        message: 'the access token or the session is unknown, ended or past its time',
      });
    }
    expect(noted.map(({ principal: { name, address } }) => [name, address])).toEqual(
      [other.slice(4, 20), 'unreadable', 'unreadable', 'unreadable'].map((name) => [name, SHOWN.address]),
    );
  });
});

describe('a principal is proved', () => {
  const shownBy = async (text: string): Promise<boolean | undefined> => {
    await expect(authorisation.holderOf(text, SHOWN)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    return noted.at(-1)?.proved;
  };

  it('by the secret of his token, be it past its time, and not by its id', async () => {
    create('viewer', 50);
    nowMs = 150;
    const secret = createAccessToken(new SeededRandom(2)).text.slice(21, 64);
    const body = `hft_${made.id}_${secret}`;
    const wrong = `${body}_${crc32(body).toString(16).padStart(8, '0')}`;
    expect([await shownBy(made.text), await shownBy(wrong)]).toEqual([true, false]);
    expect(noted.map(({ principal: { name } }) => name)).toEqual([made.id, made.id]);
  });

  it('not by a session that is over', async () => {
    session = { user: 'ada', generation: 3, session: '00000000000000b1', expiresMs: 9 };
    expect([await shownBy('a.b.c'), noted[0]?.principal.name]).toEqual([false, 'ada']);
  });
});

describe('a session', () => {
  const shown = { user: 'ada', generation: 3, session: '00000000000000b1', expiresMs: 9 };
  const createUser = (): void => {
    const at = { number: 3, sub: 0, timeMs: 100, rights: ALL_RIGHTS, principal };
    access.users.create({ name: 'ada', passwordHash: '$', roles: ['viewer'] }, at);
  };

  it('is good where its user is known here, or once this node has caught up', async () => {
    session = shown;
    ahead = createUser;
    const { expiresMs: sessionEndMs, user: name, ...rest } = shown;
    const isInForce = expect.any(Function) as () => boolean;
    const holder = { principal: { kind: 'user', name, ...rest }, sessionEndMs, isInForce };
    expect(await authorisation.holderOf('a.b.c', SHOWN)).toEqual(holder);
    expect(await authorisation.holderOf('a.b.c', SHOWN)).toEqual(holder);
    expect(deadlines).toEqual([7]);
  });

  it('is over when it is signed by what is in force no more', async () => {
    session = shown;
    createUser();
    const { isInForce } = await authorisation.holderOf('a.b.c', SHOWN);
    expect(isInForce?.()).toBe(true);
    keyInForce = createSecretKey(Buffer.alloc(32, 2));
    expect(isInForce?.()).toBe(false);
  });

  it('that is another one than the state knows is refused, once this node has caught up', async () => {
    createUser();
    for (const other of [{ user: 'bob' }, { generation: 2 }, { session: '' }]) {
      session = { ...shown, ...other };
      await expect(authorisation.holderOf('a.b.c', SHOWN)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    }
    expect(deadlines).toEqual([7, 7, 7]);
  });
});

describe('a command', () => {
  it('that is allowed here is let in at once', async () => {
    create('operator');
    await compacts();
    expect(deadlines).toEqual([]);
  });

  it('that was allowed elsewhere a moment ago is let in, once this node has caught up', async () => {
    create('viewer');
    ahead = () => {
      access.revokeToken(made.id, BY_ADMIN);
      create('operator');
    };
    await compacts();
    expect(deadlines).toEqual([7]);
  });

  it('that is not allowed is refused, once this node has caught up', async () => {
    create('viewer');
    await expect(compacts()).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(deadlines).toEqual([7]);
    const resource = Buffer.from('x');
    expect(noted).toEqual([
      { principal, action: 'kv.compact', resource, code: 'PERMISSION_DENIED', detail: '', proved: true },
    ]);
  });

  it('that cannot be judged is not denied', async () => {
    create('operator');
    caughtUp = Promise.reject(new HoldfastError('NO_LEADER', 'no leader is known'));
    const overloaded = new HoldfastError('OVERLOADED', 'a bound is reached');
    await expect(authorisation.requireAreaCaughtUp(caller, 'cluster')).rejects.toMatchObject({
      code: 'NO_LEADER',
    });
    caughtUp = Promise.resolve();
    const judge = vi.fn(() => denied('not here', 'key'));
    judge.mockImplementationOnce(() => denied('not here', 'key'));
    judge.mockImplementationOnce(() => {
      throw overloaded;
    });
    await expect(authorisation.require(caller, ATTEMPT, judge)).rejects.toBe(overloaded);
    expect(noted).toEqual([]);
  });

  it('that is judged by nobody else is asked for again, once this node has caught up', async () => {
    create('operator');
    await authorisation.requireAreaCaughtUp(caller, 'cluster');
    expect(deadlines).toEqual([7]);
    ahead = () => {
      if (authorisation.isKnown(principal)) access.revokeToken(made.id, BY_ADMIN);
    };
    await authorisation.requireArea(caller, 'cluster');
    await expect(authorisation.requireAreaCaughtUp(caller, 'cluster')).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
    });
  });

  it('of nobody is refused, once this node has caught up', async () => {
    await expect(compacts()).rejects.toMatchObject({ code: 'UNAUTHENTICATED' });
    expect(deadlines).toEqual([7]);
  });
});

it('what somebody may see is asked each time, and is nothing once he is nobody', () => {
  create('viewer');
  const visible = () => authorisation.visibleThen(principal, 'values');
  expect([visible()?.('a'), visible()?.('secrets/a')]).toEqual([true, false]);
  expect(authorisation.visibleThen(principal, 'names')?.('secrets/a')).toBe(true);
  access.revokeToken(made.id, BY_ADMIN);
  expect(visible()?.('a')).toBe(false);
  expect(authorisation.visibleThen(ADMIN, 'values')).toBeNull();
});
