import { LoginThrottle } from '../access/loginThrottle.ts';
import { hashPassword, verifyPassword } from '../access/password.ts';
import { PasswordSlots } from '../access/passwordSlots.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { RandomSource } from '../base/random.ts';
import { bytesField } from '../command/keys.ts';
import type { UserRow } from '../proto/users.ts';
import type { Store } from '../store/store.ts';
import type { Read } from './read.ts';

export interface PasswordsParts {
  readonly store: Pick<Store, 'access'>;
  readonly read: Pick<Read, 'linearizable'>;
  readonly clock: Clock;
  readonly random: RandomSource;
}

/** A password that somebody shows, and from where. */
export interface ShownPassword {
  readonly name: string;
  /** Wiped once it was looked at. */
  readonly password: Uint8Array;
  readonly address: string;
}

export interface Verified {
  readonly user: UserRow;
  /** The same password at today's cost; empty when it has that. */
  readonly rehashed: string;
}

/** Passwords as they come in: few at a time, and fewer the more of them were wrong. */
export class Passwords {
  readonly #parts: PasswordsParts;
  readonly #throttle: LoginThrottle;
  readonly #slots = new PasswordSlots();

  constructor(parts: PasswordsParts) {
    this.#parts = parts;
    this.#throttle = new LoginThrottle(parts);
  }

  /** A PHC string. @param field UTF-8, wiped @throws HoldfastError INVALID_ARGUMENT, OVERLOADED */
  async hash(field: Uint8Array): Promise<string> {
    const password = bytesField(field);
    const { random } = this.#parts;
    try {
      return await this.#slots.run(() => hashPassword(password, { random }));
    } finally {
      password.fill(0);
    }
  }

  /**
   * The user whose password this is. Takes as long for who is no user.
   * @throws HoldfastError UNAUTHENTICATED, the same whatever is wrong; OVERLOADED with how long to wait; as a linearizable read
   */
  async verify(shown: ShownPassword, deadlineMs: number): Promise<Verified> {
    const password = bytesField(shown.password);
    try {
      return await this.#verified({ ...shown, password }, deadlineMs);
    } finally {
      password.fill(0);
    }
  }

  async #verified(
    shown: ShownPassword & { readonly password: Buffer },
    deadlineMs: number,
  ): Promise<Verified> {
    const login = this.#throttle.begin({ user: shown.name, address: shown.address });
    const looked = this.#slots.run(() => this.#look(shown, deadlineMs));
    const verified = await looked.catch((thrown: unknown) => {
      login.undecided();
      throw thrown;
    });
    if (verified === null) {
      login.wrong();
      throw wrongPassword();
    }
    login.right();
    return verified;
  }

  /** Null: it is wrong, or of nobody. */
  async #look(
    { name, password }: { readonly name: string; readonly password: Buffer },
    deadlineMs: number,
  ): Promise<Verified | null> {
    const { store, read, random } = this.#parts;
    await read.linearizable(deadlineMs);
    const user = store.access.users.get(name);
    const verdict = await verifyPassword(password, user?.passwordHash ?? null);
    if (user === null || verdict === 'wrong') return null;
    return { user, rehashed: verdict === 'outdated' ? await hashPassword(password, { random }) : '' };
  }
}

/** Says neither whether there is such a user. */
function wrongPassword(): HoldfastError {
  return new HoldfastError('UNAUTHENTICATED', 'the user or the password is wrong', {
    field: 'password',
    hint: 'an administrator can set another one: holdfast user set-password',
  });
}
