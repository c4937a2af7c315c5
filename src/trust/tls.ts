import type { KeyObject } from 'node:crypto';
import tls from 'node:tls';
import { experimental, type ServerCredentials } from '@grpc/grpc-js';
import { present } from '../base/assert.ts';
import { issuerOf } from './identity.ts';
import { readCertificate } from './publicKey.ts';

/**
 * From now on every TLS socket of this process speaks TLS 1.3 or none. gRPC has no option for it, so this is called
 * before the first socket or secure context is made.
 */
export function requireTls13(): void {
  tls.DEFAULT_MIN_VERSION = 'TLSv1.3';
  tls.DEFAULT_MAX_VERSION = 'TLSv1.3';
}

/** PEM, as gRPC and TLS servers and clients take it. */
export interface TlsMaterial {
  /** All that are trusted, one after the other. */
  readonly ca: Buffer;
  /** The leaf, then the CA: who pins the CA must be shown it. */
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface TlsMaterialSource {
  /** DER: all that are trusted; the one that has signed the certificate is among them. */
  readonly authorities: readonly Uint8Array[];
  /** DER. */
  readonly certificate: Uint8Array;
  readonly privateKey: KeyObject;
}

export function tlsMaterial({ authorities, certificate, privateKey }: TlsMaterialSource): TlsMaterial {
  const issuer = present(issuerOf(readCertificate(certificate), authorities), 'CA of an own certificate');
  const key = privateKey.export({ format: 'pem', type: 'pkcs8' });
  const ca = Buffer.from(authorities.map(pemOf).join(''));
  return { ca, cert: Buffer.from(pemOf(certificate) + pemOf(issuer)), key: bufferOf(key) };
}

/** A certificate as PEM (RFC 7468). */
export function pemOf(certificateDer: Uint8Array): string {
  const lines = Buffer.from(certificateDer)
    .toString('base64')
    .match(/.{1,64}/g);
  return `-----BEGIN CERTIFICATE-----\n${(lines ?? []).join('\n')}\n-----END CERTIFICATE-----\n`;
}

type CertificateProvider = experimental.CertificateProvider;
type AuthorityListener = experimental.CaCertificateUpdateListener;
type CertificateListener = experimental.IdentityCertificateUpdateListener;

/** The TLS material of this node, now and after each renewal: servers made from it take up new material without restart. */
export class TlsMaterialHolder implements CertificateProvider {
  readonly #authorityListeners = new Set<AuthorityListener>();
  readonly #certificateListeners = new Set<CertificateListener>();
  #material: TlsMaterial;

  constructor(material: TlsMaterial) {
    this.#material = material;
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  /** New connections get the new material; open ones stay as they are. */
  replace(material: TlsMaterial): void {
    this.#material = material;
    for (const listener of this.#authorityListeners) listener({ caCertificate: material.ca });
    for (const listener of this.#certificateListeners) listener(certificateUpdate(material));
  }

  addCaCertificateListener(listener: AuthorityListener): void {
    this.#authorityListeners.add(listener);
    // Not at once: grpc-js begins to listen for what it makes of this only after the call.
    process.nextTick(() => listener({ caCertificate: this.#material.ca }));
  }

  removeCaCertificateListener(listener: AuthorityListener): void {
    this.#authorityListeners.delete(listener);
  }

  addIdentityCertificateListener(listener: CertificateListener): void {
    this.#certificateListeners.add(listener);
    process.nextTick(() => listener(certificateUpdate(this.#material)));
  }

  removeIdentityCertificateListener(listener: CertificateListener): void {
    this.#certificateListeners.delete(listener);
  }
}

/**
 * A gRPC server's credentials that ask each client for a certificate of this cluster. Where a client without one is
 * accepted, each method must look at the call's authentication context itself: it is empty for a client whose
 * certificate is missing or did not verify.
 */
export function serverCredentials(
  holder: TlsMaterialHolder,
  { clientWithoutCertificate }: { readonly clientWithoutCertificate: 'accepted' | 'refused' },
): ServerCredentials {
  // grpc-js 1.14 names the two providers in the wrong order in its types; one object for both cannot be swapped.
  const required = clientWithoutCertificate === 'refused';
  return experimental.createCertificateProviderServerCredentials(holder, holder, required);
}

function certificateUpdate(material: TlsMaterial): { certificate: Buffer; privateKey: Buffer } {
  return { certificate: material.cert, privateKey: material.key };
}

function bufferOf(pem: string | Buffer): Buffer {
  if (typeof pem !== 'string') return pem;
  const bytes = Buffer.alloc(Buffer.byteLength(pem));
  bytes.write(pem);
  return bytes;
}
