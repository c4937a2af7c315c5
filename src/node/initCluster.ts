import { createPrivateKey } from 'node:crypto';
import { systemClock } from '../base/clock.ts';
import { writeFileDurably } from '../base/durableFile.ts';
import {
  type ClusterId,
  type NodeId,
  newClusterId,
  newNodeId,
  newStoreId,
  type StoreId,
} from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import { systemRandom } from '../base/random.ts';
import { createKeyring } from '../envelope/keyring.ts';
import { sealKeyring } from '../envelope/keyringForm.ts';
import { Sealer } from '../envelope/sealer.ts';
import type { CommandBatch } from '../proto/storage.ts';
import { commandBatchCodec } from '../proto/storage.ts';
import type { ResetAdmin } from '../proto/users.ts';
import { entryHash, ZERO_HASH } from '../replication/raft/entryHash.ts';
import type { Configuration, SnapshotMetadata } from '../replication/raft/types.ts';
import { DiskWal } from '../replication/wal/diskWal.ts';
import { Store } from '../store/store.ts';
import { type Authority, createAuthority } from '../trust/authority.ts';
import { createNodeKeyAndCsr } from '../trust/certificateRequest.ts';
import { issueClientCertificate, issueNodeCertificate } from '../trust/certificates.ts';
import { newInstance, writeIdentityFile } from '../trust/identityFile.ts';
import { saveNodeCredentials } from '../trust/nodeCredentials.ts';
import { pemOf } from '../trust/tls.ts';
import { newAdminReset } from './adminReset.ts';
import { refuseSinkAmongData } from './auditSinkPlace.ts';
import { certificateHosts } from './certificateHosts.ts';
import type { NodeConfiguration } from './configuration.ts';
import { type DataDirectory, dataDirectory } from './dataDirectory.ts';
import { DATA_FORMAT } from './format.ts';
import { createMissingKeys, loadKeys } from './keys.ts';
import { makeNode } from './newNode.ts';
import { formatAddress } from './settings.ts';

/** What `holdfast init` tells the operator. */
export interface InitialisedCluster {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  readonly controlKeyFingerprint: string;
  /** Key files that were made. */
  readonly keyFiles: readonly string[];
  readonly admin: AdminContext;
  /** Of the user `admin`; nowhere else. */
  readonly adminPassword: string;
}

/** What the first administrator's client needs. All PEM. */
export interface AdminContext {
  readonly endpoint: string;
  readonly ca: string;
  readonly certificate: string;
  readonly privateKey: string;
}

interface Made extends InitialisedCluster {
  readonly storeId: StoreId;
}

/**
 * Makes the first node of a new cluster. `keepAdmin` stores the administrator's context before the node counts as
 * made, so that there is no cluster without one.
 * @throws HoldfastError KEY_FILE_INVALID, DATA_DIR_INVALID, CONFIG_INVALID
 */
export async function initCluster(
  configuration: NodeConfiguration,
  keepAdmin: (admin: AdminContext) => Promise<void>,
  { certificateLifetimeMs = LIMITS.certificateLifetimeMs }: { readonly certificateLifetimeMs?: number } = {},
): Promise<InitialisedCluster> {
  refuseSinkAmongData(configuration);
  const directory = dataDirectory(configuration.dataDir);
  return makeNode(
    directory,
    () => makeFirstNode({ configuration, directory, certificateLifetimeMs }),
    async ({ admin, clusterId, storeId, nodeId }) => {
      await keepAdmin(admin);
      const instance = newInstance(systemRandom);
      const { name } = configuration;
      await writeIdentityFile(directory.root, {
        clusterId,
        storeId,
        nodeId,
        name,
        instance,
        format: DATA_FORMAT,
      });
    },
  );
}

interface FirstNode {
  readonly configuration: NodeConfiguration;
  readonly directory: DataDirectory;
  /** Of the node's; the administrator's is the usual one. */
  readonly certificateLifetimeMs: number;
}

async function makeFirstNode({
  configuration,
  directory,
  certificateLifetimeMs: lifetimeMs,
}: FirstNode): Promise<Made> {
  const keyFiles = createMissingKeys(configuration);
  const { control, jwt } = loadKeys(configuration);
  const clusterId = newClusterId(systemRandom);
  const storeId = newStoreId(systemRandom);
  const nodeId = newNodeId(systemRandom);
  const keyring = createKeyring({
    storeId,
    encryption: configuration.encryption ?? 'on',
    jwtSecretFingerprint: jwt.fingerprint,
    random: systemRandom,
    clock: systemClock,
  });
  const sealer = new Sealer({ keyring, storeId, random: systemRandom });
  const authority = await createAuthority({ clusterId, clock: systemClock, random: systemRandom });
  const { password: adminPassword, reset } = await newAdminReset();
  const genesis = { configuration, directory, sealer, authority, clusterId, nodeId, lifetimeMs, reset };
  const { base, admin } = await writeWithAuthority(genesis);
  const wal = await DiskWal.create(
    { directory: directory.wal, storeId },
    { hardState: { term: base.term, vote: null, commit: base.index }, snapshot: base, entries: [] },
  );
  await wal.close();
  const keyringBytes = sealKeyring(keyring, control.active, systemRandom);
  await writeFileDurably({ path: directory.keyring, bytes: keyringBytes, mode: 0o600 });
  const { fingerprint: controlKeyFingerprint } = control.active;
  return { clusterId, storeId, nodeId, keyFiles, admin, adminPassword, controlKeyFingerprint };
}

interface Genesis {
  readonly configuration: NodeConfiguration;
  readonly directory: DataDirectory;
  readonly sealer: Sealer;
  readonly authority: Authority;
  readonly nodeId: NodeId;
  /** Makes the first user. */
  readonly reset: ResetAdmin;
}

type Founding = Genesis & { readonly clusterId: ClusterId; readonly lifetimeMs: number };

/** All that takes the key of the CA, which is wiped: from then on it is in the state, sealed, and nowhere else. */
async function writeWithAuthority(
  founding: Founding,
): Promise<{ readonly base: SnapshotMetadata; readonly admin: AdminContext }> {
  try {
    await saveOwnCredentials(founding);
    const base = await writeFirstState(founding);
    return { base, admin: await adminContext(founding) };
  } finally {
    founding.authority.privateKey.fill(0);
  }
}

async function saveOwnCredentials(genesis: Founding): Promise<void> {
  const { configuration, directory, sealer, authority, clusterId, nodeId, lifetimeMs } = genesis;
  const { csr, privateKey } = await createNodeKeyAndCsr({ nodeId });
  const certificate = await issueNodeCertificate({
    authority,
    clusterId,
    csr,
    nodeId,
    names: { hosts: certificateHosts(configuration) },
    lifetimeMs,
    clock: systemClock,
    random: systemRandom,
  });
  await saveNodeCredentials(
    { dataDir: directory.root, sealer },
    { authorities: [authority.certificate], authoritiesIndex: 0, certificate, former: null, privateKey },
  );
}

/** Places 1 and 2 of the log, applied before there is a log: it begins after them, with this state as its base. */
async function writeFirstState(genesis: Genesis): Promise<SnapshotMetadata> {
  const { configuration, directory, sealer, authority, nodeId, reset } = genesis;
  const member = {
    nodeId,
    name: configuration.name,
    peerAddress: formatAddress(configuration.advertisePeer),
    apiAddress: formatAddress(configuration.advertiseApi),
    wantedRole: 'voter',
  };
  const voters: Configuration = {
    voters: [nodeId],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  };
  const batch: CommandBatch = {
    timeMs: systemClock.wallMs(),
    commands: [
      {
        origin: nodeId,
        sequence: 0,
        principal: { kind: 'node', name: nodeId, address: '' },
        bootstrap: {
          authorityCertificate: authority.certificate,
          authorityPrivateKey: authority.privateKey,
          member,
        },
      },
      {
        origin: nodeId,
        sequence: 0,
        principal: { kind: 'node', name: nodeId, address: '' },
        resetAdmin: reset,
      },
    ],
  };
  const first = { index: 1, term: 1 };
  const second = { index: 2, term: 1 };
  const firstHash = entryHash(ZERO_HASH, first, 'configuration', Buffer.alloc(0));
  const encoded = commandBatchCodec.encode(batch);
  const secondHash = entryHash(firstHash, second, 'normal', encoded);
  encoded.fill(0);
  let failure: Error | null = null;
  const onFatal = (error: Error): void => {
    failure = error;
  };
  const store = await Store.create({
    directory: directory.root,
    sealer,
    onDurable: () => undefined,
    onFatal,
  });
  store.apply({
    kind: 'configuration',
    place: { ...first, hash: firstHash },
    configuration: voters,
    removed: [],
    member,
    timeMs: batch.timeMs,
  });
  store.apply({ kind: 'commands', place: { ...second, hash: secondHash }, batch });
  await store.close();
  if (failure !== null) throw failure;
  return { ...second, hash: secondHash, configuration: voters };
}

async function adminContext({
  configuration,
  authority,
  clusterId,
}: Pick<Genesis, 'configuration' | 'authority'> & { clusterId: ClusterId }): Promise<AdminContext> {
  const client = await issueClientCertificate({
    authority,
    clusterId,
    name: 'admin',
    lifetimeMs: LIMITS.certificateLifetimeMs,
    clock: systemClock,
    random: systemRandom,
  });
  return {
    endpoint: formatAddress(configuration.advertiseApi),
    ca: pemOf(authority.certificate),
    certificate: pemOf(client.certificate),
    privateKey: createPrivateKey({ key: client.privateKey, format: 'der', type: 'pkcs8' })
      .export({ format: 'pem', type: 'pkcs8' })
      .toString(),
  };
}
