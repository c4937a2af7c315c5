/** Who asks, and until when: read off the connection and the call, never off the request. */
import { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { Principal } from '../proto/storage.ts';
import type { Caller, Holder, Refusal } from './ports.ts';

/** What a verified certificate says of its holder. A node is nobody on the API. */
export type Identity =
  | { readonly kind: 'client'; readonly name: string }
  | { readonly kind: 'nobody'; readonly reason: string };

/**
 * Reads the identity out of a certificate (DER) that TLS has verified against the cluster's authority.
 * May throw a HoldfastError instead, which makes the holder nobody as well.
 */
export type Identify = (certificateDer: Uint8Array) => Identity;

/** The part of a server call that this folder reads. */
export interface IncomingCall {
  readonly metadata: { get(name: string): readonly (string | Buffer)[] };
  getPeer(): string;
  getAuthContext(): { readonly sslPeerCertificate?: PeerCertificate | undefined };
}

/** Who shows this token. @throws HoldfastError UNAUTHENTICATED, and what a linearizable read throws */
export type HolderOf = (
  token: string,
  shown: { readonly address: string; readonly deadlineMs: number },
) => Promise<Holder>;

/** RFC 6750, section 2.1. What is longer is not looked at. */
const BEARER = /^Bearer ([A-Za-z0-9._~+/=-]+)$/i;

type ShownCertificate = Pick<PeerCertificate, 'raw' | 'fingerprint256'>;

interface Identified {
  readonly identity: Identity;
  /** Of the certificate, on the wall clock. */
  readonly endMs: number;
}

export class Callers {
  readonly #identify: Identify;
  readonly #holderOf: HolderOf;
  readonly #onProved: (peer: string) => void;
  readonly #onRefused: (refusal: Refusal) => void;
  readonly #clock: Clock;
  readonly #identities = new Map<string, Identified>();

  constructor(options: {
    readonly identify: Identify;
    readonly holderOf: HolderOf;
    readonly clock: Clock;
    /** The peer has shown an access token that is good. */
    readonly onProved?: (peer: string) => void;
    /** Somebody has not shown who he is; of a token that is not good `holderOf` knows by itself. */
    readonly onRefused?: (refusal: Refusal) => void;
  }) {
    this.#onProved = options.onProved ?? (() => undefined);
    this.#onRefused = options.onRefused ?? (() => undefined);
    this.#identify = options.identify;
    this.#holderOf = options.holderOf;
    this.#clock = options.clock;
  }

  /**
   * Who calls. Whoever shows a token is its holder, also on a connection with a certificate that may do more.
   * @throws HoldfastError UNAUTHENTICATED; with a token also what a linearizable read throws
   */
  async identified(
    call: IncomingCall,
    deadlineMs: number,
  ): Promise<Pick<Caller, 'principal' | 'sessionEndMs' | 'isInForce'>> {
    const [authorization] = call.metadata.get('authorization');
    if (authorization === undefined) return { principal: this.certified(call) };
    const token = bearerOf(authorization);
    if (token === null) {
      this.#refused(call, 'an authorization that is not Bearer and a token');
      throw new HoldfastError('UNAUTHENTICATED', 'the authorization of the call is not Bearer and a token', {
        field: 'authorization',
      });
    }
    const address = call.getPeer();
    const holder = await this.#holderOf(token, { address, deadlineMs });
    this.#onProved(address);
    return { ...holder, principal: { ...holder.principal, address } };
  }

  /** @throws HoldfastError UNAUTHENTICATED when the connection proves no client identity */
  certified(call: IncomingCall): Principal {
    const certificate = call.getAuthContext().sslPeerCertificate;
    const identity = certificate === undefined ? NO_CERTIFICATE : this.#identityNow(certificate);
    if (identity.kind === 'client') return { kind: 'client', name: identity.name, address: call.getPeer() };
    this.#refused(call, certificate === undefined ? REFUSED_NOTHING : REFUSED_CERTIFICATE);
    throw new HoldfastError('UNAUTHENTICATED', `not a client of this cluster: ${identity.reason}`, {
      hint: 'log in: holdfast login; or connect with a client certificate of this cluster, or an access token',
    });
  }

  /** DER: what the caller has shown, once `identified` has been asked. @throws HoldfastError UNAUTHENTICATED */
  certificate(call: IncomingCall): Uint8Array {
    const certificate = call.getAuthContext().sslPeerCertificate;
    if (certificate !== undefined) return certificate.raw;
    throw new HoldfastError('UNAUTHENTICATED', 'the connection shows no certificate');
  }

  /** When the certificate of the caller ends, on the wall clock: for streams, whose caller is asked for once. */
  endMs(call: IncomingCall): number {
    const certificate = call.getAuthContext().sslPeerCertificate;
    return certificate === undefined ? Number.NEGATIVE_INFINITY : this.#identified(certificate).endMs;
  }

  /** Who is trusted has changed: every certificate is judged anew, of connections that stand too. */
  forget(): void {
    this.#identities.clear();
  }

  /** A caller whose answer is of use for `timeoutMs` (0: the default) from now, at most `requestTimeoutMsMax`. */
  caller(principal: Principal, timeoutMs: number): Caller {
    return { principal, deadlineMs: this.deadlineMs(timeoutMs) };
  }

  /** On the monotonic clock. */
  deadlineMs(timeoutMs: number): number {
    const wantedMs = timeoutMs === 0 ? LIMITS.requestTimeoutMs : timeoutMs;
    return this.#clock.monotonicMs() + Math.min(wantedMs, LIMITS.requestTimeoutMsMax);
  }

  /** The gRPC deadline of a unary call (wall clock, Infinity when absent) as a timeout for `caller`. */
  timeoutMs(deadline: Date | number): number {
    const wallMs = typeof deadline === 'number' ? deadline : deadline.getTime();
    if (!Number.isFinite(wallMs)) return 0;
    return Math.max(1, wallMs - this.#clock.wallMs());
  }

  nowMs(): number {
    return this.#clock.monotonicMs();
  }

  /** What the certificate says may be anything, and is not told on. */
  #refused(call: IncomingCall, detail: string): void {
    const principal = { kind: '', name: '', address: call.getPeer() };
    this.#onRefused({ principal, proved: false, code: 'UNAUTHENTICATED', detail });
  }

  /** A connection outlives the certificate that it was opened with: each call asks. */
  #identityNow(certificate: ShownCertificate): Identity {
    const { identity, endMs } = this.#identified(certificate);
    if (this.#clock.wallMs() <= endMs) return identity;
    return { kind: 'nobody', reason: `the certificate expired at ${new Date(endMs).toISOString()}` };
  }

  /** Keyed by the certificate itself, not by the peer's address: another connection may come from the same port. */
  #identified(certificate: ShownCertificate): Identified {
    const known = this.#identities.get(certificate.fingerprint256);
    if (known !== undefined) return known;
    const identified = {
      identity: this.#read(certificate.raw),
      endMs: Date.parse(new X509Certificate(certificate.raw).validTo),
    };
    if (this.#identities.size >= LIMITS.apiCertificatesCachedMax) this.#identities.clear();
    this.#identities.set(certificate.fingerprint256, identified);
    return identified;
  }

  #read(certificateDer: Uint8Array): Identity {
    try {
      return this.#identify(certificateDer);
    } catch (thrown) {
      if (thrown instanceof HoldfastError) return { kind: 'nobody', reason: thrown.message };
      throw thrown;
    }
  }
}

function bearerOf(authorization: string | Buffer): string | null {
  if (typeof authorization !== 'string' || authorization.length > LIMITS.bearerBytesMax) return null;
  return BEARER.exec(authorization)?.[1] ?? null;
}

const REFUSED_NOTHING = 'no certificate and no token';
const REFUSED_CERTIFICATE = 'a certificate of no client, or one that has ended';
const NO_CERTIFICATE: Identity = { kind: 'nobody', reason: 'no verified client certificate' };
