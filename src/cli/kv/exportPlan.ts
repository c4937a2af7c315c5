import { HoldfastError } from '../../base/errors.ts';
import { keyText } from '../value.ts';

/** The files and folders that keys become, relative to the directory of the export. */
export interface ExportPlan {
  /** In the order of the keys. Latin-1 text: one character a byte. */
  readonly paths: readonly string[];
  /** Parents before children. */
  readonly folders: readonly string[];
}

/** NAME_MAX of every file system that matters. */
const NAME_BYTES_MAX = 255;

/**
 * Where each key of an export goes: its bytes after the prefix, folders at each `/`.
 * @throws HoldfastError INVALID_ARGUMENT naming the first key that cannot be a file's name
 */
export function planExport(keys: readonly Buffer[], prefix: Buffer): ExportPlan {
  const files = new Set<string>();
  const folders = new Set<string>();
  for (const key of keys) {
    const path = key.subarray(prefix.length).toString('latin1');
    const problem = pathProblem(path);
    if (problem !== null) throw refused(key, problem);
    files.add(path);
    for (let slash = path.indexOf('/'); slash !== -1; slash = path.indexOf('/', slash + 1)) {
      folders.add(path.slice(0, slash));
    }
  }
  const both = [...folders].find((folder) => files.has(folder));
  if (both !== undefined) {
    const key = Buffer.concat([prefix, Buffer.from(both, 'latin1')]);
    throw refused(key, 'it would be a file, and other keys make it a folder');
  }
  return { paths: [...files], folders: [...folders].sort() };
}

/** Why a path of bytes is no path of a file inside a directory, or null. */
function pathProblem(path: string): string | null {
  if (path === '') return 'nothing is left of it after the prefix';
  if (path.includes('\0')) return 'it holds a zero byte';
  for (const name of path.split('/')) {
    if (name === '') return 'it begins or ends with / or holds // (after the prefix)';
    if (name === '.' || name === '..') return `it holds the segment ${name}`;
    if (name.length > NAME_BYTES_MAX) return `a segment of it is over ${NAME_BYTES_MAX} bytes`;
  }
  return null;
}

function refused(key: Buffer, problem: string): HoldfastError {
  return new HoldfastError('INVALID_ARGUMENT', `key ${keyText(key)} cannot be a file: ${problem}`, {
    field: 'key',
    hint: 'export under a --prefix that leaves it out; nothing has been written',
  });
}
