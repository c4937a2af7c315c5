import type { X509Certificate } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { ClusterId, NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { type CertificateIdentity, parseIdentityUri } from './identityUri.ts';
import { readCertificate } from './publicKey.ts';
import { x509 } from './x509.ts';

export type { CertificateIdentity } from './identityUri.ts';

/** DER, or what `TLSSocket.getPeerCertificate()` gives. */
export type PeerCertificate = Uint8Array | { readonly raw: Uint8Array };

export interface IdentityContext {
  readonly clusterId: ClusterId;
  /** DER. A certificate that none of these has signed has no identity. Two only while the cluster's CA is changed. */
  readonly authorities: readonly Uint8Array[];
  readonly clock: Clock;
}

/**
 * Whom a certificate speaks for in this cluster. About half a millisecond of work: ask once a connection.
 * @throws HoldfastError CERTIFICATE_INVALID whose message says why: not signed by this cluster's authority,
 *   expired or not yet valid (with this machine's time), no or several identities, another cluster, wrong usage
 */
export function certificateIdentity(
  certificate: PeerCertificate,
  { clusterId, authorities, clock }: IdentityContext,
): CertificateIdentity {
  const der = 'raw' in certificate ? certificate.raw : certificate;
  if (der.length > LIMITS.certificateBytesMax) throw invalid('is too long to be one of holdfast');
  const leaf = readCertificate(der);
  // Refuses doubled and malformed extensions too, so that the two parsers here cannot read them differently.
  if (issuerOf(leaf, authorities) === null) throw notIssued();
  requireValidNow(leaf, clock);
  const extensions = readExtensions(der);
  const named = parseIdentityUri(theOne(extensions.uris));
  if (named === null) throw invalid('has a URI that names no node and no client');
  if (named.clusterId !== clusterId) {
    throw invalid(`is of cluster ${named.clusterId}, and this is cluster ${clusterId}`);
  }
  requireUsage(extensions, named.identity.kind);
  return named.identity;
}

/**
 * For the peer port: only a node is somebody there. Whether it is a member now is the caller's question.
 * @throws HoldfastError CERTIFICATE_INVALID
 */
export function nodeIdentity(certificate: PeerCertificate, context: IdentityContext): NodeId {
  const identity = certificateIdentity(certificate, context);
  if (identity.kind === 'node') return identity.nodeId;
  throw invalid(`is of the client ${identity.name}; only nodes are served here`);
}

/**
 * For the API port: a node's certificate is nobody there.
 * @throws HoldfastError CERTIFICATE_INVALID
 */
export function clientIdentity(certificate: PeerCertificate, context: IdentityContext): string {
  const identity = certificateIdentity(certificate, context);
  if (identity.kind === 'client') return identity.name;
  throw invalid(`is of the node ${identity.nodeId}; only clients are served here`);
}

/** The one of the authorities (DER) that has signed a certificate, or null. */
export function issuerOf(leaf: X509Certificate, authorities: readonly Uint8Array[]): Uint8Array | null {
  return authorities.find((authority) => isIssuedBy(leaf, readCertificate(authority))) ?? null;
}

/** @throws HoldfastError CERTIFICATE_INVALID */
export function requireIssuedBy(leaf: X509Certificate, authority: X509Certificate): void {
  if (!isIssuedBy(leaf, authority)) throw notIssued();
}

function isIssuedBy(leaf: X509Certificate, authority: X509Certificate): boolean {
  return leaf.checkIssued(authority) && leaf.verify(authority.publicKey);
}

function notIssued(): HoldfastError {
  return invalid("is not signed by this cluster's certificate authority");
}

/** @throws HoldfastError CERTIFICATE_INVALID that names both times */
export function requireValidNow(certificate: X509Certificate, clock: Clock): void {
  const nowMs = clock.wallMs();
  const here = `this machine's clock says ${new Date(nowMs).toISOString()}`;
  const hint = 'Compare the clocks of both machines; if they are right, have the certificate renewed.';
  const endsMs = Date.parse(certificate.validTo);
  if (nowMs > endsMs) throw invalid(`expired at ${new Date(endsMs).toISOString()}, and ${here}`, hint);
  const beginsMs = Date.parse(certificate.validFrom);
  if (nowMs < beginsMs) {
    throw invalid(`is valid only from ${new Date(beginsMs).toISOString()}, and ${here}`, hint);
  }
}

interface LeafExtensions {
  readonly uris: readonly string[];
  readonly extendedUsages: readonly string[];
  /** KeyUsageFlags, added up. */
  readonly usageFlags: number;
  readonly isAuthority: boolean;
}

function readExtensions(der: Uint8Array): LeafExtensions {
  try {
    const parsed = new x509.X509Certificate(Buffer.from(der));
    const names = parsed.getExtension(x509.SubjectAlternativeNameExtension)?.names.items ?? [];
    return {
      uris: names.filter((name) => name.type === 'url').map((name) => name.value),
      extendedUsages: (parsed.getExtension(x509.ExtendedKeyUsageExtension)?.usages ?? []).map(String),
      usageFlags: parsed.getExtension(x509.KeyUsagesExtension)?.usages ?? 0,
      isAuthority: parsed.getExtension(x509.BasicConstraintsExtension)?.ca === true,
    };
  } catch (cause) {
    throw invalid('has extensions that do not parse', undefined, cause);
  }
}

function theOne(uris: readonly string[]): string {
  const [uri, ...more] = uris;
  if (uri === undefined) throw invalid('names no holdfast identity (it has no URI)');
  if (more.length > 0) throw invalid('names several identities (it has more than one URI)');
  return uri;
}

function requireUsage(extensions: LeafExtensions, kind: CertificateIdentity['kind']): void {
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const wanted: readonly string[] = kind === 'node' ? [serverAuth, clientAuth] : [clientAuth];
  const { extendedUsages, usageFlags, isAuthority } = extensions;
  const matches =
    extendedUsages.length === wanted.length && wanted.every((usage) => extendedUsages.includes(usage));
  const signsOnly: number = x509.KeyUsageFlags.digitalSignature;
  if (!matches || usageFlags !== signsOnly || isAuthority) {
    throw invalid(`is of a ${kind}, but its key usage is not that of a ${kind}`);
  }
}

function invalid(reason: string, hint?: string, cause?: unknown): HoldfastError {
  const details = { ...(hint === undefined ? {} : { hint }), cause };
  return new HoldfastError('CERTIFICATE_INVALID', `the certificate ${reason}`, details);
}
