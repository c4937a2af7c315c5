/** Checks of what roles and tokens are given, whatever the state is. What a path means, access/policy says. */
import { LIMITS } from '../base/limits.ts';
import type { Policy } from '../proto/storage.ts';
import type { CreateAccessToken, CreateUser, ResetAdmin, SetPassword } from '../proto/users.ts';
import { checkCount, invalid, type Reason, tooLarge } from './checkKeys.ts';

const ROLE_PATTERN = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const TOKEN_ID_PATTERN = /^[0-9a-f]{16}$/;
/** A role's, and `@` for those who are known by an address. */
const USER_PATTERN = /^[a-z0-9][a-z0-9._@-]{0,62}$/;
const SESSION_PATTERN = /^[0-9a-f]{16}$/;
const HASH_BYTES = 32;

export function checkPolicy({ role, rules, admin }: Policy): Reason {
  const reason = checkRole(role, 'role');
  if (reason !== null) return reason;
  if (rules.length > LIMITS.policyRulesMax)
    return invalid('rules', `must be at most ${LIMITS.policyRulesMax}`);
  if (admin.length > LIMITS.policyWordsMax)
    return invalid('admin', `must be at most ${LIMITS.policyWordsMax}`);
  const long = rules.findIndex(({ capabilities }) => capabilities.length > LIMITS.policyWordsMax);
  if (long !== -1) return invalid(`rules[${long}].capabilities`, `must be at most ${LIMITS.policyWordsMax}`);
  const [bytes, most] = [policyBytes({ role, rules, admin }), LIMITS.policyBytesMax];
  return bytes > most ? tooLarge('policy', { bytes, most }) : null;
}

/** As protobuf encodes it. */
function policyBytes({ role, rules, admin }: Policy): number {
  const texts = (all: readonly string[]): number => total(all.map((text) => Buffer.byteLength(text)));
  const ruleBytes = rules.map(({ path, capabilities }) => texts([path]) + texts(capabilities));
  return texts([role]) + total(ruleBytes) + texts(admin);
}

/** Of fields with these lengths, each with its tag and its length ahead. */
function total(lengths: readonly number[]): number {
  return lengths.reduce((sum, bytes) => sum + 1 + varintBytes(bytes) + bytes, 0);
}

function varintBytes(value: number): number {
  return Math.max(1, Math.ceil((32 - Math.clz32(value)) / 7));
}

export function checkRole(role: string, field: string): Reason {
  if (ROLE_PATTERN.test(role)) return null;
  return invalid(field, 'must have 1 to 63 characters of a-z 0-9 . _ -, the first a letter or digit');
}

export function checkCreateAccessToken(create: CreateAccessToken): Reason {
  const { id, secretHash, description, roles, ttlMs } = create;
  const reason = checkAccessTokenId(id) ?? checkCount(ttlMs, 'ttl_ms', 0);
  if (reason !== null) return reason;
  if (secretHash.length !== HASH_BYTES) return invalid('secret_hash', `must have ${HASH_BYTES} bytes`);
  const bytes = Buffer.byteLength(description);
  if (bytes > LIMITS.nameBytesMax) return tooLarge('description', { bytes, most: LIMITS.nameBytesMax });
  if (ttlMs > LIMITS.accessTokenTtlMsMax)
    return invalid('ttl_ms', `must be at most ${LIMITS.accessTokenTtlMsMax}`);
  return checkRoles(roles);
}

export function checkAccessTokenId(id: string): Reason {
  return TOKEN_ID_PATTERN.test(id) ? null : invalid('id', 'must be 16 lower-case hex digits');
}

export function checkUserName(name: string, field = 'name'): Reason {
  if (USER_PATTERN.test(name)) return null;
  return invalid(field, 'must have 1 to 63 characters of a-z 0-9 . _ @ -, the first a letter or digit');
}

/** A role, an access token or a user: `user:` may stand before the name of one. */
export function checkWho(who: string): Reason {
  return checkUserName(who.replace(/^user:/, ''), 'who');
}

export function checkCreateUser({ name, passwordHash, roles }: CreateUser): Reason {
  return checkUserName(name) ?? checkPasswordHash(passwordHash) ?? checkRoles(roles);
}

export function checkSetPassword({ name, passwordHash, shownGeneration }: SetPassword): Reason {
  return (
    checkUserName(name) ??
    checkPasswordHash(passwordHash) ??
    checkCount(shownGeneration, 'shown_generation', 0)
  );
}

export function checkResetAdmin({ id, passwordHash }: ResetAdmin): Reason {
  return checkAccessTokenId(id) ?? checkPasswordHash(passwordHash);
}

/** What it is made of, access/password says. */
export function checkPasswordHash(hash: string): Reason {
  if (!hash.startsWith('$')) return invalid('password_hash', 'must be a PHC string');
  const bytes = Buffer.byteLength(hash);
  const most = LIMITS.passwordHashBytesMax;
  return bytes > most ? tooLarge('password_hash', { bytes, most }) : null;
}

export function isSessionId(text: string): boolean {
  return SESSION_PATTERN.test(text);
}

export function checkRoles(roles: readonly string[]): Reason {
  if (roles.length === 0) return invalid('roles', 'must name one role at least');
  if (roles.length > LIMITS.rolesMax) return invalid('roles', `must be at most ${LIMITS.rolesMax}`);
  for (const role of roles) {
    const reason = checkRole(role, 'roles');
    if (reason !== null) return reason;
  }
  return null;
}
