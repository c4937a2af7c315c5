import { isSecretOf, parseAccessToken, type ShownAccessToken } from '../access/accessToken.ts';
import { type Asker, decideArea } from '../access/policy/decide.ts';
import { ALLOWED, type Decision, denied, requireAllowed } from '../access/policy/decision.ts';
import type { Area } from '../access/policy/policy.ts';
import { ALL_RIGHTS } from '../access/policy/rights.ts';
import type { Sessions } from '../access/session.ts';
import type { Caller, Holder } from '../api/ports.ts';
import { type AuditAction, DENIALS } from '../audit/record/actions.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { bytesFromKey } from '../command/keys.ts';
import type { Principal } from '../proto/storage.ts';
import { readingOf } from '../store/auditOfTransaction.ts';
import { unknownToken } from '../store/granting.ts';
import type { Store } from '../store/store.ts';
import type { Denial, Denials } from './denials.ts';
import type { Read } from './read.ts';
import type { TokenUses } from './tokenUses.ts';

/** Whether a name may be seen. */
export type Visible = (name: string) => boolean;

/** What somebody wants to do, as it is recorded when he may not. */
export interface Attempt {
  readonly action: AuditAction;
  /** Latin-1; empty: it is about none. */
  readonly name: string;
  readonly detail: string;
}

const NO_GOOD_TOKEN = { action: 'access.denied', name: '', detail: 'a token that is not good' } as const;

/** Where a token was shown, and until when it is of use to know whose it is. */
export interface Shown {
  /** host:port. */
  readonly address: string;
  readonly deadlineMs: number;
}

/**
 * Who asks and what he may do, by the state of this node. A refusal is only given once this node has caught up: what was
 * granted a moment ago through another node counts here.
 */
export class Authorisation {
  readonly #store: Pick<Store, 'access'>;
  readonly #nowMs: () => number;
  readonly #read: Pick<Read, 'linearizable'>;
  readonly #denials: Pick<Denials, 'note'>;
  readonly #sessions: Pick<Sessions, 'verify' | 'keyInForce'>;
  readonly #tokenUses: Pick<TokenUses, 'note'>;
  /** Look-ups that wait until this node has caught up. */
  #unknownCount = 0;

  constructor(parts: {
    readonly store: Pick<Store, 'access'>;
    /** Log time, or later by what has passed since its last entry: a token ends for requests when it does where they are applied. */
    readonly nowMs: () => number;
    readonly read: Pick<Read, 'linearizable'>;
    readonly sessions: Pick<Sessions, 'verify' | 'keyInForce'>;
    readonly denials: Pick<Denials, 'note'>;
    readonly tokenUses: Pick<TokenUses, 'note'>;
  }) {
    this.#store = parts.store;
    this.#nowMs = parts.nowMs;
    this.#read = parts.read;
    this.#sessions = parts.sessions;
    this.#denials = parts.denials;
    this.#tokenUses = parts.tokenUses;
  }

  /**
   * Who shows this token, of a service or of a session.
   * @throws HoldfastError UNAUTHENTICATED, the same whatever is wrong with it; and as a linearizable read, also OVERLOADED when
   * too many wait that are not known here
   */
  async holderOf(text: string, { address, deadlineMs }: Shown): Promise<Holder> {
    const shown = parseAccessToken(text);
    if (shown !== null) {
      await this.#catchUpFor(deadlineMs, () => this.#isGood(shown));
      // Who has the id and not the secret is somebody else.
      const shower = { principal: { kind: 'token', name: shown.id, address }, proved: this.#isGood(shown) };
      const holder = this.#recorded({ ...shower, ...NO_GOOD_TOKEN }, () => ({
        principal: this.#requireToken(shown),
      }));
      this.#tokenUses.note(shown.id, address);
      return holder;
    }
    const key = this.#sessions.keyInForce();
    const session = await this.#sessions.verify(text);
    if (session === null) {
      const nobody = { principal: { kind: 'token', name: 'unreadable', address }, proved: false };
      return this.#recorded({ ...nobody, ...NO_GOOD_TOKEN }, () => {
        throw unknownToken();
      });
    }
    const { user, generation, session: id } = session;
    const principal = { kind: 'user', name: user, generation, session: id };
    await this.#catchUpFor(deadlineMs, () => this.isKnown({ ...principal, address }));
    // A session that is over proves nothing: it is what a thief has left.
    const shower = { principal: { ...principal, address }, proved: false };
    return this.#recorded({ ...shower, ...NO_GOOD_TOKEN }, () => {
      this.#store.access.users.requireSession(principal);
      const isInForce = (): boolean => key !== null && this.#sessions.keyInForce()?.equals(key) === true;
      return { principal, sessionEndMs: session.expiresMs, isInForce };
    });
  }

  /**
   * What is refused may be good on a node that is ahead. Few wait for that: strangers with tokens that they made up must not
   * take the room of all reads. Whoever is known here waits for nothing.
   */
  async #catchUpFor(deadlineMs: number, isGood: () => boolean): Promise<void> {
    if (isGood()) return;
    if (this.#unknownCount >= LIMITS.unknownTokensMax) {
      throw new HoldfastError('OVERLOADED', 'too many tokens that this node does not know are looked up', {
        hint: 'try again, or at another node',
      });
    }
    this.#unknownCount += 1;
    try {
      await this.#read.linearizable(deadlineMs);
    } finally {
      this.#unknownCount -= 1;
    }
  }

  #isGood(shown: ShownAccessToken): boolean {
    return isSecretOf(shown, this.#store.access.token(shown.id)?.secretHash ?? null);
  }

  #requireToken(shown: ShownAccessToken): Holder['principal'] {
    if (!this.#isGood(shown)) throw unknownToken();
    this.#store.access.requireToken(shown.id, this.#nowMs());
    return { kind: 'token', name: shown.id };
  }

  /** Whether the asker is still somebody; for what stays open. */
  isKnown(principal: Principal): boolean {
    return this.#knownAsker(principal) !== null;
  }

  /**
   * @param attempt what is recorded when it is denied
   * @throws HoldfastError PERMISSION_DENIED, UNAUTHENTICATED; and as a linearizable read, before it says so
   */
  async require(caller: Caller, attempt: Attempt, judge: (asker: Asker) => Decision): Promise<void> {
    const { principal } = caller;
    const asker = this.#knownAsker(principal);
    if (asker !== null && judge(asker).allowed) return;
    await this.#read.linearizable(caller.deadlineMs);
    this.#recorded({ ...attempt, principal, proved: true }, () =>
      requireAllowed(judge(this.#asker(principal))),
    );
  }

  requireArea(caller: Caller, area: Area): Promise<void> {
    const deed = { action: 'access.denied', name: '', detail: `admin:${area}` } as const;
    return this.require(caller, deed, ({ rights }) => decideArea(rights, area));
  }

  /**
   * As requireArea, by a state that is as new as the caller may demand: for what is read or done here, and not judged again
   * where a command is applied. What he was let in for may have been taken from him meanwhile.
   * @throws as requireArea, and as a linearizable read
   */
  async requireAreaCaughtUp(caller: Caller, area: Area): Promise<void> {
    await this.#read.linearizable(caller.deadlineMs);
    await this.requireArea(caller, area);
  }

  /** By the state as it is here. @throws HoldfastError PERMISSION_DENIED, UNAUTHENTICATED */
  requireValue(principal: Principal, name: string): void {
    this.#recorded({ principal, proved: true, action: 'kv.read', name, detail: '' }, () =>
      requireAllowed(decideValue(this.#asker(principal), name)),
    );
  }

  /** Before the command that reads it: a denial that it would come to anyway costs no entry of the log. @throws as require */
  async requireAuditedValue(caller: Caller, name: string): Promise<void> {
    if (this.#knownAsker(caller.principal)?.rights.allowsValue(name) === true) return;
    const attempt = { action: readingOf(name), name, detail: '' };
    await this.require(caller, attempt, (asker) => decideValue(asker, name));
  }

  /** By the state as it is here. @throws HoldfastError PERMISSION_DENIED, UNAUTHENTICATED */
  requireListed(principal: Principal, name: string): void {
    this.#recorded({ principal, proved: true, action: 'kv.list', name, detail: '' }, () =>
      requireAllowed(
        this.#asker(principal).rights.allows('list', name)
          ? ALLOWED
          : denied('no role allows to list this name', 'key'),
      ),
    );
  }

  /** A denial that it throws is noted. */
  #recorded<T>(
    { principal, proved, action, name, detail }: Attempt & Pick<Denial, 'principal' | 'proved'>,
    run: () => T,
  ): T {
    try {
      return run();
    } catch (thrown) {
      const { code } = toHoldfastError(thrown);
      if (DENIALS.has(code))
        this.#denials.note({ principal, proved, action, resource: bytesFromKey(name), code, detail });
      throw thrown;
    }
  }

  /** As visibleNow, for what stays open and asks each time that it has something to tell: whoever is nobody any more sees nothing. */
  visibleThen(principal: Principal, what: 'names' | 'values'): Visible | null {
    try {
      return this.visibleNow(principal, what);
    } catch {
      return () => false;
    }
  }

  /**
   * Of the names of a range those that may be listed, or whose values may be read, for what is read at once: the rights are
   * looked up once and not for each name. Null: all.
   * @throws HoldfastError UNAUTHENTICATED
   */
  visibleNow(principal: Principal, what: 'names' | 'values'): Visible | null {
    const { rights } = this.#asker(principal);
    if (rights === ALL_RIGHTS) return null;
    return (name) => rights.allows('list', name) && (what === 'names' || rights.allowsValue(name));
  }

  /** Whether all values may be handed out to him, be there such names or not. */
  readsAll(principal: Principal): boolean {
    return this.#knownAsker(principal)?.rights.allowsValues({ start: '', end: '' }) ?? false;
  }

  /** By the state as it is here, and denying nothing: for what is told to some, and left out for others. */
  administers(principal: Principal, area: Area): boolean {
    return this.#knownAsker(principal)?.rights.administers(area) ?? false;
  }

  /** Null: nobody any more. */
  #knownAsker(principal: Principal): Asker | null {
    try {
      return this.#asker(principal);
    } catch {
      return null;
    }
  }

  #asker(principal: Principal): Asker {
    return this.#store.access.asker(principal, this.#nowMs);
  }
}

function decideValue({ rights }: Asker, name: string): Decision {
  return rights.allowsValue(name) ? ALLOWED : denied('no role allows to read this name', 'key');
}
