import { createPublicKey, KeyObject, webcrypto } from 'node:crypto';
import { HoldfastError } from '../base/errors.ts';
import type { NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { keyHash, p256PublicKey, spkiOf } from './publicKey.ts';
import { ECDSA_P256, x509 } from './x509.ts';

export interface NodeKeyAndRequest {
  readonly privateKey: KeyObject;
  /** PKCS #10, DER. */
  readonly csr: Buffer;
}

/** A fresh P-256 key, which never leaves this node, and the request to have it certified for this node id. */
export async function createNodeKeyAndCsr({
  nodeId,
}: {
  readonly nodeId: NodeId;
}): Promise<NodeKeyAndRequest> {
  const keys = await webcrypto.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);
  return { privateKey: KeyObject.from(keys.privateKey), csr: await requestFor(nodeId, keys) };
}

/** The request (PKCS #10, DER) to have a key certified anew that this node has already. */
export async function createCsr({
  nodeId,
  privateKey,
}: {
  readonly nodeId: NodeId;
  readonly privateKey: KeyObject;
}): Promise<Buffer> {
  const { subtle } = webcrypto;
  const spki = spkiOf(createPublicKey(privateKey));
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
  try {
    return await requestFor(nodeId, {
      publicKey: await subtle.importKey('spki', spki, ECDSA_P256, true, ['verify']),
      privateKey: await subtle.importKey('pkcs8', pkcs8, ECDSA_P256, false, ['sign']),
    });
  } finally {
    pkcs8.fill(0);
  }
}

async function requestFor(nodeId: NodeId, keys: webcrypto.CryptoKeyPair): Promise<Buffer> {
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [`holdfast node ${nodeId}`] }],
    keys,
    signingAlgorithm: ECDSA_P256,
  });
  return Buffer.from(request.rawData);
}

export interface VerifiedRequest {
  readonly publicKey: KeyObject;
  /** SHA-256 of its SubjectPublicKeyInfo. */
  readonly csrKeyHash: Buffer;
}

/**
 * The key of a certificate request whose sender has proved that it holds the private half. Nothing else in a
 * request counts: names and usages are the signer's to choose.
 * @throws HoldfastError INVALID_ARGUMENT field `csr`; TOO_LARGE over LIMITS.csrBytesMax
 */
export async function verifyCertificateRequest(csr: Uint8Array): Promise<VerifiedRequest> {
  if (csr.length > LIMITS.csrBytesMax) {
    const message = `csr has ${csr.length} bytes, over the limit of ${LIMITS.csrBytesMax}`;
    throw new HoldfastError('TOO_LARGE', message, { field: 'csr' });
  }
  const { request, spki } = parseRequest(csr);
  const publicKey = p256PublicKey(spki);
  if (publicKey === null) throw badRequest('the key in csr is not an ECDSA key on P-256');
  if (!(await hasOwnSignature(request))) throw badRequest('csr is not signed by the key that it names');
  return { publicKey, csrKeyHash: keyHash(publicKey) };
}

type ParsedRequest = InstanceType<typeof x509.Pkcs10CertificateRequest>;

function parseRequest(csr: Uint8Array): { request: ParsedRequest; spki: Uint8Array } {
  try {
    const request = new x509.Pkcs10CertificateRequest(Buffer.from(csr));
    // The library parses the key only now, and throws errors of its own.
    return { request, spki: new Uint8Array(request.publicKey.rawData) };
  } catch (cause) {
    throw new HoldfastError('INVALID_ARGUMENT', 'csr is no PKCS #10 request', { field: 'csr', cause });
  }
}

async function hasOwnSignature(request: ParsedRequest): Promise<boolean> {
  try {
    return await request.verify();
  } catch {
    // A signature algorithm that does not go with the key is thrown, not answered.
    return false;
  }
}

function badRequest(message: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', message, { field: 'csr' });
}
