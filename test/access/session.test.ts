import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { Sessions } from '../../src/access/session.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';

const KEY = createSecretKey(Buffer.alloc(32, 1));
const CLUSTER = '00000000000000c1';
const OF = { user: 'ada', generation: 7 };

let clock: ManualClock;
let key: KeyObject | null;
let sessions: Sessions;
beforeEach(() => {
  clock = new ManualClock();
  key = KEY;
  sessions = sessionsOf(CLUSTER);
});

const sessionsOf = (clusterId: string) =>
  new Sessions({ clusterId, key: () => key, clock, random: new SeededRandom(1) });
const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** A token made by hand: as one of ours, but for what is given. */
function forged(
  { header = {}, claims = {} }: { readonly header?: object; readonly claims?: object },
  { hash = 'sha256', by = KEY }: { readonly hash?: string; readonly by?: KeyObject } = {},
): string {
  const now = Math.floor(clock.wallMs() / 1_000);
  const allClaims = {
    gen: 7,
    iss: CLUSTER,
    sub: 'ada',
    jti: '00000000000000b1',
    iat: now,
    exp: now + 60,
    ...claims,
  };
  const signed = `${part({ alg: 'HS256', typ: 'holdfast-session+jwt', ...header })}.${part(allClaims)}`;
  return `${signed}.${createHmac(hash, by).update(signed).digest('base64url')}`;
}

describe('a session', () => {
  it('is what was made, on every node that holds the secret', async () => {
    const { token, ...made } = await sessions.create(OF);
    expect(made).toEqual({
      ...OF,
      session: expect.stringMatching(/^[0-9a-f]{16}$/) as string,
      expiresMs: clock.wallMs() + LIMITS.sessionMs,
    });
    expect(token.length).toBeLessThan(LIMITS.sessionTokenBytesMax);
    expect(await sessionsOf(CLUSTER).verify(token)).toEqual(made);
  });

  it('of the longest name of a user fits into its bound', async () => {
    const generation = Number.MAX_SAFE_INTEGER;
    const { token } = await sessions.create({ user: 'x'.repeat(63), generation });
    expect(await sessions.verify(token)).toMatchObject({ generation });
  });

  it('ends after its time, for clocks that are apart a little later', async () => {
    const { token } = await sessions.create(OF);
    clock.advance(LIMITS.sessionMs + LIMITS.sessionLeewayMs - 1_000);
    expect(await sessions.verify(token)).not.toBeNull();
    clock.advance(1_000);
    expect(await sessions.verify(token)).toBeNull();
  });

  it('of a clock that is ahead is good when it is ahead a little', async () => {
    const { token } = await sessions.create(OF);
    clock.jumpWall(-LIMITS.sessionLeewayMs);
    expect(await sessions.verify(token)).not.toBeNull();
    clock.jumpWall(-1_000);
    expect(await sessions.verify(token)).toBeNull();
  });

  it('is none under another secret, nor where no secret is held', async () => {
    const { token } = await sessions.create(OF);
    key = createSecretKey(Buffer.alloc(32, 2));
    expect(await sessions.verify(token)).toBeNull();
    key = null;
    expect(await sessions.verify(token)).toBeNull();
    await expect(sessions.create(OF)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('of another cluster is none', async () => {
    const { token } = await sessionsOf('00000000000000c2').create(OF);
    expect(await sessions.verify(token)).toBeNull();
  });
});

describe('a token', () => {
  it('that is made by hand as ours are is good, so that what follows is refused for what it has', async () => {
    expect(await sessions.verify(forged({}))).toMatchObject(OF);
  });

  it.each<[string, () => string]>([
    ['no algorithm', () => forged({ header: { alg: 'none' } })],
    ['no algorithm and no signature', () => forged({ header: { alg: 'none' } }).replace(/[^.]+$/, '')],
    ['RS256', () => forged({ header: { alg: 'RS256' } })],
    ['HS512', () => forged({ header: { alg: 'HS512' } }, { hash: 'sha512' })],
    ['no type', () => forged({ header: { typ: undefined } })],
    ['another type', () => forged({ header: { typ: 'JWT' } })],
    ['an extension that is critical', () => forged({ header: { crit: ['x'], x: 1 } })],
    ['the signature of another key', () => forged({}, { by: createSecretKey(Buffer.alloc(32, 2)) })],
    ['claims that were changed', () => tampered()],
    ['its end cut off', () => forged({}).slice(0, -1)],
    ['two parts', () => forged({}).split('.').slice(0, 2).join('.')],
    ['no user', () => forged({ claims: { sub: undefined } })],
    ['no cluster', () => forged({ claims: { iss: undefined } })],
    ['no end', () => forged({ claims: { exp: undefined } })],
    ['no beginning', () => forged({ claims: { iat: undefined } })],
    ['no session', () => forged({ claims: { jti: undefined } })],
    ['a session that is none', () => forged({ claims: { jti: 'x' } })],
    ['no password', () => forged({ claims: { gen: undefined } })],
    ['the generation 0', () => forged({ claims: { gen: 0 } })],
    ['a generation that is text', () => forged({ claims: { gen: '7' } })],
    ['an end long ago', () => forged({ claims: { iat: 1, exp: 2 } })],
    ['a beginning long ago', () => forged({ claims: { iat: 1 } })],
    ['a beginning in the future', () => forged({ claims: { iat: clock.wallMs() / 1_000 + 31 } })],
    ['a time before which it is not good', () => forged({ claims: { nbf: clock.wallMs() / 1_000 + 31 } })],
    ['more than it may have', () => forged({ claims: { x: 'x'.repeat(LIMITS.sessionTokenBytesMax) } })],
    ['nothing', () => ''],
    ['no JSON', () => 'a.b.c'],
  ])('with %s is none', async (_what, text) => {
    expect(await sessions.verify(text())).toBeNull();
  });

  it('of 1 MiB is not looked at', async () => {
    const token = forged({ claims: { x: 'x'.repeat(1024 * 1024) } });
    let asked = 0;
    const counted = {
      monotonicMs: () => 0,
      wallMs: () => {
        asked += 1;
        return clock.wallMs();
      },
    };
    const parts = { clusterId: CLUSTER, key: () => KEY, random: new SeededRandom(1) };
    expect(await new Sessions({ ...parts, clock: counted }).verify(token)).toBeNull();
    expect(asked).toBe(0);
  });
});

function tampered(): string {
  const [header, , signature] = forged({}).split('.');
  const [, claims] = forged({ claims: { sub: 'root' } }).split('.');
  return [header, claims, signature].join('.');
}
