import { HoldfastError } from '../base/errors.ts';
import { systemRandom } from '../base/random.ts';
import { formatKeyFile, parseKeyFile } from '../envelope/keyFile.ts';
import { createSecretFile, readSecretFile } from '../envelope/keyFileDisk.ts';
import type { NodeConfiguration } from './configuration.ts';

/**
 * Writes one control key of this machine's node to a file of its own, 0600, in the form of a key file, and reads it back.
 * Never overwrites.
 * @throws HoldfastError NOT_FOUND when the node's key file does not hold it, KEY_FILE_INVALID, FILE_UNREADABLE
 */
export function copyControlKey(
  { controlKeyPath, dataDir }: Pick<NodeConfiguration, 'controlKeyPath' | 'dataDir'>,
  { fingerprint, to }: { readonly fingerprint: string; readonly to: string },
): void {
  const key = readKeys({ path: controlKeyPath, dataDir }).find((held) => held.fingerprint === fingerprint);
  if (key === undefined) {
    throw new HoldfastError('NOT_FOUND', `${controlKeyPath} does not hold control key ${fingerprint}`, {
      field: 'control-key-path',
      hint: 'run this on a node of the cluster, with its key file; or copy that file yourself, and confirm with --accept-fingerprint',
    });
  }
  const content = formatKeyFile([{ ...key, state: 'active' }]);
  try {
    createSecretFile({ path: to, dataDir }, content, systemRandom);
  } finally {
    content.fill(0);
  }
  const [written] = readKeys({ path: to, dataDir });
  if (written?.fingerprint === fingerprint) return;
  throw new HoldfastError('FILE_UNREADABLE', `${to} does not read back as it was written`, { field: to });
}

function readKeys(place: { readonly path: string; readonly dataDir: string }) {
  const bytes = readSecretFile(place);
  try {
    return parseKeyFile(bytes, place.path);
  } finally {
    bytes.fill(0);
  }
}
