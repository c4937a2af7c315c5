import { realpathSync } from 'node:fs';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { systemErrorCode } from './errors.ts';

/** Whether something is a folder or lies in it, wherever symbolic links lead. Neither has to exist yet. @throws system errors */
export function isWithin(path: string, folder: string): boolean {
  const fromFolder = relative(realPathOfPlanned(folder), realPathOfPlanned(path));
  return fromFolder !== '..' && !fromFolder.startsWith(`..${sep}`);
}

/** The real path of something whose last parts may not exist yet. */
function realPathOfPlanned(path: string): string {
  const absolute = resolve(path);
  try {
    return realpathSync(absolute);
  } catch (thrown) {
    const parent = dirname(absolute);
    if (systemErrorCode(thrown) !== 'ENOENT' || parent === absolute) throw thrown;
    return join(realPathOfPlanned(parent), basename(absolute));
  }
}
