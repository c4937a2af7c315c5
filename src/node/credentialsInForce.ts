import type { Clock } from '../base/clock.ts';
import { issuerOf } from '../trust/identity.ts';
import {
  type NodeCredentials,
  replaceAuthorities,
  replaceNodeCertificate,
} from '../trust/nodeCredentials.ts';
import { readCertificate } from '../trust/publicKey.ts';

/** This node's credentials as they are now: on disk, on both ports, and in what it dials with. */
export class CredentialsInForce {
  readonly #dataDir: string;
  readonly #clock: Clock;
  readonly #takers: ((credentials: NodeCredentials) => void)[] = [];
  #credentials: NodeCredentials;
  /** Who has signed the certificate of these: asked for twice a second, and a signature to verify. */
  #signed: { readonly credentials: NodeCredentials; readonly signer: Uint8Array | null } | null = null;
  /** One change at a time: each begins with what the one before it has left. */
  #last: Promise<void> = Promise.resolve();

  constructor({
    dataDir,
    credentials,
    clock,
  }: {
    readonly dataDir: string;
    readonly credentials: NodeCredentials;
    readonly clock: Clock;
  }) {
    this.#dataDir = dataDir;
    this.#credentials = credentials;
    this.#clock = clock;
  }

  get now(): NodeCredentials {
    return this.#credentials;
  }

  /** The CA (DER) that has signed the certificate of this node. */
  get signer(): Uint8Array | null {
    const credentials = this.#credentials;
    if (this.#signed?.credentials !== credentials) {
      const signer = issuerOf(readCertificate(credentials.certificate), credentials.authorities);
      this.#signed = { credentials, signer };
    }
    return this.#signed.signer;
  }

  /** `take` is called with whatever comes after the present ones. */
  onReplaced(take: (credentials: NodeCredentials) => void): void {
    this.#takers.push(take);
  }

  /**
   * A new certificate (DER) for the same key. On disk before it is shown to anybody: a restart must not bring the old
   * one back. Connections that stand go on. When another CA has signed it than before, the old one is kept for clients.
   * @throws what the disk says
   */
  renew(certificate: Buffer): Promise<void> {
    return this.#inTurn(async () => {
      const before = this.#credentials;
      const signer = issuerOf(readCertificate(certificate), before.authorities);
      const former = signer === this.signer ? before.former : before.certificate;
      const renewed = { ...before, certificate, former };
      await replaceNodeCertificate(this.#dataDir, renewed);
      this.#take(renewed);
    });
  }

  /**
   * From now on these CAs (DER) are trusted, and no others but the one of this node's own certificate, until that is
   * renewed. On disk before it is said to anybody. An older state than the one of before changes nothing: a node that
   * starts behind the others must know them, or it would never catch up. @throws what the disk says
   */
  trust(authorities: readonly Uint8Array[], index: number): Promise<void> {
    return this.#inTurn(async () => {
      const before = this.#credentials;
      if (index < before.authoritiesIndex) return;
      const wanted = this.#withSigner(authorities.map((certificate) => Buffer.from(certificate)));
      const former = this.#formerUnder(wanted);
      const isNewer = index > before.authoritiesIndex;
      if (!isNewer && former === before.former && isSame(wanted, before.authorities)) return;
      const changed = { ...before, authorities: wanted, authoritiesIndex: index, former };
      await replaceAuthorities(this.#dataDir, changed);
      this.#take(changed);
    });
  }

  #withSigner(wanted: readonly Buffer[]): readonly Buffer[] {
    const { signer } = this;
    if (signer === null || wanted.some((certificate) => certificate.equals(signer))) return wanted;
    return [...wanted, Buffer.from(signer)];
  }

  /** Goes with its CA, and when it has expired: then it is worth less than the one that some clients cannot verify. */
  #formerUnder(authorities: readonly Buffer[]): Buffer | null {
    const { former } = this.#credentials;
    if (former === null) return null;
    const certificate = readCertificate(former);
    if (Date.parse(certificate.validTo) < this.#clock.wallMs()) return null;
    return issuerOf(certificate, authorities) === null ? null : former;
  }

  #take(credentials: NodeCredentials): void {
    this.#credentials = credentials;
    for (const take of this.#takers) take(credentials);
  }

  #inTurn(change: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(change);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}

function isSame(left: readonly Buffer[], right: readonly Buffer[]): boolean {
  return left.length === right.length && left.every((certificate, at) => right[at]?.equals(certificate));
}
