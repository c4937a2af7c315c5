import { isSecretOf, parseAccessToken, type ShownAccessToken } from '../access/accessToken.ts';
import { type Asker, decideArea } from '../access/policy/decide.ts';
import { ALLOWED, type Decision, denied, requireAllowed } from '../access/policy/decision.ts';
import type { Area } from '../access/policy/policy.ts';
import { ALL_RIGHTS } from '../access/policy/rights.ts';
import type { Session, Sessions } from '../access/session.ts';
import type { Caller, Holder } from '../api/ports.ts';
import type { Principal } from '../proto/storage.ts';
import { unknownToken } from '../store/granting.ts';
import type { Store } from '../store/store.ts';
import type { Read } from './read.ts';

/** Whether a name may be seen. */
export type Visible = (name: string) => boolean;

/**
 * Who asks and what he may do, by the state of this node. A refusal is only given once this node has caught up: what was
 * granted a moment ago through another node counts here.
 */
export class Authorisation {
  readonly #store: Pick<Store, 'access' | 'logTimeMs'>;
  readonly #read: Pick<Read, 'linearizable'>;
  readonly #sessions: Pick<Sessions, 'verify'>;

  constructor(parts: {
    readonly store: Pick<Store, 'access' | 'logTimeMs'>;
    readonly read: Pick<Read, 'linearizable'>;
    readonly sessions: Pick<Sessions, 'verify'>;
  }) {
    this.#store = parts.store;
    this.#read = parts.read;
    this.#sessions = parts.sessions;
  }

  /**
   * Who shows this token, of a service or of a session.
   * @throws HoldfastError UNAUTHENTICATED, the same whatever is wrong with it; and as a linearizable read
   */
  async holderOf(text: string, deadlineMs: number): Promise<Holder> {
    const shown = parseAccessToken(text);
    if (shown !== null) return { principal: await this.#holderOfToken(shown, deadlineMs) };
    const session = await this.#sessions.verify(text);
    if (session === null) throw unknownToken();
    return { principal: await this.#holderOfSession(session, deadlineMs), sessionEndMs: session.expiresMs };
  }

  async #holderOfToken(shown: ShownAccessToken, deadlineMs: number): Promise<Holder['principal']> {
    const isGood = (): boolean => isSecretOf(shown, this.#store.access.token(shown.id)?.secretHash ?? null);
    if (!isGood()) await this.#read.linearizable(deadlineMs);
    if (!isGood()) throw unknownToken();
    this.#store.access.requireToken(shown.id, this.#store.logTimeMs);
    return { kind: 'token', name: shown.id };
  }

  async #holderOfSession(
    { user, generation, session }: Session,
    deadlineMs: number,
  ): Promise<Holder['principal']> {
    const principal = { kind: 'user', name: user, generation, session };
    if (this.isKnown({ ...principal, address: '' })) return principal;
    await this.#read.linearizable(deadlineMs);
    this.#store.access.users.requireSession(principal);
    return principal;
  }

  /** Whether the asker is still somebody; for what stays open. */
  isKnown(principal: Principal): boolean {
    try {
      this.#asker(principal);
      return true;
    } catch {
      return false;
    }
  }

  /** @throws HoldfastError PERMISSION_DENIED, UNAUTHENTICATED; and as a linearizable read, before it says so */
  async require(caller: Caller, judge: (asker: Asker) => Decision): Promise<void> {
    if (this.isKnown(caller.principal) && judge(this.#asker(caller.principal)).allowed) return;
    await this.#read.linearizable(caller.deadlineMs);
    requireAllowed(judge(this.#asker(caller.principal)));
  }

  requireArea(caller: Caller, area: Area): Promise<void> {
    return this.require(caller, ({ rights }) => decideArea(rights, area));
  }

  /** By the state as it is here. @throws HoldfastError PERMISSION_DENIED, UNAUTHENTICATED */
  requireValue(principal: Principal, name: string): void {
    requireAllowed(
      this.#asker(principal).rights.allowsValue(name)
        ? ALLOWED
        : denied('no role allows to read this name', 'key'),
    );
  }

  /** By the state as it is here. @throws HoldfastError PERMISSION_DENIED, UNAUTHENTICATED */
  requireListed(principal: Principal, name: string): void {
    requireAllowed(
      this.#asker(principal).rights.allows('list', name)
        ? ALLOWED
        : denied('no role allows to list this name', 'key'),
    );
  }

  /**
   * Of the names of a range those that may be listed, or whose values may be read. Null: all. Asks the state each time, so it
   * may be kept: whoever is nobody any more sees nothing.
   */
  visible(principal: Principal, what: 'names' | 'values'): Visible | null {
    if (this.isKnown(principal) && this.#asker(principal).rights === ALL_RIGHTS) return null;
    return (name) => {
      if (!this.isKnown(principal)) return false;
      const { rights } = this.#asker(principal);
      return rights.allows('list', name) && (what === 'names' || rights.allowsValue(name));
    };
  }

  #asker(principal: Principal): Asker {
    return this.#store.access.asker(principal, this.#store.logTimeMs);
  }
}
