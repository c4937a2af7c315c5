import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type { NodeId } from '../base/ids.ts';
import { issuerOf } from './identity.ts';
import { readCertificate } from './publicKey.ts';

/** Of the lifetime, by which a node is early at most: not all nodes that began together ask in one moment. */
const SPREAD_PART = 30;
/** What is left of the lifetime when an operator has to hear of it: renewing has failed for a while by then. */
const WARNING_PART = 4;

/** Wall time in milliseconds at which a certificate is renewed at the latest: two thirds of its lifetime after its beginning. */
export function renewalDueMs(certificateDer: Uint8Array): number {
  const { beginsMs, lifetimeMs } = validityOf(readCertificate(certificateDer));
  return beginsMs + Math.floor((lifetimeMs * 2) / 3);
}

export interface RenewalQuestion {
  /** DER. */
  readonly certificate: Uint8Array;
  readonly nodeId: NodeId;
  /** Names and addresses that the certificate has to carry. */
  readonly hosts: readonly string[];
  /** DER: the CA that signs now. */
  readonly signer: Uint8Array;
}

/**
 * When a node asks for a new certificate, on the wall clock: at once when a host is missing in the one it has, or another
 * CA signs now, else a little before two thirds of its lifetime, by an amount of the node's own.
 */
export function renewalAtMs({ certificate: der, nodeId, hosts, signer }: RenewalQuestion): number {
  const certificate = readCertificate(der);
  if (missingHosts(certificate, hosts).length > 0 || issuerOf(certificate, [signer]) === null) return 0;
  const { lifetimeMs } = validityOf(certificate);
  const share = Number.parseInt(nodeId.slice(0, 8), 16) / 2 ** 32;
  return renewalDueMs(der) - Math.floor((share * lifetimeMs) / SPREAD_PART);
}

/** Those of the names and addresses that the certificate does not carry. */
export function missingHosts(certificate: X509Certificate, hosts: readonly string[]): readonly string[] {
  return hosts.filter((host) =>
    isIP(host) === 0
      ? certificate.checkHost(host, { subject: 'never', wildcards: false }) === undefined
      : certificate.checkIP(host) === undefined,
  );
}

/** What an operator has to hear of a certificate (DER) at this wall time, in one sentence; null: nothing. */
export function certificateWarning(certificateDer: Uint8Array, nowMs: number): string | null {
  const { beginsMs, lifetimeMs } = validityOf(readCertificate(certificateDer));
  const endsMs = beginsMs + lifetimeMs;
  const end = new Date(endsMs).toISOString();
  if (nowMs > endsMs)
    return `the certificate of this node expired at ${end}: other nodes and clients turn it away`;
  if (endsMs - nowMs > lifetimeMs / WARNING_PART) return null;
  return `the certificate of this node ends at ${end} and could not be renewed until now: see the log of this node`;
}

function validityOf(certificate: X509Certificate): {
  readonly beginsMs: number;
  readonly lifetimeMs: number;
} {
  const beginsMs = Date.parse(certificate.validFrom);
  return { beginsMs, lifetimeMs: Date.parse(certificate.validTo) - beginsMs };
}
