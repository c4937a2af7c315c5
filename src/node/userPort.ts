import type { Sessions } from '../access/session.ts';
import type { Caller, UserPort } from '../api/ports.ts';
import { DENIALS } from '../audit/record/actions.ts';
import { HoldfastError, toHoldfastError } from '../base/errors.ts';
import type {
  ChangePasswordRequest,
  CreateUserRequest,
  LoginRequest,
  LoginResponse,
  SetPasswordRequest,
  UserListResponse,
} from '../proto/access.ts';
import type { Principal } from '../proto/storage.ts';
import type { SetUserRoles } from '../proto/users.ts';
import type { Store } from '../store/store.ts';
import type { Authorisation } from './authorisation.ts';
import type { Denial, Denials } from './denials.ts';
import { outcomeFailure } from './outcome.ts';
import type { Passwords, ShownPassword } from './passwords.ts';
import type { Submission, Submit } from './submit.ts';

/** What a password is shown for, as it is recorded when it is wrong. */
type ShownFor = Pick<Denial, 'principal' | 'proved' | 'action' | 'resource'>;

const NOTHING = Buffer.alloc(0);

export interface UserPortParts {
  readonly store: Store;
  readonly submit: Pick<Submit, 'submit'>;
  readonly authorisation: Pick<Authorisation, 'requireAreaCaughtUp'>;
  readonly sessions: Sessions;
  readonly passwords: Pick<Passwords, 'verify' | 'hash'>;
  readonly denials: Pick<Denials, 'note'>;
}

/** Users as the API sees them. Nothing but hashes of passwords leaves this node. */
export class NodeUserPort implements UserPort {
  readonly #parts: UserPortParts;

  constructor(parts: UserPortParts) {
    this.#parts = parts;
  }

  async login({ principal, deadlineMs }: Caller, { name, password }: LoginRequest): Promise<LoginResponse> {
    const { sessions } = this.#parts;
    const { address } = principal;
    const shown = { name, password, address };
    const stranger = { kind: 'user', name, address };
    const shownFor = {
      principal: stranger,
      proved: false,
      action: 'access.login',
      resource: NOTHING,
    } as const;
    const { user, rehashed } = await this.#verified(shown, { shownFor, deadlineMs });
    const { token, expiresMs, generation, session } = await sessions.create({
      user: user.name,
      generation: user.generation,
    });
    const who = { kind: 'user', name: user.name, address, generation, session };
    await this.#command({ principal: who, login: { passwordHash: rehashed } }, deadlineMs);
    return { token, expiresMs };
  }

  async logout({ principal, deadlineMs }: Caller): Promise<void> {
    requireUser(principal);
    await this.#command({ principal, endSession: {} }, deadlineMs);
  }

  async changePassword({ principal, deadlineMs }: Caller, request: ChangePasswordRequest): Promise<void> {
    requireUser(principal);
    const { name, address } = principal;
    const { oldPassword: password, newPassword } = request;
    const resource = Buffer.from(name);
    const shownFor = { principal, proved: true, action: 'user.set-password', resource } as const;
    const { user } = await this.#verified({ name, address, password }, { shownFor, deadlineMs });
    const passwordHash = await this.#parts.passwords.hash(newPassword);
    const setPassword = { name, passwordHash, shownGeneration: user.generation };
    await this.#command({ principal, setPassword }, deadlineMs);
  }

  async createUser(caller: Caller, { name, password, roles }: CreateUserRequest): Promise<void> {
    const { principal, deadlineMs } = caller;
    const passwordHash = await this.#parts.passwords.hash(password);
    await this.#command({ principal, createUser: { name, passwordHash, roles } }, deadlineMs);
  }

  async deleteUser(caller: Caller, deleteUser: { readonly name: string }): Promise<void> {
    await this.#command({ principal: caller.principal, deleteUser }, caller.deadlineMs);
  }

  async setPassword(caller: Caller, { name, password }: SetPasswordRequest): Promise<void> {
    const { principal, deadlineMs } = caller;
    const passwordHash = await this.#parts.passwords.hash(password);
    await this.#command({ principal, setPassword: { name, passwordHash, shownGeneration: 0 } }, deadlineMs);
  }

  async setUserRoles(caller: Caller, setUserRoles: SetUserRoles): Promise<void> {
    await this.#command({ principal: caller.principal, setUserRoles }, caller.deadlineMs);
  }

  async userList(caller: Caller): Promise<UserListResponse> {
    const { store, authorisation } = this.#parts;
    await authorisation.requireAreaCaughtUp(caller, 'access');
    return {
      users: store.access.users.all.map(({ name, roles, createdMs, changedMs, createdBy }) => ({
        name,
        roles,
        createdMs,
        changedMs,
        createdBy: createdBy ? `${createdBy.kind} ${createdBy.name}` : '',
      })),
    };
  }

  /** The one place where a password is refused. */
  async #verified(
    shown: ShownPassword,
    { shownFor, deadlineMs }: { readonly shownFor: ShownFor; readonly deadlineMs: number },
  ): ReturnType<Passwords['verify']> {
    const { passwords, denials } = this.#parts;
    try {
      return await passwords.verify(shown, deadlineMs);
    } catch (thrown) {
      const { code } = toHoldfastError(thrown);
      if (DENIALS.has(code)) denials.note({ ...shownFor, code, detail: '' });
      throw thrown;
    }
  }

  async #command(submission: Submission, deadlineMs: number): Promise<void> {
    const failure = outcomeFailure(await this.#parts.submit.submit(submission, deadlineMs));
    if (failure !== null) throw failure;
  }
}

function requireUser({ kind }: Principal): void {
  if (kind === 'user') return;
  throw new HoldfastError('INVALID_ARGUMENT', `a ${kind} has no session and no password`, {
    hint: 'log in first: holdfast login',
  });
}
