import { dirname } from 'node:path';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import { isWithin } from '../base/realPath.ts';
import type { NodeConfiguration } from './configuration.ts';

/**
 * A sink writes, renames and leaves files as it likes, where every other one is a part of the node: before a node is made, and at each of
 * its starts, wherever links have come to lead meanwhile.
 * @throws HoldfastError CONFIG_INVALID for a file of audit-sink in the data directory
 */
export function refuseSinkAmongData({
  auditSink,
  dataDir,
}: Pick<NodeConfiguration, 'auditSink' | 'dataDir'>): void {
  if (auditSink?.kind !== 'file') return;
  const { path } = auditSink;
  // The file may itself be a link, and is renamed in the folder that it is named in.
  if (![dirname(path), path].some((place) => isAmongData(place, dataDir))) return;
  throw new HoldfastError('CONFIG_INVALID', 'the file of audit-sink lies in the data directory', {
    field: 'audit-sink',
    hint: 'name a file in a directory of its own, outside of the data directory',
  });
}

/** What cannot be looked at cannot be written to either, which the sink says by itself. */
function isAmongData(path: string, dataDir: string): boolean {
  try {
    return isWithin(path, dataDir);
  } catch (thrown) {
    if (systemErrorCode(thrown) === undefined) throw thrown;
    return false;
  }
}
