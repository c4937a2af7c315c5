import { isIPv6 } from 'node:net';
import { splitAddress } from '../base/address.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

interface Failures {
  readonly count: number;
  /** When the last try began, on the monotonic clock. */
  readonly lastMs: number;
}

/** One of these is called, unless the password was wrong. */
export interface LoginTry {
  right(): void;
  /** It was not looked at. */
  undecided(): void;
}

interface Bound {
  /** So many failures cost no wait. */
  readonly free: number;
  readonly what: string;
}

const OF_USER: Bound = { free: LIMITS.loginFailuresFree, what: 'for this user' };
const OF_ADDRESS: Bound = { free: LIMITS.loginAddressFailuresFree, what: 'from this address' };

/**
 * Who guesses passwords has to wait, twice as long after each try: by user, whether there is one or not, and by address. In
 * memory of this node only. A try counts as failed until it is known to be right, so that many at once are none the better.
 */
export class LoginThrottle {
  readonly #clock: Clock;
  /** The longest untouched first. */
  readonly #users = new Map<string, Failures>();
  readonly #addresses = new Map<string, Failures>();

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /** @throws HoldfastError OVERLOADED with how long to wait */
  begin({ user, address }: { readonly user: string; readonly address: string }): LoginTry {
    const name = user.slice(0, LIMITS.nameBytesMax);
    const group = addressGroup(address);
    const nowMs = this.#clock.monotonicMs();
    const ofUser = current(this.#users, name, nowMs);
    const ofAddress = current(this.#addresses, group, nowMs);
    requireWaited(ofUser, OF_USER, nowMs);
    requireWaited(ofAddress, OF_ADDRESS, nowMs);
    keep(this.#users, name, { count: ofUser.count + 1, lastMs: nowMs });
    keep(this.#addresses, group, { count: ofAddress.count + 1, lastMs: nowMs });
    return {
      right: () => {
        this.#users.delete(name);
        // Whoever knows one password does not get further tries at those of others.
        takeBack(this.#addresses, group);
      },
      undecided: () => {
        takeBack(this.#users, name);
        takeBack(this.#addresses, group);
      },
    };
  }
}

function takeBack(map: Map<string, Failures>, key: string): void {
  const known = map.get(key);
  if (known !== undefined) map.set(key, { ...known, count: Math.max(0, known.count - 1) });
}

function current(map: ReadonlyMap<string, Failures>, key: string, nowMs: number): Failures {
  const known = map.get(key);
  if (known === undefined || nowMs - known.lastMs >= LIMITS.loginFailuresKeptMs)
    return { count: 0, lastMs: nowMs };
  return known;
}

function requireWaited({ count, lastMs }: Failures, { free, what }: Bound, nowMs: number): void {
  if (count < free) return;
  const waitMs = Math.min(LIMITS.loginWaitMsMax, LIMITS.loginWaitMsMin * 2 ** Math.min(count - free, 30));
  const leftMs = lastMs + waitMs - nowMs;
  if (leftMs <= 0) return;
  throw new HoldfastError('OVERLOADED', `too many logins have failed ${what}`, {
    hint: `try again in ${Math.ceil(leftMs / 1_000)} s`,
  });
}

function keep(map: Map<string, Failures>, key: string, failures: Failures): void {
  map.delete(key);
  const [oldest] = map.keys();
  if (oldest !== undefined && map.size >= LIMITS.loginFailuresRemembered) map.delete(oldest);
  map.set(key, failures);
}

/** Of host:port the host; of IPv6 its /64, which one customer usually has for himself (RFC 6177). */
export function addressGroup(address: string): string {
  const host = splitAddress(address)?.host ?? address.slice(0, LIMITS.addressBytesMax);
  if (!isIPv6(host)) return host;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(host);
  if (mapped?.[1] !== undefined) return mapped[1];
  const [front = '', back] = host.split('::');
  const groups = front === '' ? [] : front.split(':');
  // Fewer than four before `::`: zeros follow, or, where it stands for few, what comes behind.
  const behind = back === undefined || back === '' ? [] : back.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - behind.length) }, () => '0');
  const all = back === undefined ? groups : [...groups, ...zeros, ...behind];
  const network = all.slice(0, 4).map((group) => Number.parseInt(group, 16).toString(16));
  return `${network.join(':')}::/64`;
}
