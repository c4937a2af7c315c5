import { timingSafeEqual } from 'node:crypto';
import { present } from '../base/assert.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { type CreateToken, type TokenRow, tokenRowCodec, type UseToken } from '../proto/storage.ts';
import { plaintextOf, type Row, type RowPlace } from './row.ts';
import type { RowChanges } from './rowChanges.ts';

interface Token {
  readonly row: Row;
  readonly token: TokenRow;
}

const NOTHING = Buffer.alloc(0);

/** Join tokens, by id: kept as hashes, each bound to the first pair of node and key that uses it. */
export class Tokens {
  readonly #changes: RowChanges;
  readonly #tokens = new Map<string, Token>();

  constructor(changes: RowChanges) {
    this.#changes = changes;
  }

  get count(): number {
    return this.#tokens.size;
  }

  /** The next log time at which a token goes, or null. */
  get dueMs(): number | null {
    let dueMs = Number.POSITIVE_INFINITY;
    for (const { token } of this.#tokens.values())
      dueMs = Math.min(dueMs, token.expiresMs + LIMITS.joinTokenKeptMs);
    return dueMs === Number.POSITIVE_INFINITY ? null : dueMs;
  }

  /** @throws HoldfastError INVALID_ARGUMENT, OVERLOADED */
  create({ id, secretHash, role, ttlMs }: CreateToken, at: { place: RowPlace; timeMs: number }): void {
    if (this.#tokens.has(id)) {
      throw new HoldfastError('INVALID_ARGUMENT', 'id is that of another join token', { field: 'id' });
    }
    if (this.#tokens.size >= LIMITS.joinTokensMax) {
      throw new HoldfastError('OVERLOADED', `${LIMITS.joinTokensMax} join tokens are kept already`, {
        hint: 'Revoke those that are not needed.',
      });
    }
    this.#put(at.place, {
      id,
      secretHash: Buffer.from(secretHash),
      role,
      createdMs: at.timeMs,
      expiresMs: at.timeMs + ttlMs,
      nodeId: '',
      csrKeyHash: NOTHING,
    });
  }

  /**
   * Binds a token to a pair of node id and key; the same pair may come again until the token expires.
   * @returns the role that the token gives
   * @throws HoldfastError TOKEN_UNKNOWN, TOKEN_EXPIRED, NODE_ID_REUSED, TOKEN_USED
   */
  use(use: UseToken, at: { place: RowPlace; timeMs: number; isRemoved: boolean; isMember: boolean }): string {
    const token = requireGood(this.get(use.id), use, at.timeMs);
    if (at.isRemoved) throw reused(`node id ${use.nodeId} was removed and never comes back`);
    if (token.nodeId === '') {
      if (at.isMember) throw reused(`node id ${use.nodeId} is a member already`);
      this.#changes.drop(present(this.#tokens.get(use.id), 'token').row);
      this.#put(at.place, { ...token, nodeId: use.nodeId, csrKeyHash: Buffer.from(use.csrKeyHash) });
      return token.role;
    }
    requireSameUser(token, use);
    return token.role;
  }

  /** A token as it is kept, used or not; null when there is none. */
  get(id: string): TokenRow | null {
    return this.#tokens.get(id)?.token ?? null;
  }

  /** As they are kept, used ones and those that have expired not long ago too; the oldest first. */
  get all(): readonly TokenRow[] {
    return [...this.#tokens.values()]
      .map(({ token }) => token)
      .toSorted((left, right) => left.createdMs - right.createdMs || (left.id < right.id ? -1 : 1));
  }

  /** @throws HoldfastError TOKEN_UNKNOWN */
  revoke(id: string): void {
    const known = this.#tokens.get(id);
    if (known === undefined) throw unknownToken();
    this.#drop(known);
  }

  /** Tokens that expired more than LIMITS.joinTokenKeptMs ago go; until then they are known to have expired. */
  expire(timeMs: number): void {
    for (const known of this.#tokens.values()) {
      if (known.token.expiresMs + LIMITS.joinTokenKeptMs <= timeMs) this.#drop(known);
    }
  }

  load(row: Row, encoded: Buffer): void {
    const { id, role, createdMs, expiresMs, nodeId, ...hashes } = tokenRowCodec.decode(plaintextOf(encoded));
    const secretHash = Buffer.from(hashes.secretHash);
    const csrKeyHash = Buffer.from(hashes.csrKeyHash);
    this.#tokens.set(id, {
      row: this.#changes.loaded(row),
      token: { id, secretHash, role, createdMs, expiresMs, nodeId, csrKeyHash },
    });
  }

  #put(place: RowPlace, token: TokenRow): void {
    this.#tokens.set(token.id, { row: this.#changes.create(place, tokenRowCodec.encode(token)), token });
  }

  #drop({ row, token }: Token): void {
    this.#changes.drop(row);
    this.#tokens.delete(token.id);
  }
}

/**
 * A token as it is kept (null: there is none) for one who shows the hash of a secret, at this log time.
 * @throws HoldfastError TOKEN_UNKNOWN, TOKEN_EXPIRED
 */
export function requireGood(
  token: TokenRow | null,
  { secretHash }: Pick<UseToken, 'secretHash'>,
  timeMs: number,
): TokenRow {
  // One answer for an id and a secret that are wrong: an id alone must tell nothing.
  if (token === null || !timingSafeEqual(token.secretHash, secretHash)) throw unknownToken();
  if (timeMs < token.expiresMs) return token;
  throw new HoldfastError('TOKEN_EXPIRED', 'the join token is past its time', TOKEN_WANTED);
}

/** That nobody has used the token, or this pair of node and key. @throws HoldfastError TOKEN_USED */
export function requireSameUser(
  token: TokenRow,
  { nodeId, csrKeyHash }: Pick<UseToken, 'nodeId' | 'csrKeyHash'>,
): void {
  if (token.nodeId === '') return;
  if (token.nodeId === nodeId && timingSafeEqual(token.csrKeyHash, csrKeyHash)) return;
  throw new HoldfastError('TOKEN_USED', 'another node has used this join token', TOKEN_WANTED);
}

const TOKEN_WANTED = { field: 'token', hint: 'Make a new one: holdfast member add-token.' } as const;

function unknownToken(): HoldfastError {
  return new HoldfastError('TOKEN_UNKNOWN', 'no join token has this id and secret', TOKEN_WANTED);
}

function reused(message: string): HoldfastError {
  return new HoldfastError('NODE_ID_REUSED', message, {
    field: 'node_id',
    hint: 'Remove the data directory of the joining node and join again.',
  });
}
