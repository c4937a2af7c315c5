import { systemClock } from '../base/clock.ts';
import { writeFileDurably } from '../base/durableFile.ts';
import type { HoldfastError } from '../base/errors.ts';
import { type ClusterId, type NodeId, newNodeId } from '../base/ids.ts';
import { systemRandom } from '../base/random.ts';
import { openKeyring } from '../envelope/keyringForm.ts';
import { Sealer } from '../envelope/sealer.ts';
import { DiskWal, EMPTY_WAL_CONTENTS } from '../replication/wal/diskWal.ts';
import { Store } from '../store/store.ts';
import { newInstance, writeIdentityFile } from '../trust/identityFile.ts';
import { type JoinedCluster, joinCluster } from '../trust/joinClient.ts';
import { saveNodeCredentials } from '../trust/nodeCredentials.ts';
import { refuseSinkAmongData } from './auditSinkPlace.ts';
import { certificateHosts } from './certificateHosts.ts';
import type { NodeConfiguration } from './configuration.ts';
import { type DataDirectory, dataDirectory } from './dataDirectory.ts';
import { DATA_FORMAT } from './format.ts';
import { loadKeys, type NodeKeys } from './keys.ts';
import { makeNode } from './newNode.ts';
import { saveSeedMembers } from './seedMembers.ts';
import { formatAddress } from './settings.ts';

const JOIN_WITHIN_MS = 30_000;

export interface JoinedNode {
  readonly clusterId: ClusterId;
  readonly nodeId: NodeId;
  readonly role: 'voter' | 'learner';
}

/**
 * Makes a further node of a cluster. The control key must be here already: a joining node never invents one.
 * @throws HoldfastError TOKEN_…, CONFIG_INVALID, CONTROL_KEY_MISMATCH, ENCRYPTION_MISMATCH, KEY_FILE_INVALID, DATA_DIR_INVALID, …
 */
export async function joinNode(configuration: NodeConfiguration, token: string): Promise<JoinedNode> {
  refuseSinkAmongData(configuration);
  const directory = dataDirectory(configuration.dataDir);
  const keys = loadKeys(configuration);
  return makeNode(
    directory,
    () => makeFurtherNode({ configuration, directory, keys, token }),
    async ({ joined, nodeId }) => {
      const { clusterId, storeId } = joined;
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
  ).then(({ joined, nodeId }) => ({ clusterId: joined.clusterId, nodeId, role: joined.role }));
}

interface FurtherNode {
  readonly configuration: NodeConfiguration;
  readonly directory: DataDirectory;
  readonly keys: NodeKeys;
  readonly token: string;
}

async function makeFurtherNode({ configuration, directory, keys, token }: FurtherNode): Promise<{
  joined: JoinedCluster;
  nodeId: NodeId;
}> {
  const nodeId = newNodeId(systemRandom);
  const joined = await joinCluster({
    token,
    nodeId,
    name: configuration.name,
    peerAddress: formatAddress(configuration.advertisePeer),
    apiAddress: formatAddress(configuration.advertiseApi),
    hosts: certificateHosts(configuration),
    controlKeys: keys.control.all,
    jwtSecretFingerprints: keys.jwt.all.map(({ fingerprint }) => fingerprint),
    encryption: configuration.encryption,
    random: systemRandom,
    deadlineMs: systemClock.monotonicMs() + JOIN_WITHIN_MS,
    clock: systemClock,
  });
  const { storeId } = joined;
  const keyring = openKeyring(joined.keyring, keys.control.all);
  const sealer = new Sealer({ keyring, storeId, random: systemRandom });
  const { authorities, nodeCertificate, privateKey } = joined;
  await saveNodeCredentials(
    { dataDir: directory.root, sealer },
    { authorities, authoritiesIndex: 0, certificate: nodeCertificate, former: null, privateKey },
  );
  await writeEmptyState({ directory, sealer, joined });
  await saveSeedMembers(directory, { sealer, members: joined.members });
  await writeFileDurably({ path: directory.keyring, bytes: joined.keyring, mode: 0o600 });
  return { joined, nodeId };
}

async function writeEmptyState({
  directory,
  sealer,
  joined,
}: {
  directory: DataDirectory;
  sealer: Sealer;
  joined: JoinedCluster;
}): Promise<void> {
  const { storeId } = joined;
  const failed = (error: HoldfastError): never => {
    throw error;
  };
  const store = await Store.create({
    directory: directory.root,
    sealer,
    onDurable: () => undefined,
    onFatal: failed,
  });
  await store.close();
  const wal = await DiskWal.create({ directory: directory.wal, storeId }, EMPTY_WAL_CONTENTS);
  await wal.close();
}
