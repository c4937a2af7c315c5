import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assert, present } from '../base/assert.ts';
import { readU64, writeU64 } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { syncDirectory, writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError } from '../base/errors.ts';
import type { ClusterId, NodeId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { SealContext, Sealer } from '../envelope/sealer.ts';
import { nodeIdentity } from './identity.ts';
import { readBounded } from './identityFile.ts';
import { isP256, readCertificate } from './publicKey.ts';
import { pemOf } from './tls.ts';

export interface NodeCredentials {
  /** DER. */
  readonly authorityCertificate: Buffer;
  /** DER. */
  readonly certificate: Buffer;
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

/**
 * Writes a node's credentials to `<dataDir>/trust/`: `authority.pem` and `node.pem` (leaf, then CA) in the clear, the
 * private key sealed in `node.key.sealed`. Durable when it resolves. The three are not one step: call it before the
 * identity file makes the directory a node's. Later, only replaceNodeCertificate and resealNodeKey, one file each.
 */
export async function saveNodeCredentials(
  place: CredentialsPlace,
  credentials: NodeCredentials,
): Promise<void> {
  const { authority } = pathsIn(place.dataDir);
  await mkdir(dirname(authority), { recursive: true, mode: 0o700 });
  await syncDirectory(place.dataDir);
  const bytes = Buffer.from(pemOf(credentials.authorityCertificate));
  await writeFileDurably({ path: authority, bytes, mode: 0o644 });
  await resealNodeKey(place, credentials.privateKey);
  await replaceNodeCertificate(place.dataDir, credentials);
}

/** A renewed certificate. It must be for the key that is there: a renewal keeps the key, so one file is replaced. */
export async function replaceNodeCertificate(
  dataDir: string,
  { certificate, authorityCertificate, privateKey }: NodeCredentials,
): Promise<void> {
  const mine = readCertificate(certificate).publicKey.equals(createPublicKey(privateKey));
  assert(mine, 'a certificate is stored only beside its own key');
  const bytes = Buffer.from(pemOf(certificate) + pemOf(authorityCertificate));
  await writeFileDurably({ path: pathsIn(dataDir).certificate, bytes, mode: 0o644 });
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
 *   the certificate is expired or another's, and what Sealer.open throws when the key does not open
 */
export async function loadNodeCredentials(place: CredentialsPlace, owner: Owner): Promise<NodeCredentials> {
  const paths = pathsIn(place.dataDir);
  const [authorityCertificate] = await readCertificates(paths.authority, 1);
  const [certificate, chained] = await readCertificates(paths.certificate, 2);
  const authority = present(authorityCertificate, 'CA certificate');
  const leaf = present(certificate, 'node certificate');
  if (!authority.equals(present(chained, 'CA of the chain'))) {
    throw damaged(paths.certificate, 'the CA in it is not the one in authority.pem');
  }
  const nodeId = nodeIdentity(leaf, {
    clusterId: owner.clusterId,
    authorityCertificate: authority,
    clock: owner.clock,
  });
  if (nodeId !== owner.nodeId) {
    throw damaged(paths.certificate, `it is of node ${nodeId}, and this is node ${owner.nodeId}`);
  }
  const privateKey = openKey(await readRequired(paths.key), { path: paths.key, sealer: place.sealer });
  if (!readCertificate(leaf).publicKey.equals(createPublicKey(privateKey))) {
    throw damaged(paths.key, 'it is not the key of the certificate in node.pem');
  }
  return { authorityCertificate: authority, certificate: leaf, privateKey };
}

function pathsIn(dataDir: string): { authority: string; certificate: string; key: string } {
  const folder = join(dataDir, 'trust');
  return {
    authority: join(folder, 'authority.pem'),
    certificate: join(folder, 'node.pem'),
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

async function readCertificates(path: string, count: number): Promise<readonly Buffer[]> {
  const text = (await readRequired(path)).toString('latin1');
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length !== count)
    throw damaged(path, `it holds ${blocks.length} certificates instead of ${count}`);
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
