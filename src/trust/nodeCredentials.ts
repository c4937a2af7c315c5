import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assert, present } from '../base/assert.ts';
import { readU64, writeU64 } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { syncDirectory, writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError } from '../base/errors.ts';
import type { ClusterId, NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { SealContext, Sealer } from '../envelope/sealer.ts';
import { issuerOf, nodeIdentity } from './identity.ts';
import { readBounded } from './identityFile.ts';
import { isP256, readCertificate } from './publicKey.ts';
import { pemOf } from './tls.ts';

export interface NodeCredentials {
  /** DER: the CAs that this node trusts; two only while the cluster's CA is changed. */
  readonly authorities: readonly Buffer[];
  /** Of which log index that is: an older state says nothing of it any more. 0: as this node was made. */
  readonly authoritiesIndex: number;
  /** DER. */
  readonly certificate: Buffer;
  /** DER, for the same key: by the CA that signs no more, for clients that know only that; null: there is none. */
  readonly former: Buffer | null;
  readonly privateKey: KeyObject;
}

export interface CredentialsPlace {
  readonly dataDir: string;
  readonly sealer: Sealer;
}

export interface Owner {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  readonly clock: Clock;
}

/** The sealed key file is an 8-byte big-endian generation, which the seal covers, and the envelope. */
const GENERATION_BYTES = 8;
/** The first line of `authority.pem`; absent: 0. */
const AS_OF = 'as of log index ';
const AS_OF_PATTERN = /^as of log index (\d{1,16})$/m;

/**
 * Writes a node's credentials to `<dataDir>/trust/`: `authority.pem` (one or two) and `node.pem` (leaf, then its CA) in the
 * clear, the private key sealed in `node.key.sealed`. Durable when it resolves. The three are not one step: call it before
 * the identity file makes the directory a node's. Later, only the functions below, which leave a whole at every step.
 */
export async function saveNodeCredentials(
  place: CredentialsPlace,
  credentials: NodeCredentials,
): Promise<void> {
  const { authority } = pathsIn(place.dataDir);
  await mkdir(dirname(authority), { recursive: true, mode: 0o700 });
  await syncDirectory(place.dataDir);
  await writeFileDurably({ path: authority, bytes: authoritiesFile(credentials), mode: 0o644 });
  await resealNodeKey(place, credentials.privateKey);
  await replaceNodeCertificate(place.dataDir, credentials);
}

/** A renewed certificate. It must be for the key that is there: a renewal keeps the key. */
export async function replaceNodeCertificate(dataDir: string, credentials: NodeCredentials): Promise<void> {
  const { authorities, certificate, former, privateKey } = credentials;
  const mine = readCertificate(certificate).publicKey.equals(createPublicKey(privateKey));
  assert(mine, 'a certificate is stored only beside its own key');
  const paths = pathsIn(dataDir);
  // First: until the new one is there it is the same as the old one, and says nothing.
  if (former !== null) await writeChain(paths.former, { certificate: former, authorities });
  await writeChain(paths.certificate, { certificate, authorities });
}

/** From now on these are trusted. A former certificate whose CA is gone goes as well. */
export async function replaceAuthorities(dataDir: string, credentials: NodeCredentials): Promise<void> {
  const paths = pathsIn(dataDir);
  await writeFileDurably({ path: paths.authority, bytes: authoritiesFile(credentials), mode: 0o644 });
  if (credentials.former === null) await rm(paths.former, { force: true });
}

/** Readers of PEM pass over what stands before a certificate (RFC 7468). */
function authoritiesFile({ authorities, authoritiesIndex }: NodeCredentials): Buffer {
  return Buffer.from(`${AS_OF}${authoritiesIndex}\n${authorities.map(pemOf).join('')}`);
}

function indexIn(text: string): number {
  const [, digits] = AS_OF_PATTERN.exec(text) ?? [];
  return digits === undefined ? 0 : Number(digits);
}

/** The leaf, then its CA. */
async function writeChain(
  path: string,
  { certificate, authorities }: Pick<NodeCredentials, 'certificate' | 'authorities'>,
): Promise<void> {
  const issuer = issuerOf(readCertificate(certificate), authorities);
  assert(issuer !== null, 'a certificate is stored only beside its own CA');
  await writeFileDurably({ path, bytes: Buffer.from(pemOf(certificate) + pemOf(issuer)), mode: 0o644 });
}

/** Seals the private key anew, under the data key that is active now, as the next generation. */
export async function resealNodeKey(
  { dataDir, sealer }: CredentialsPlace,
  privateKey: KeyObject,
): Promise<void> {
  assert(isP256(privateKey), 'a node key is on P-256');
  const path = pathsIn(dataDir).key;
  const before = await readBounded(path, LIMITS.trustFileBytesMax);
  const generation = before === null ? 1 : generationOf(before, path) + 1;
  const plain = privateKey.export({ format: 'der', type: 'pkcs8' });
  const envelope = sealer.sealBytes(plain, contextOf(generation));
  plain.fill(0);
  const bytes = Buffer.alloc(GENERATION_BYTES + envelope.length);
  writeU64(bytes, generation, 0);
  bytes.set(envelope, GENERATION_BYTES);
  await writeFileDurably({ path, bytes, mode: 0o600 });
}

/**
 * A node's credentials, once they have been found to belong together, to this node and to this cluster.
 * @throws HoldfastError DATA_DIR_INVALID when a file is missing or not what it should be, CERTIFICATE_INVALID when
 *   the certificate is another's or not valid yet, and what Sealer.open throws when the key does not open
 */
export async function loadNodeCredentials(place: CredentialsPlace, owner: Owner): Promise<NodeCredentials> {
  const paths = pathsIn(place.dataDir);
  const authorities = await readCertificates(paths.authority, { least: 1, most: LIMITS.authoritiesMax });
  const certificate = await readLeaf(paths.certificate, authorities);
  const nodeId = nodeIdentity(certificate, {
    clusterId: owner.clusterId,
    authorities,
    clock: notAfter(certificate, owner.clock),
  });
  if (nodeId !== owner.nodeId) {
    throw damaged(paths.certificate, `it is of node ${nodeId}, and this is node ${owner.nodeId}`);
  }
  const privateKey = openKey(await readRequired(paths.key), { path: paths.key, sealer: place.sealer });
  if (!readCertificate(certificate).publicKey.equals(createPublicKey(privateKey))) {
    throw damaged(paths.key, 'it is not the key of the certificate in node.pem');
  }
  const authoritiesIndex = indexIn((await readRequired(paths.authority)).toString('latin1'));
  const former = await readFormer(paths.former, authorities);
  return { authorities, authoritiesIndex, certificate, former, privateKey };
}

async function readLeaf(path: string, authorities: readonly Buffer[]): Promise<Buffer> {
  const [certificate, chained] = await readCertificates(path, { least: 2, most: 2 });
  const authority = present(chained, 'CA of the chain');
  if (!authorities.some((trusted) => trusted.equals(authority))) {
    throw damaged(path, 'the CA in it is not the one in authority.pem');
  }
  return present(certificate, 'node certificate');
}

/** Null when there is none, or its CA is trusted no more: the file goes after the CA. */
async function readFormer(path: string, authorities: readonly Buffer[]): Promise<Buffer | null> {
  if ((await readBounded(path, LIMITS.trustFileBytesMax)) === null) return null;
  const [former] = await readCertificates(path, { least: 2, most: 2 });
  const certificate = present(former, 'former certificate');
  return issuerOf(readCertificate(certificate), authorities) === null ? null : certificate;
}

/** To have expired is no reason not to start: a node that leads alone renews its certificate, and nobody else can. */
function notAfter(certificate: Buffer, clock: Clock): Clock {
  const endsMs = Date.parse(readCertificate(certificate).validTo);
  return { wallMs: () => Math.min(clock.wallMs(), endsMs), monotonicMs: () => clock.monotonicMs() };
}

interface Paths {
  readonly authority: string;
  readonly certificate: string;
  readonly former: string;
  readonly key: string;
}

function pathsIn(dataDir: string): Paths {
  const folder = join(dataDir, 'trust');
  return {
    authority: join(folder, 'authority.pem'),
    certificate: join(folder, 'node.pem'),
    former: join(folder, 'former.pem'),
    key: join(folder, 'node.key.sealed'),
  };
}

function contextOf(generation: number): SealContext {
  return { purpose: 'trust', place: { kind: 'file', name: 'node-key', generation } };
}

function openKey(bytes: Buffer, { path, sealer }: { path: string; sealer: Sealer }): KeyObject {
  const generation = generationOf(bytes, path);
  const plain = sealer.openBytes(bytes.subarray(GENERATION_BYTES), contextOf(generation));
  try {
    return createPrivateKey({ key: plain, format: 'der', type: 'pkcs8' });
  } catch {
    // The cause is dropped: it may speak of the key's bytes.
    throw damaged(path, 'it opened, but holds no private key');
  } finally {
    plain.fill(0);
  }
}

function generationOf(bytes: Buffer, path: string): number {
  try {
    return readU64(bytes, 0);
  } catch {
    throw damaged(path, 'it is cut');
  }
}

async function readCertificates(
  path: string,
  { least, most }: { readonly least: number; readonly most: number },
): Promise<readonly Buffer[]> {
  const text = (await readRequired(path)).toString('latin1');
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length < least || blocks.length > most) {
    const wanted = least === most ? `${least}` : `${least} to ${most}`;
    throw damaged(path, `it holds ${blocks.length} certificates instead of ${wanted}`);
  }
  return blocks.map((block) => {
    try {
      return readCertificate(Buffer.from(block)).raw;
    } catch {
      throw damaged(path, 'a certificate in it does not parse');
    }
  });
}

async function readRequired(path: string): Promise<Buffer> {
  const bytes = await readBounded(path, LIMITS.trustFileBytesMax);
  if (bytes === null) throw damaged(path, 'it is missing');
  return bytes;
}

function damaged(path: string, what: string): HoldfastError {
  return new HoldfastError('DATA_DIR_INVALID', `${path}: ${what}`, {
    field: 'data-dir',
    hint: 'Put the file back from a copy, or remove the node from the cluster and let it join anew.',
  });
}
