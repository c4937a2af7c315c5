import { BUILT_IN_POLICIES, BUILT_IN_ROLES } from '../access/policy/builtInRoles.ts';
import type { Asker } from '../access/policy/decide.ts';
import { type ParsedPolicy, parsePolicy } from '../access/policy/policy.ts';
import { ALL_RIGHTS, NO_RIGHTS, Rights } from '../access/policy/rights.ts';
import { hostOf } from '../base/address.ts';
import { present } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Policy, Principal } from '../proto/storage.ts';
import {
  type AccessTokenRow,
  accessTokenRowCodec,
  type CreateAccessToken,
  type NoteTokenUse,
  policyRowCodec,
} from '../proto/users.ts';
import {
  type AccessChange,
  full,
  noRole,
  requireFewRules,
  requireGrantable,
  unknownToken,
} from './granting.ts';
import { plaintextOf, type Row, type RowPlace } from './row.ts';
import type { RowChanges } from './rowChanges.ts';
import { Users, type UsersView } from './users.ts';

interface KeptPolicy {
  readonly row: Row;
  readonly policy: Policy;
  readonly parsed: ParsedPolicy;
}

interface KeptToken {
  readonly row: Row;
  readonly token: AccessTokenRow;
}

/** What others than apply may see of it. */
export type AccessView = Pick<
  Access,
  'asker' | 'requireToken' | 'token' | 'tokens' | 'policies' | 'explain'
> & { readonly users: UsersView };

/** What is new about a use of a token from a host. */
export type NewAddress = 'first' | 'another';

interface UsePlace {
  readonly number: number;
  readonly sub: number;
  readonly timeMs: number;
}

export interface Question {
  readonly who: string;
  readonly what: string;
  /** Latin-1, one character for each byte. */
  readonly name: string | null;
}

export interface Explanation {
  readonly allowed: boolean;
  /** Empty: none is for the name. */
  readonly pattern: string;
  readonly roles: readonly string[];
  readonly capabilities: readonly string[];
}

/**
 * Policies by role, access tokens by id, and users. Invariant I50: every role of a token and of a user has a policy, so that
 * what somebody may do never hangs on what is missing.
 */
export class Access {
  readonly users: Users;
  readonly #changes: RowChanges;
  readonly #policies = new Map<string, KeptPolicy>();
  readonly #tokens = new Map<string, KeptToken>();
  /** Made of the policies when first asked for, by role names; never part of the state. */
  readonly #rights = new Map<string, Rights>();

  /** Not above the end of any token. */
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(changes: RowChanges) {
    this.#changes = changes;
    this.users = new Users(changes, (role) => this.#parsed(role));
  }

  /** The next log time at which a token goes, or one before it; or null. */
  get dueMs(): number | null {
    return this.#dueMs === Number.POSITIVE_INFINITY ? null : this.#dueMs;
  }

  /**
   * Who asks, as the state is. `timeMs` is asked for where the answer hangs on the time.
   * @throws HoldfastError UNAUTHENTICATED, PERMISSION_DENIED
   */
  asker(principal: Principal, timeMs: () => number): Asker {
    const { kind, name } = principal;
    switch (kind) {
      case 'client':
        return { kind, rights: ALL_RIGHTS };
      case 'node':
        return { kind, rights: NO_RIGHTS };
      case 'token':
        return { kind, rights: this.#rightsOf(this.requireToken(name, timeMs()).roles) };
      case 'user':
        return { kind, user: name, rights: this.#rightsOf(this.users.requireSession(principal).roles) };
      default:
        throw new HoldfastError('PERMISSION_DENIED', 'this kind of principal is not known');
    }
  }

  /**
   * Which rules decide whether somebody may do this. `who`: the id of an access token, a role, or a user; `name` null: `what` is an
   * area, and else a capability. @throws HoldfastError NOT_FOUND
   */
  explain({ who, what, name }: Question): Explanation {
    const roles = this.token(who)?.roles ?? this.#rolesOf(who);
    const parsed = roles.map((role) => this.#parsed(role));
    if (name === null) {
      const administrators = parsed.filter(({ areas }) => [...areas].some((area) => area === what));
      const allowed = administrators.length > 0;
      return { allowed, pattern: '', roles: administrators.map(({ role }) => role), capabilities: [] };
    }
    const decisive = new Rights(parsed).decisive(name);
    const capabilities: readonly string[] = [...(decisive?.capabilities ?? [])];
    const { pattern = '', policies = [] } = decisive ?? {};
    return { allowed: capabilities.includes(what), pattern, roles: policies, capabilities };
  }

  /** A token that is good at this log time. @throws HoldfastError UNAUTHENTICATED, the same whatever is wrong with it */
  requireToken(id: string, timeMs: number): AccessTokenRow {
    const token = this.token(id);
    if (token !== null && (token.expiresMs === 0 || timeMs < token.expiresMs)) return token;
    throw unknownToken();
  }

  /** As it is kept, be it past its time or not; null when there is none. */
  token(id: string): AccessTokenRow | null {
    return this.#tokens.get(id)?.token ?? null;
  }

  /** The oldest first. */
  get tokens(): readonly AccessTokenRow[] {
    return [...this.#tokens.values()]
      .map(({ token }) => token)
      .toSorted((left, right) => left.createdMs - right.createdMs || (left.id < right.id ? -1 : 1));
  }

  /** Those that every cluster has, then the others by name. */
  get policies(): readonly Policy[] {
    const own = [...this.#policies.values()].map(({ policy }) => policy);
    return [...BUILT_IN_POLICIES, ...own.toSorted((left, right) => (left.role < right.role ? -1 : 1))];
  }

  /**
   * Makes a policy, or puts another one in its place. What those have who have the role already must be within the rights of
   * who does it, with the old policy, with the new one, and without either.
   * @throws HoldfastError INVALID_ARGUMENT, PERMISSION_DENIED, OVERLOADED
   */
  putPolicy(policy: Policy, change: AccessChange): void {
    const parsed = parsePolicy(policy);
    const { role } = parsed;
    refuseBuiltIn(role);
    const known = this.#policies.get(role);
    if (known === undefined && this.#policies.size >= LIMITS.policiesMax) {
      throw full('policies', LIMITS.policiesMax, 'delete those that are not needed');
    }
    requireGrantable(change.rights, parsed);
    const holders = this.#holdersOf(role);
    if (known !== undefined && holders.length > 0) requireGrantable(change.rights, known.parsed);
    for (const roles of holders) {
      const beside = roles.filter((other) => other !== role).map((other) => this.#parsed(other));
      requireFewRules([parsed, ...beside], 'rules');
    }
    const others = new Set(holders.flatMap((roles) => roles.filter((other) => other !== role)));
    for (const other of others) requireGrantable(change.rights, this.#parsed(other));
    if (known !== undefined) this.#changes.drop(known.row);
    const kept = ownPolicy(policy);
    const row = this.#changes.create(
      { table: 'p', number: change.number, sub: change.sub },
      policyRowCodec.encode({ policy: kept, changedMs: change.timeMs }),
    );
    this.#policies.set(role, { row, policy: kept, parsed });
    this.#rights.clear();
  }

  /** @throws HoldfastError INVALID_ARGUMENT, NOT_FOUND, IN_USE */
  deletePolicy(role: string): void {
    refuseBuiltIn(role);
    const known = this.#policies.get(role);
    if (known === undefined) throw noRole(role);
    const tokens = this.tokens.filter(({ roles }) => roles.includes(role)).length;
    const users = this.users.countWith(role);
    if (tokens + users > 0) {
      throw new HoldfastError('IN_USE', `${tokens} access tokens and ${users} users have the role ${role}`, {
        field: 'role',
        hint: 'take it from them first: holdfast token list, holdfast user list',
      });
    }
    this.#changes.drop(known.row);
    this.#policies.delete(role);
    this.#rights.clear();
  }

  /** @throws HoldfastError INVALID_ARGUMENT, NOT_FOUND, PERMISSION_DENIED, OVERLOADED */
  createToken(create: CreateAccessToken, change: AccessChange): void {
    const { id, secretHash, description, ttlMs } = create;
    if (this.#tokens.has(id))
      throw new HoldfastError('INVALID_ARGUMENT', 'id is that of another access token', { field: 'id' });
    if (this.#tokens.size >= LIMITS.accessTokensMax)
      throw full('access tokens', LIMITS.accessTokensMax, 'revoke those that are not needed');
    const roles = [...new Set(create.roles)];
    requireFewRules(
      roles.map((role) => this.#parsed(role)),
      'roles',
    );
    for (const role of roles) requireGrantable(change.rights, this.#parsed(role));
    this.#keepToken(
      { table: 'b', number: change.number, sub: change.sub },
      {
        id,
        secretHash: Buffer.from(secretHash),
        description,
        roles,
        createdMs: change.timeMs,
        expiresMs: ttlMs === 0 ? 0 : change.timeMs + ttlMs,
        createdBy: change.principal,
        lastUsedMs: 0,
        addresses: [],
      },
    );
  }

  /** Another one only by who has all that it may do. @throws HoldfastError NOT_FOUND, PERMISSION_DENIED */
  revokeToken(id: string, { principal, rights }: AccessChange): void {
    const known = this.#tokens.get(id);
    if (known === undefined)
      throw new HoldfastError('NOT_FOUND', `there is no access token ${id}`, {
        field: 'id',
        hint: 'holdfast token list',
      });
    const isOwn = principal.kind === 'token' && principal.name === id;
    if (!isOwn) for (const role of known.token.roles) requireGrantable(rights, this.#parsed(role));
    this.#dropToken(known);
  }

  /** Keeps that a token was used; null: not from a new address. What there is no token for any more is passed over. */
  noteUse({ id, address }: NoteTokenUse, { number, sub, timeMs }: UsePlace): NewAddress | null {
    const known = this.#tokens.get(id);
    if (known === undefined) return null;
    const { row, token } = known;
    const host = hostOf(address);
    const isNew = !token.addresses.includes(host);
    if (!isNew && timeMs < token.lastUsedMs + LIMITS.tokenUseNotedMs) return null;
    const others = token.addresses.filter((one) => one !== host);
    const addresses = [...others, host].slice(-LIMITS.tokenAddressesMax);
    this.#changes.drop(row);
    this.#keepToken({ table: 'b', number, sub }, { ...token, lastUsedMs: timeMs, addresses });
    if (!isNew) return null;
    return token.lastUsedMs === 0 ? 'first' : 'another';
  }

  /** Tokens go some time after their end; until then it is known whose they were. */
  expire(timeMs: number): void {
    if (timeMs < this.#dueMs) return;
    this.#dueMs = Number.POSITIVE_INFINITY;
    for (const known of this.#tokens.values()) {
      if (goneMs(known.token) <= timeMs) this.#dropToken(known);
      else this.#dueMs = Math.min(this.#dueMs, dueMsOf(known.token, timeMs));
    }
  }

  loadPolicy(row: Row, encoded: Buffer): void {
    const { policy } = policyRowCodec.decode(plaintextOf(encoded));
    if (!policy) throw new HoldfastError('STATE_CORRUPT', 'a policy row holds no policy');
    const kept = ownPolicy(policy);
    this.#policies.set(kept.role, {
      row: this.#changes.loaded(row),
      policy: kept,
      parsed: parsePolicy(kept),
    });
  }

  loadToken(row: Row, encoded: Buffer): void {
    const token = accessTokenRowCodec.decode(plaintextOf(encoded));
    const { createdBy } = token;
    this.#dueMs = Math.min(this.#dueMs, dueMsOf(token, 0));
    this.#tokens.set(token.id, {
      row: this.#changes.loaded(row),
      token: {
        ...token,
        roles: [...token.roles],
        secretHash: Buffer.from(token.secretHash),
        createdBy: createdBy ? { ...createdBy } : null,
        addresses: [...token.addresses],
      },
    });
  }

  #keepToken(place: RowPlace, token: AccessTokenRow): void {
    this.#dueMs = Math.min(this.#dueMs, dueMsOf(token, 0));
    this.#tokens.set(token.id, {
      row: this.#changes.create(place, accessTokenRowCodec.encode(token)),
      token,
    });
  }

  #dropToken({ row, token }: KeptToken): void {
    this.#changes.drop(row);
    this.#tokens.delete(token.id);
  }

  /** All roles of each who has this one; many have the same. */
  #holdersOf(role: string): readonly (readonly string[])[] {
    const all = [...[...this.#tokens.values()].map(({ token }) => token.roles), ...this.users.roles()];
    const holders = all.filter((roles) => roles.includes(role));
    return [...new Map(holders.map((roles) => [roles.join(' '), roles])).values()];
  }

  /** A role and a user may have one name: then it is the role, and `user:` before it means the user. */
  #rolesOf(who: string): readonly string[] {
    const isRole = this.#find(who) !== undefined;
    return (isRole ? null : this.users.get(who.replace(USER_PREFIX, ''))?.roles) ?? [who];
  }

  #parsed(role: string): ParsedPolicy {
    const parsed = this.#find(role);
    if (parsed === undefined) throw noRole(role);
    return parsed;
  }

  #find(role: string): ParsedPolicy | undefined {
    return BUILT_IN_ROLES.get(role) ?? this.#policies.get(role)?.parsed;
  }

  #rightsOf(roles: readonly string[]): Rights {
    const name = roles.join(' ');
    const known = this.#rights.get(name);
    if (known !== undefined) return known;
    const policies = roles.map((role) => present(this.#find(role), `I50: the policy of role ${role}`));
    const rights = new Rights(policies);
    if (this.#rights.size >= LIMITS.rightsCachedMax) this.#rights.clear();
    this.#rights.set(name, rights);
    return rights;
  }
}

const USER_PREFIX = /^user:/;

/** Its end comes by an entry, also where nobody writes; then nothing is due before it goes. */
function dueMsOf(token: AccessTokenRow, timeMs: number): number {
  return token.expiresMs > timeMs ? token.expiresMs : goneMs(token);
}

const goneMs = ({ expiresMs }: AccessTokenRow): number =>
  expiresMs === 0 ? Number.POSITIVE_INFINITY : expiresMs + LIMITS.accessTokenKeptMs;

/** In memory of its own: what was decoded shares that of its entry. */
function ownPolicy({ role, rules, admin }: Policy): Policy {
  return {
    role,
    rules: rules.map(({ path, capabilities }) => ({ path, capabilities: [...capabilities] })),
    admin: [...admin],
  };
}

function refuseBuiltIn(role: string): void {
  if (!BUILT_IN_ROLES.has(role)) return;
  throw new HoldfastError('INVALID_ARGUMENT', `${role} is a role that every cluster has`, {
    field: 'role',
    hint: 'choose another name',
  });
}
