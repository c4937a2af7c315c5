import { HoldfastError } from '../../base/errors.ts';
import type { StoreId } from '../../base/ids.ts';

/** A node whose log is gone cannot be mended in place. */
const LOST_HINT = 'put the data directory back; a node whose log is lost has to be removed and joined again';

export function logMissing(what: string, cause?: unknown): HoldfastError {
  return new HoldfastError('DATA_DIR_INVALID', what, { hint: LOST_HINT, cause });
}

export function logCorrupt(what: string): HoldfastError {
  return new HoldfastError('LOG_CORRUPT', what, {
    hint:
      'nothing was changed; keep a copy of the data directory, then remove this node from the cluster and ' +
      'join it again with an empty one',
  });
}

export function unreadable(path: string, cause: unknown): HoldfastError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new HoldfastError('DISK_FAILED', `${path} cannot be read: ${why}`, {
    hint: 'check the disk and the owner and mode of the file',
    cause,
  });
}

export function versionUnsupported(
  name: string,
  version: { readonly found: number; readonly known: number },
): HoldfastError {
  return new HoldfastError(
    'VERSION_UNSUPPORTED',
    `${name} has log format ${version.found}; this program reads ${version.known}`,
    { hint: 'run the program version that wrote this data directory, or a newer one' },
  );
}

export function foreignStore(
  { directory, storeId }: { readonly directory: string; readonly storeId: StoreId },
  found: StoreId,
): HoldfastError {
  return new HoldfastError(
    'DATA_DIR_INVALID',
    `the write-ahead log ${directory} belongs to store ${found}, not to ${storeId}`,
    { hint: 'the data directory was mixed with that of another cluster; put the right one back' },
  );
}
