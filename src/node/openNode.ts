import { present } from '../base/assert.ts';
import { systemClock } from '../base/clock.ts';
import { HoldfastError } from '../base/errors.ts';
import type { Logger } from '../base/logger.ts';
import { systemRandom } from '../base/random.ts';
import { Sealer } from '../envelope/sealer.ts';
import { type DirectoryLock, lockDataDirectory } from '../replication/wal/directoryLock.ts';
import { type NodeIdentityFile, readIdentityFile } from '../trust/identityFile.ts';
import { loadNodeCredentials, type NodeCredentials } from '../trust/nodeCredentials.ts';
import type { NodeConfiguration } from './configuration.ts';
import { type DataDirectory, dataDirectory, hasIdentity } from './dataDirectory.ts';
import { DATA_FORMAT } from './format.ts';
import { KeyringFile } from './keyringFile.ts';
import { loadKeys, type NodeKeys } from './keys.ts';

/** A data directory that has been proved to be this node's, with the keys that open it. */
export interface OpenedNode {
  readonly directory: DataDirectory;
  readonly lock: DirectoryLock;
  readonly identity: NodeIdentityFile;
  readonly keys: NodeKeys;
  readonly keyring: KeyringFile;
  readonly sealer: Sealer;
  readonly credentials: NodeCredentials;
  /** What an operator should hear of at every start. */
  readonly warnings: readonly string[];
}

/**
 * The first steps of every start: identity before all else, then keys, then what they open.
 * @throws HoldfastError DATA_DIR_INVALID, KEY_FILE_INVALID, CONTROL_KEY_MISMATCH, VERSION_UNSUPPORTED, …
 */
export async function openNode(configuration: NodeConfiguration, logger: Logger): Promise<OpenedNode> {
  const directory = dataDirectory(configuration.dataDir);
  if (!hasIdentity(directory)) {
    throw new HoldfastError('DATA_DIR_INVALID', `${directory.root} holds no node`, {
      field: 'data-dir',
      hint: 'make one with holdfast init (a new cluster) or holdfast join (an existing one)',
    });
  }
  const lock = await lockDataDirectory(directory.root);
  try {
    const identity = present(await readIdentityFile(directory.root), 'identity');
    if (identity.format !== DATA_FORMAT) {
      throw new HoldfastError(
        'VERSION_UNSUPPORTED',
        `${directory.root} has format ${identity.format}, this is ${DATA_FORMAT}`,
        {
          hint: 'run the version of holdfast that wrote it, or a newer one',
        },
      );
    }
    const keys = loadKeys(configuration);
    const { storeId, clusterId, nodeId } = identity;
    const keyring = new KeyringFile(directory.keyring, { storeId, controlKeys: keys.control.all });
    const sealer = new Sealer({ keyring: keyring.keyring, storeId, random: systemRandom });
    const credentials = await loadNodeCredentials(
      { dataDir: directory.root, sealer },
      { clusterId, nodeId, clock: systemClock },
    );
    const warnings = settingWarnings(configuration, sealer);
    for (const warning of warnings) logger.warn({}, warning);
    return { directory, lock, identity, keys, keyring, sealer, credentials, warnings };
  } catch (thrown) {
    await lock.release();
    throw thrown;
  }
}

function settingWarnings(configuration: NodeConfiguration, sealer: Sealer): readonly string[] {
  const { encryption } = configuration;
  const inForce = sealer.keyring.encryption;
  if (encryption === null || encryption === inForce) return [];
  return [
    `this node is set to encryption ${encryption}, the cluster has ${inForce}: the cluster decides; remove the setting`,
  ];
}
