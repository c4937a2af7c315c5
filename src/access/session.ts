import type { KeyObject } from 'node:crypto';
import { type JWTPayload, jwtVerify, SignJWT } from 'jose';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { isSessionId } from '../command/checkAccess.ts';

/** A session as its token tells it. */
export interface Session {
  /** The name of the user. */
  readonly user: string;
  /** Of the password that he has shown. */
  readonly generation: number;
  /** 16 hex digits. */
  readonly session: string;
  /** On the wall clock. */
  readonly expiresMs: number;
}

export interface SessionsParts {
  readonly clusterId: string;
  /** Of the JWT secret in force: the same on every node; null when this node does not hold it. */
  readonly key: () => KeyObject | null;
  readonly clock: Clock;
  readonly random: RandomSource;
}

/** RFC 7519; pinned, so that a token never says how it is to be verified. */
const ALGORITHM = 'HS256';
const TYPE = 'holdfast-session+jwt';
const FORM = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const REQUIRED = ['sub', 'gen', 'jti', 'iat', 'exp'];

/**
 * Sessions as signed tokens (RFC 7519): made on one node, good on every other. Whether the user is still there, has this
 * password and has not ended the session, the state says.
 */
export class Sessions {
  readonly #parts: SessionsParts;

  constructor(parts: SessionsParts) {
    this.#parts = parts;
  }

  /** A new session, for LIMITS.sessionMs. @throws HoldfastError UNAVAILABLE while this node does not hold the JWT secret */
  async create(of: {
    readonly user: string;
    readonly generation: number;
  }): Promise<Session & { readonly token: string }> {
    const { clusterId, clock, random } = this.#parts;
    const key = this.#parts.key();
    if (key === null)
      throw new HoldfastError('UNAVAILABLE', 'this node does not hold the JWT secret in force', {
        hint: 'log in at another node',
      });
    const session = random.bytes(8).toString('hex');
    const nowSeconds = Math.floor(clock.wallMs() / 1_000);
    const endSeconds = nowSeconds + LIMITS.sessionMs / 1_000;
    const token = await new SignJWT({ gen: of.generation })
      .setProtectedHeader({ alg: ALGORITHM, typ: TYPE })
      .setIssuer(clusterId)
      .setSubject(of.user)
      .setJti(session)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(endSeconds)
      .sign(key);
    return { ...of, session, expiresMs: endSeconds * 1_000, token };
  }

  /** What sessions are signed by now; another one means that all from before are over. */
  keyInForce(): KeyObject | null {
    return this.#parts.key();
  }

  /** Null: it is none that is good now, whatever is wrong with it. What is too long is not looked at. */
  async verify(token: string): Promise<Session | null> {
    const { clusterId, clock } = this.#parts;
    const key = this.#parts.key();
    if (key === null || token.length > LIMITS.sessionTokenBytesMax || !FORM.test(token)) return null;
    try {
      const { payload } = await jwtVerify(token, key, {
        algorithms: [ALGORITHM],
        typ: TYPE,
        issuer: clusterId,
        requiredClaims: REQUIRED,
        clockTolerance: LIMITS.sessionLeewayMs / 1_000,
        maxTokenAge: LIMITS.sessionMs / 1_000,
        currentDate: new Date(clock.wallMs()),
      });
      return sessionOf(payload);
    } catch {
      return null;
    }
  }
}

function sessionOf({ sub = '', gen, jti = '', exp = 0 }: JWTPayload): Session | null {
  if (typeof gen !== 'number' || !Number.isSafeInteger(gen) || gen < 1 || !isSessionId(jti)) return null;
  return { user: sub, generation: gen, session: jti, expiresMs: exp * 1_000 };
}
