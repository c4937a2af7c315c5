import { addressGroup } from '../base/address.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';

interface Failures {
  readonly count: number;
  /** When the last try began, on the monotonic clock. */
  readonly lastMs: number;
}

/** One of these is called, once, however the try ends. */
export interface LoginTry {
  right(): void;
  wrong(): void;
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
  readonly #users = new FailureTable();
  readonly #addresses = new FailureTable();

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /** @throws HoldfastError OVERLOADED with how long to wait */
  begin({ user, address }: { readonly user: string; readonly address: string }): LoginTry {
    const name = user.slice(0, LIMITS.nameBytesMax);
    const group = addressGroup(address);
    const nowMs = this.#clock.monotonicMs();
    const ofUser = this.#users.seen(name, nowMs);
    const ofAddress = this.#addresses.seen(group, nowMs);
    requireWaited(ofUser, OF_USER, nowMs);
    requireWaited(ofAddress, OF_ADDRESS, nowMs);
    this.#users.begin(name, nowMs);
    this.#addresses.begin(group, nowMs);
    const end = (): void => {
      this.#users.end(name);
      this.#addresses.end(group);
    };
    return {
      right: () => {
        end();
        // Whoever knows one password does not get further tries at those of others: what failed from his address stays.
        this.#users.forget(name);
      },
      wrong: () => {
        end();
        this.#users.fail(name, nowMs);
        this.#addresses.fail(group, nowMs);
      },
      undecided: end,
    };
  }
}

/**
 * What failed, by user or by address, and what is not decided yet. Only what failed is remembered, in a bounded table: tries that end
 * undecided cost their caller nothing, and must not push failures out of it.
 */
class FailureTable {
  /** The longest untouched first. */
  readonly #failed = new Map<string, Failures>();
  /** Of tries under way, which are as many as passwords are looked at and wait. */
  readonly #open = new Map<string, Failures>();

  /** All that counts as failed now. */
  seen(key: string, nowMs: number): Failures {
    const failed = this.#current(key, nowMs);
    const open = this.#open.get(key);
    if (open === undefined) return failed;
    return { count: failed.count + open.count, lastMs: open.lastMs };
  }

  begin(key: string, nowMs: number): void {
    this.#open.set(key, { count: (this.#open.get(key)?.count ?? 0) + 1, lastMs: nowMs });
  }

  end(key: string): void {
    const open = this.#open.get(key);
    if (open === undefined || open.count <= 1) this.#open.delete(key);
    else this.#open.set(key, { ...open, count: open.count - 1 });
  }

  /** A try that began then. */
  fail(key: string, beganMs: number): void {
    const known = this.#current(key, beganMs);
    this.#failed.delete(key);
    const [oldest] = this.#failed.keys();
    if (oldest !== undefined && this.#failed.size >= LIMITS.loginFailuresRemembered)
      this.#failed.delete(oldest);
    this.#failed.set(key, { count: known.count + 1, lastMs: Math.max(known.lastMs, beganMs) });
  }

  forget(key: string): void {
    this.#failed.delete(key);
  }

  #current(key: string, nowMs: number): Failures {
    const known = this.#failed.get(key);
    if (known === undefined || nowMs - known.lastMs >= LIMITS.loginFailuresKeptMs)
      return { count: 0, lastMs: nowMs };
    return known;
  }
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
