import { present } from '../base/assert.ts';
import { systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { systemRandom } from '../base/random.ts';
import type { Keyring } from '../envelope/keyring.ts';
import { Sealer } from '../envelope/sealer.ts';
import { type DirectoryLock, lockDataDirectory } from '../replication/wal/directoryLock.ts';
import { type NodeIdentityFile, readIdentityFile } from '../trust/identityFile.ts';
import { loadNodeCredentials, type NodeCredentials } from '../trust/nodeCredentials.ts';
import { type NodeProcess, PROCESS_BYTES } from '../trust/processesOfNode.ts';
import { countStart } from '../trust/startCount.ts';
import { refuseSinkAmongData } from './auditSinkPlace.ts';
import type { NodeConfiguration } from './configuration.ts';
import { type DataDirectory, dataDirectory, hasIdentity } from './dataDirectory.ts';
import { DATA_FORMAT } from './format.ts';
import { KeyringFile } from './keyringFile.ts';
import { openKeys, type RunningKeys } from './keys.ts';

/** A data directory that has been proved to be this node's, with the keys that open it. */
export interface OpenedNode {
  readonly directory: DataDirectory;
  readonly lock: DirectoryLock;
  readonly identity: NodeIdentityFile;
  readonly keys: RunningKeys;
  readonly keyring: KeyringFile;
  readonly sealer: Sealer;
  readonly credentials: NodeCredentials;
  /** Tells this run of the node from every other one, and from one of a copy of its data directory. */
  readonly process: NodeProcess;
  /** What an operator should hear of at every start. */
  readonly warnings: readonly string[];
}

/**
 * The first steps of every start: identity before all else, then keys, then what they open.
 * @throws HoldfastError DATA_DIR_INVALID, CONFIG_INVALID, KEY_FILE_INVALID, CONTROL_KEY_MISMATCH, VERSION_UNSUPPORTED, …
 */
export async function openNode(configuration: NodeConfiguration, logger: Logger): Promise<OpenedNode> {
  const directory = dataDirectory(configuration.dataDir);
  requireNode(directory);
  refuseSinkAmongData(configuration);
  const lock = await lockDataDirectory(directory.root);
  try {
    const identity = await requireIdentity(directory);
    const keys = openKeys(configuration);
    const { storeId, clusterId, nodeId } = identity;
    const keyring = new KeyringFile(directory.keyring, { storeId, controlKeys: () => keys.control.all });
    requireJwtSecret(keyring.keyring, keys.jwt);
    const sealer = new Sealer({ keyring: keyring.keyring, storeId, random: systemRandom });
    const credentials = await loadNodeCredentials(
      { dataDir: directory.root, sealer },
      { clusterId, nodeId, clock: systemClock },
    );
    const process = { starts: await countStart(directory.root), process: systemRandom.bytes(PROCESS_BYTES) };
    const warnings = settingWarnings(configuration, sealer);
    for (const warning of warnings) logger.warn({}, warning);
    return { directory, lock, identity, keys, keyring, sealer, credentials, process, warnings };
  } catch (thrown) {
    await lock.release();
    throw thrown;
  }
}

/** Before its lock is taken: that makes a folder. @throws HoldfastError DATA_DIR_INVALID */
export function requireNode(directory: DataDirectory): void {
  if (hasIdentity(directory)) return;
  throw new HoldfastError('DATA_DIR_INVALID', `${directory.root} holds no node`, {
    field: 'data-dir',
    hint: 'make one with holdfast init (a new cluster) or holdfast join (an existing one)',
  });
}

/** Of a node that this release can open. @throws HoldfastError VERSION_UNSUPPORTED, and as the file is read */
export async function requireIdentity(directory: DataDirectory): Promise<NodeIdentityFile> {
  const identity = present(await readIdentityFile(directory.root), 'identity');
  if (identity.format === DATA_FORMAT) return identity;
  throw new HoldfastError(
    'VERSION_UNSUPPORTED',
    `${directory.root} has format ${identity.format}, this is ${DATA_FORMAT}`,
    {
      hint: 'run the version of holdfast that wrote it, or a newer one',
    },
  );
}

/** @throws HoldfastError JWT_SECRET_MISMATCH with both values */
function requireJwtSecret({ jwtSecretFingerprint: inForce }: Keyring, held: RunningKeys['jwt']): void {
  if (held.find(inForce) !== null) return;
  const ours = held.all.map(({ fingerprint }) => fingerprint).join(', ');
  throw new HoldfastError(
    'JWT_SECRET_MISMATCH',
    `the cluster has JWT secret ${inForce}, this node has ${ours}`,
    {
      field: 'jwt_secret',
      hint: 'Give this node the JWT secret of the cluster: its file, or HOLDFAST_JWT_SECRET.',
    },
  );
}

function settingWarnings(configuration: NodeConfiguration, sealer: Sealer): readonly string[] {
  const { encryption } = configuration;
  const inForce = sealer.keyring.encryption;
  if (encryption === null || encryption === inForce) return [];
  return [
    `this node is set to encryption ${encryption}, the cluster has ${inForce}: the cluster decides; remove the setting`,
  ];
}
