import 'reflect-metadata';
import { webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { type NodeId, parseNodeId } from '../../../src/base/ids.ts';
import type { PeerCredentials } from '../../../src/replication/transport/types.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const crypto = webcrypto as unknown as NonNullable<
  Parameters<typeof x509.X509CertificateGenerator.create>[1]
>;
const HOUR_MS = 3_600_000;

/** When a certificate is valid, with an hour to spare on both sides of this moment. */
export type Validity = 'no longer' | 'now' | 'not yet';

/** A certificate authority of a test's own. */
export class TestAuthority {
  readonly #certificate: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.#certificate = certificate;
    this.#keys = keys;
  }

  static async create(name = 'test authority'): Promise<TestAuthority> {
    const keys = (await crypto.subtle.generateKey(ALGORITHM, true, [
      'sign',
      'verify',
    ])) as webcrypto.CryptoKeyPair;
    const certificate = await x509.X509CertificateGenerator.createSelfSigned(
      {
        name: `CN=${name}`,
        keys,
        ...validity(),
        signingAlgorithm: ALGORITHM,
        extensions: [new x509.BasicConstraintsExtension(true, 1, true)],
      },
      crypto,
    );
    return new TestAuthority(certificate, keys);
  }

  get pem(): Buffer {
    return Buffer.from(this.#certificate.toString('pem'));
  }

  /** A certificate for `uri`, e.g. `holdfast://c/node/…`. */
  async issue(uri: string, valid: Validity = 'now'): Promise<PeerCredentials> {
    const keys = (await crypto.subtle.generateKey(ALGORITHM, true, [
      'sign',
      'verify',
    ])) as webcrypto.CryptoKeyPair;
    const certificate = await x509.X509CertificateGenerator.create(
      {
        subject: 'CN=node',
        issuer: this.#certificate.subject,
        publicKey: keys.publicKey,
        signingKey: this.#keys.privateKey,
        ...validity(valid),
        signingAlgorithm: ALGORITHM,
        extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: uri }])],
      },
      crypto,
    );
    const privateKey = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey));
    return {
      certificate: Buffer.from(certificate.toString('pem')),
      privateKey: Buffer.from(x509.PemConverter.encode(privateKey, 'PRIVATE KEY')),
      authorityCertificate: this.pem,
    };
  }

  issueNode(nodeId: NodeId, valid?: Validity): Promise<PeerCredentials> {
    return this.issue(`holdfast://cluster/node/${nodeId}`, valid);
  }
}

function validity(valid: Validity = 'now'): { notBefore: Date; notAfter: Date } {
  const [from, to] = { 'no longer': [-2, -1], now: [-1, 24], 'not yet': [1, 2] }[valid];
  const at = (hours = 0): Date => new Date(Date.now() + hours * HOUR_MS);
  return { notBefore: at(from), notAfter: at(to) };
}

/** The node that a certificate names, as the host's port function does it. */
export function identifyNode(certificate: Buffer): NodeId | null {
  const match = /^URI:holdfast:\/\/cluster\/node\/([0-9a-f]{16})$/.exec(
    new X509Certificate(certificate).subjectAltName ?? '',
  );
  return match?.[1] === undefined ? null : parseNodeId(match[1]);
}

export function testNodeId(number: number): NodeId {
  return parseNodeId(number.toString(16).padStart(16, '0'));
}
