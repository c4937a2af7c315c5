import { type KeyObject, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { ClusterId, NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { type Authority, newSerialNumber } from './authority.ts';
import { isCertificateName } from './certificateNames.ts';
import { verifyCertificateRequest } from './certificateRequest.ts';
import { type CertificateIdentity, identityUri, isClientName } from './identityUri.ts';
import { readCertificate, spkiOf } from './publicKey.ts';
import { ECDSA_P256, x509 } from './x509.ts';

export interface IssueOptions {
  readonly authority: Authority;
  readonly clusterId: ClusterId;
  /** Shortened when the authority itself ends earlier. */
  readonly lifetimeMs: number;
  readonly clock: Clock;
  readonly random: RandomSource;
}

export interface NodeCertificateOptions extends IssueOptions {
  /** PKCS #10, DER; only its key is used. */
  readonly csr: Uint8Array;
  readonly nodeId: NodeId;
  /** DNS names and IP addresses by which others reach the node; no wildcards. */
  readonly names: { readonly hosts: readonly string[] };
}

/**
 * A node's certificate (DER), for both sides of a peer connection and as the server of the API.
 * @throws HoldfastError INVALID_ARGUMENT for the request or a name, TOO_LARGE for too many names
 */
export async function issueNodeCertificate(options: NodeCertificateOptions): Promise<Buffer> {
  const { nodeId, names } = options;
  const { publicKey } = await verifyCertificateRequest(options.csr);
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  return issue(options, {
    identity: { kind: 'node', nodeId },
    publicKey,
    hosts: names.hosts,
    usages: [serverAuth, clientAuth],
  });
}

export interface ClientCertificate {
  /** DER. */
  readonly certificate: Buffer;
  /** PKCS #8, DER. */
  readonly privateKey: Buffer;
}

/**
 * A client's certificate with a fresh key, for the API only.
 * @throws HoldfastError INVALID_ARGUMENT field `name`
 */
export async function issueClientCertificate(
  options: IssueOptions & { readonly name: string },
): Promise<ClientCertificate> {
  const keys = await webcrypto.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);
  const certificate = await issue(options, clientLeaf(options.name, keys.publicKey));
  const privateKey = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { certificate, privateKey };
}

/**
 * A client's certificate (DER) once more, for the key that it has.
 * @throws HoldfastError INVALID_ARGUMENT or TOO_LARGE for the request; PERMISSION_DENIED field `csr` when that is for
 *   another key than the certificate that the client has shown
 */
export async function reissueClientCertificate(
  options: IssueOptions & {
    readonly name: string;
    readonly csr: Uint8Array;
    /** DER. */
    readonly shown: Uint8Array;
  },
): Promise<Buffer> {
  const { publicKey } = await verifyCertificateRequest(options.csr);
  if (!readCertificate(options.shown).publicKey.equals(publicKey)) {
    const message = 'csr is for another key than the certificate of this connection';
    throw new HoldfastError('PERMISSION_DENIED', message, { field: 'csr' });
  }
  return issue(options, clientLeaf(options.name, publicKey));
}

/** @throws HoldfastError INVALID_ARGUMENT field `name` */
function clientLeaf(name: string, publicKey: Leaf['publicKey']): Leaf {
  if (!isClientName(name)) {
    const rule =
      'name must be 1 to 128 of the characters A-Z a-z 0-9 . _ @ - and begin with a letter or digit';
    throw new HoldfastError('INVALID_ARGUMENT', rule, { field: 'name' });
  }
  const usages = [x509.ExtendedKeyUsage.clientAuth];
  return { identity: { kind: 'client', name }, publicKey, hosts: [], usages };
}

interface Leaf {
  readonly identity: CertificateIdentity;
  readonly publicKey: KeyObject | webcrypto.CryptoKey;
  readonly hosts: readonly string[];
  readonly usages: string[];
}

async function issue(options: IssueOptions, leaf: Leaf): Promise<Buffer> {
  const { authority, clusterId, clock, random, lifetimeMs } = options;
  assert(lifetimeMs > 0, 'a certificate has a lifetime');
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = await webcrypto.subtle.importKey('pkcs8', authority.privateKey, ECDSA_P256, false, [
    'sign',
  ]);
  const publicKey = 'export' in leaf.publicKey ? await imported(leaf.publicKey) : leaf.publicKey;
  const nowMs = clock.wallMs();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerialNumber(random),
    subject: [{ CN: [subjectOf(leaf.identity)] }],
    issuer: issuer.subjectName,
    // No further back than forward: a short certificate would be due for renewal when it is made.
    notBefore: new Date(nowMs - Math.min(LIMITS.certificateBackdateMs, lifetimeMs)),
    notAfter: new Date(Math.min(nowMs + lifetimeMs, issuer.notAfter.getTime())),
    publicKey,
    signingKey,
    signingAlgorithm: ECDSA_P256,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(leaf.usages),
      new x509.SubjectAlternativeNameExtension([
        { type: 'url', value: identityUri(clusterId, leaf.identity) },
        ...hostNames(leaf.hosts),
      ]),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return Buffer.from(certificate.rawData);
}

function imported(publicKey: KeyObject): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('spki', spkiOf(publicKey), ECDSA_P256, true, ['verify']);
}

function subjectOf(identity: CertificateIdentity): string {
  return identity.kind === 'node' ? `holdfast node ${identity.nodeId}` : `holdfast client ${identity.name}`;
}

function hostNames(hosts: readonly string[]): { type: 'ip' | 'dns'; value: string }[] {
  const unique = [...new Set(hosts)];
  if (unique.length > LIMITS.certificateNamesMax) {
    const message = `${unique.length} names are over the limit of ${LIMITS.certificateNamesMax} in a certificate`;
    throw new HoldfastError('TOO_LARGE', message, { field: 'names' });
  }
  return unique.map((host) => {
    if (isCertificateName(host)) return { type: isIP(host) === 0 ? 'dns' : 'ip', value: host };
    throw new HoldfastError(
      'INVALID_ARGUMENT',
      'a certificate name is neither a host name nor an IP address',
      {
        field: 'names',
      },
    );
  });
}
