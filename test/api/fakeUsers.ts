import type { Caller, UserPort } from '../../src/api/ports.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type {
  ChangePasswordRequest,
  CreateUserRequest,
  LoginRequest,
  SetPasswordRequest,
  UserStatus,
} from '../../src/proto/access.ts';

type Note = (method: string, caller: Caller, request: unknown) => Promise<void>;

/** A fake of users: whoever says the right password has a session. Bytes are noted as text. */
export class FakeUsers implements UserPort {
  /** Names by what is shown. */
  readonly sessions = new Map<string, string>();
  readonly #note: Note;
  password = 'right password';
  kept: readonly UserStatus[] = [];

  constructor(note: Note) {
    this.#note = note;
  }

  async login(caller: Caller, { name, password }: LoginRequest) {
    await this.#note('login', caller, { name, password: text(password) });
    if (text(password) !== this.password) throw new HoldfastError('UNAUTHENTICATED', 'wrong');
    const token = `session-of-${name}`;
    this.sessions.set(token, name);
    return { token, expiresMs: 4_000_000_000_000 };
  }

  async logout(caller: Caller) {
    await this.#note('logout', caller, {});
    this.sessions.clear();
  }

  changePassword(caller: Caller, { oldPassword, newPassword }: ChangePasswordRequest) {
    return this.#note('changePassword', caller, {
      oldPassword: text(oldPassword),
      newPassword: text(newPassword),
    });
  }

  createUser(caller: Caller, { name, password, roles }: CreateUserRequest) {
    return this.#note('createUser', caller, { name, password: text(password), roles });
  }

  deleteUser(caller: Caller, request: { readonly name: string }) {
    return this.#note('deleteUser', caller, request);
  }

  setPassword(caller: Caller, { name, password }: SetPasswordRequest) {
    return this.#note('setPassword', caller, { name, password: text(password) });
  }

  setUserRoles(
    caller: Caller,
    { name, roles }: { readonly name: string; readonly roles: readonly string[] },
  ) {
    return this.#note('setUserRoles', caller, { name, roles: [...roles] });
  }

  userList() {
    return Promise.resolve({ users: this.kept });
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
