import type { ParsedPolicy } from '../access/policy/policy.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type Principal } from '../proto/storage.ts';
import {
  type CreateUser,
  type EndedSession,
  type ResetAdmin,
  type SetPassword,
  type SetUserRoles,
  type UserRow,
  userRowCodec,
} from '../proto/users.ts';
import { AdminResets } from './adminResets.ts';
import { type AccessChange, full, requireFewRules, requireGrantable, unknownToken } from './granting.ts';
import { plaintextOf, type Row } from './row.ts';
import type { RowChanges } from './rowChanges.ts';

/** Who can make another one, and whom an offline reset makes. */
const ADMIN_ROLE = 'admin';
const ADMIN_NAME = 'admin';

interface KeptUser {
  readonly row: Row;
  readonly user: UserRow;
}

/** What others than apply may see of it. */
export type UsersView = Pick<Users, 'get' | 'all' | 'requireSession'>;

/** The session that somebody shows, and whose it is. */
export type ShownSession = Pick<Principal, 'name' | 'generation' | 'session'>;

/**
 * Users by name. Invariant I52: where there was ever an administrator, there is one. Invariant I53: a session is good only for
 * the user and the password that it was made for, and not once it was ended.
 */
export class Users {
  readonly resets: AdminResets;
  readonly #changes: RowChanges;
  /** @throws HoldfastError NOT_FOUND */
  readonly #policyOf: (role: string) => ParsedPolicy;
  readonly #users = new Map<string, KeptUser>();

  constructor(changes: RowChanges, policyOf: (role: string) => ParsedPolicy) {
    this.resets = new AdminResets(changes);
    this.#changes = changes;
    this.#policyOf = policyOf;
  }

  get(name: string): UserRow | null {
    return this.#users.get(name)?.user ?? null;
  }

  /** By name. */
  get all(): readonly UserRow[] {
    return [...this.#users.values()]
      .map(({ user }) => user)
      .toSorted((left, right) => (left.name < right.name ? -1 : 1));
  }

  /** Whose session this is, if it is good by the state. @throws HoldfastError UNAUTHENTICATED, the same whatever is wrong with it */
  requireSession({ name, generation = 0, session = '' }: ShownSession): UserRow {
    const user = this.get(name);
    const isGood =
      user !== null &&
      session !== '' &&
      user.generation === generation &&
      !user.ended.some(({ id }) => id === session);
    if (isGood) return user;
    throw unknownToken();
  }

  /** @throws HoldfastError INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, OVERLOADED */
  create({ name, passwordHash, roles: given }: CreateUser, at: AccessChange): void {
    if (this.#users.has(name))
      throw new HoldfastError('INVALID_ARGUMENT', 'name is that of another user', { field: 'name' });
    this.#requireRoom();
    const roles = [...new Set(given)];
    this.#requireFewRules(roles);
    this.#requireGrantable(roles, at);
    this.#keep({ ...newUser(name, at), passwordHash, roles }, at);
  }

  /**
   * Whoever deletes another one can make a user of that name, so he must have all that this one may do.
   * @throws HoldfastError NOT_FOUND, PERMISSION_DENIED, IN_USE
   */
  delete(name: string, at: AccessChange): void {
    const known = this.#require(name);
    const { kind, name: asker } = at.principal;
    if (kind !== 'user' || asker !== name) this.#requireGrantable(known.user.roles, at);
    this.#requireOtherAdmin(known.user);
    this.#changes.drop(known.row);
    this.#users.delete(name);
  }

  /**
   * Whoever sets the password of another one could be him from then on, so he must have all that this one may do.
   * @throws HoldfastError NOT_FOUND, PERMISSION_DENIED, UNAUTHENTICATED when the password that was shown is not his any more
   */
  setPassword({ name, passwordHash, shownGeneration }: SetPassword, at: AccessChange): void {
    const { user } = this.#require(name);
    if (shownGeneration === 0) this.#requireGrantable(user.roles, at);
    else if (shownGeneration !== user.generation) throw unknownToken();
    this.#keep({ ...user, passwordHash, generation: at.number, ended: [] }, at);
  }

  /** @throws HoldfastError NOT_FOUND, PERMISSION_DENIED, IN_USE */
  setRoles({ name, roles: given }: SetUserRoles, at: AccessChange): void {
    const { user } = this.#require(name);
    const roles = [...new Set(given)];
    this.#requireFewRules(roles);
    this.#requireGrantable([...user.roles, ...roles], at);
    if (!roles.includes(ADMIN_ROLE)) this.#requireOtherAdmin(user);
    this.#keep({ ...user, roles }, at);
  }

  /** The principal has shown the password of this generation: asked for before. `passwordHash` empty: it stays. */
  login(passwordHash: string, at: AccessChange): void {
    if (passwordHash === '') return;
    const { user } = this.#require(at.principal.name);
    this.#keep({ ...user, passwordHash }, at);
  }

  /** The session of the principal is over; when too many were ended lately, all of his are. */
  endSession(at: AccessChange): void {
    const { name, session = '' } = at.principal;
    const { user } = this.#require(name);
    const untilMs = at.timeMs + LIMITS.sessionMs + LIMITS.sessionLeewayMs + LIMITS.sessionEndedSpareMs;
    const ended = [...user.ended.filter((one) => one.untilMs > at.timeMs), { id: session, untilMs }];
    if (ended.length <= LIMITS.endedSessionsMax) this.#keep({ ...user, ended }, at);
    else this.#keep({ ...user, ended: [], generation: at.number }, at);
  }

  /** By who holds the control key. One that was obeyed before does nothing. @throws HoldfastError OVERLOADED */
  resetAdmin({ id, passwordHash }: ResetAdmin, at: AccessChange): void {
    if (this.resets.wasObeyed(id)) return;
    const known = this.get(ADMIN_NAME);
    if (known === null) this.#requireRoom();
    const user = known ?? newUser(ADMIN_NAME, at);
    this.#keep({ ...user, passwordHash, roles: [ADMIN_ROLE], generation: at.number, ended: [] }, at);
    this.resets.note(id, at);
  }

  load(row: Row, encoded: Buffer): void {
    const { createdBy, ended, roles, ...user } = userRowCodec.decode(plaintextOf(encoded));
    this.#users.set(user.name, {
      row: this.#changes.loaded(row),
      user: {
        ...EMPTY,
        ...user,
        roles: [...roles],
        createdBy: createdBy ? { ...createdBy } : null,
        ended: ended.map(({ id, untilMs }): EndedSession => ({ id, untilMs })),
      },
    });
  }

  /** How many of them have a role. */
  countWith(role: string): number {
    return [...this.#users.values()].filter(({ user }) => user.roles.includes(role)).length;
  }

  /** Of each user. */
  *roles(): Generator<readonly string[]> {
    for (const { user } of this.#users.values()) yield user.roles;
  }

  /** In place of what was kept of this user. */
  #keep(user: UserRow, { number, sub, timeMs }: AccessChange): void {
    const known = this.#users.get(user.name);
    if (known !== undefined) this.#changes.drop(known.row);
    const changed = { ...user, changedMs: timeMs };
    const row = this.#changes.create({ table: 'u', number, sub }, userRowCodec.encode(changed));
    this.#users.set(user.name, { row, user: changed });
  }

  #require(name: string): KeptUser {
    const known = this.#users.get(name);
    if (known !== undefined) return known;
    throw new HoldfastError('NOT_FOUND', `there is no user ${name}`, {
      field: 'name',
      hint: 'holdfast user list shows which there are',
    });
  }

  #requireRoom(): void {
    if (this.#users.size < LIMITS.usersMax) return;
    throw full('users', LIMITS.usersMax, 'delete those that are not needed: holdfast user delete');
  }

  #requireFewRules(roles: readonly string[]): void {
    requireFewRules(
      roles.map((role) => this.#policyOf(role)),
      'roles',
    );
  }

  #requireGrantable(roles: readonly string[], { rights }: AccessChange): void {
    for (const role of roles) requireGrantable(rights, this.#policyOf(role));
  }

  /** I52 */
  #requireOtherAdmin({ name, roles }: UserRow): void {
    if (!roles.includes(ADMIN_ROLE) || this.countWith(ADMIN_ROLE) > 1) return;
    throw new HoldfastError('IN_USE', `${name} is the last user with the role ${ADMIN_ROLE}`, {
      field: 'name',
      hint: 'give another user this role first: holdfast user set-roles',
    });
  }
}

const EMPTY = { passwordHash: '', createdMs: 0, changedMs: 0, generation: 0 };

function newUser(name: string, { number, timeMs, principal }: AccessChange): UserRow {
  return {
    ...EMPTY,
    name,
    roles: [],
    createdMs: timeMs,
    generation: number,
    createdBy: principal,
    ended: [],
  };
}
