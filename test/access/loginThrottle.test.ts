import { beforeEach, describe, expect, it } from 'vitest';
import { addressGroup, LoginThrottle } from '../../src/access/loginThrottle.ts';
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
  for (let at = 0; at < count; at += 1) begin(user, address);
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
      begin('ada');
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
      begin(`user${at}`, address);
    }
    expect(hintOf('another', '192.0.2.1:2')).not.toBeNull();
    expect(hintOf('another', '192.0.2.2:1')).toBeNull();
  });

  it.each([
    ['192.0.2.1:4', '192.0.2.1'],
    ['[::ffff:192.0.2.1]:4', '192.0.2.1'],
    ['[2001:db8:1:2:3:4:5:6]:4', '2001:db8:1:2::/64'],
    ['[2001:DB8:1:2::9]:4', '2001:db8:1:2::/64'],
    ['[2001:0db8:1:02::9]:4', '2001:db8:1:2::/64'],
    ['[2001:db8::9]:4', '2001:db8:0:0::/64'],
    ['[2001:db8::1:2:3:4:5]:4', '2001:db8:0:1::/64'],
    ['[::1]:4', '0:0:0:0::/64'],
    ['unknown', 'unknown'],
  ])('%s counts as %s', (address, group) => {
    expect(addressGroup(address)).toBe(group);
  });
});

it('what is remembered is bounded, and what failed last stays', () => {
  fail('ada', LIMITS.loginFailuresFree - 1);
  for (let at = 0; at < LIMITS.loginFailuresRemembered - 1; at += 1) begin(`user${at}`);
  begin('ada');
  for (let at = 0; at < LIMITS.loginFailuresRemembered - 1; at += 1) begin(`other${at}`);
  expect(hintOf('ada')).not.toBeNull();
  begin('one more');
  expect(hintOf('ada')).toBeNull();
});
