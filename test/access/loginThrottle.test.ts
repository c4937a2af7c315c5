import { beforeEach, describe, expect, it } from 'vitest';
import { LoginThrottle } from '../../src/access/loginThrottle.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';

let clock: ManualClock;
let throttle: LoginThrottle;
let tries: number;
beforeEach(() => {
  clock = new ManualClock();
  throttle = new LoginThrottle({ clock });
  tries = 0;
});

/** From another address each time, unless one is given. */
const begin = (user: string, address?: string) => {
  tries += 1;
  return throttle.begin({ user, address: address ?? `10.0.${tries >> 8}.${tries & 255}:7` });
};
const fail = (user: string, count: number, address?: string): void => {
  for (let at = 0; at < count; at += 1) begin(user, address).wrong();
};
/** Seconds that a try would have to wait; null: none. */
function hintOf(user: string, address?: string): string | null {
  try {
    begin(user, address).undecided();
    return null;
  } catch (thrown) {
    if (thrown instanceof HoldfastError && thrown.code === 'OVERLOADED') return thrown.hint ?? '';
    throw thrown;
  }
}

describe('a user', () => {
  it('may be mistaken a few times; then each try waits twice as long, up to a bound', () => {
    fail('ada', LIMITS.loginFailuresFree);
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      expect(hintOf('ada')).toBe(`try again in ${seconds} s`);
      clock.advance(seconds * 1_000 - 1);
      expect(hintOf('ada')).toBe('try again in 1 s');
      clock.advance(1);
      fail('ada', 1);
    }
    expect(hintOf('bob')).toBeNull();
  });

  it('who was right begins anew, and so does who has been quiet for long', () => {
    fail('ada', LIMITS.loginFailuresFree - 1);
    begin('ada').right();
    fail('ada', LIMITS.loginFailuresFree);
    expect(hintOf('ada')).not.toBeNull();
    clock.advance(LIMITS.loginFailuresKeptMs);
    fail('ada', LIMITS.loginFailuresFree);
    expect(hintOf('ada')).not.toBeNull();
  });

  it('does not count what was not looked at', () => {
    for (let at = 0; at < 2 * LIMITS.loginFailuresFree; at += 1) begin('ada').undecided();
    expect(hintOf('ada')).toBeNull();
  });

  it('has tries that are not decided yet counted as failed, until they are', () => {
    const tries = Array.from({ length: LIMITS.loginFailuresFree }, () => begin('ada'));
    expect(hintOf('ada')).toBe('try again in 1 s');
    for (const one of tries.slice(1)) one.undecided();
    expect(hintOf('ada')).toBeNull();
    tries[0]?.wrong();
    fail('ada', LIMITS.loginFailuresFree - 2);
    expect(hintOf('ada')).toBeNull();
    fail('ada', 1);
    expect(hintOf('ada')).not.toBeNull();
  });

  it('of any length and any name is one', () => {
    for (const user of ['__proto__', 'constructor', '', 'x'.repeat(8_000)]) {
      fail(user, LIMITS.loginFailuresFree);
      expect(hintOf(user)).not.toBeNull();
    }
  });
});

describe('an address', () => {
  it('has to wait whatever users it names, and gains no tries by one whom it knows', () => {
    const address = '192.0.2.1:1';
    for (let at = 0; at < LIMITS.loginAddressFailuresFree; at += 1) {
      begin('known', address).right();
      fail(`user${at}`, 1, address);
    }
    expect(hintOf('another', '192.0.2.1:2')).not.toBeNull();
    expect(hintOf('another', '192.0.2.2:1')).toBeNull();
  });
});

it('tries that are not decided take the place of no failures', () => {
  const address = '192.0.2.1:1';
  for (let at = 0; at < LIMITS.loginAddressFailuresFree; at += 1) fail(`user${at % 4}`, 1, address);
  fail('ada', LIMITS.loginFailuresFree);
  for (let at = 0; at < LIMITS.loginFailuresRemembered; at += 1) {
    const host = `10.${1 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}:7`;
    begin(`other${at}`, host).undecided();
  }
  expect(hintOf('ada')).not.toBeNull();
  expect(hintOf('bob', address)).not.toBeNull();
});

it('what is remembered is bounded, and what failed last stays', () => {
  fail('ada', LIMITS.loginFailuresFree - 1);
  for (let at = 0; at < LIMITS.loginFailuresRemembered - 1; at += 1) fail(`user${at}`, 1);
  fail('ada', 1);
  for (let at = 0; at < LIMITS.loginFailuresRemembered - 1; at += 1) fail(`other${at}`, 1);
  expect(hintOf('ada')).not.toBeNull();
  fail('one more', 1);
  expect(hintOf('ada')).toBeNull();
});
