import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { liveTables } from './manifest.ts';
import { assertTableWhole } from './table.ts';

const MANIFEST_PATTERN = /^(MANIFEST-[0-9]+)\n$/;

/**
 * Checks the tables of a database that nobody has open, byte for byte, before LevelDB does anything with them. It would
 * merge tables in the background as soon as it is open, without a look at their checksums: where a damaged one makes keys
 * come in the wrong order, an assertion ends the process, at every start anew.
 * @throws RangeError naming the file; what reading a file throws (ENOENT: it should be there)
 */
export async function assertFilesWhole(directory: string): Promise<void> {
  const current = MANIFEST_PATTERN.exec(await readFile(join(directory, 'CURRENT'), 'latin1'));
  if (current === null) throw new RangeError('CURRENT does not name a manifest');
  const manifest = current[1] ?? '';
  const tables = await within(manifest, async () => liveTables(await readFile(join(directory, manifest))));
  for (const [number, bytes] of tables) {
    const name = `${String(number).padStart(6, '0')}.ldb`;
    await within(name, async () => {
      const table = await readFile(join(directory, name));
      if (table.length !== bytes) throw new RangeError(`it has ${table.length} bytes instead of ${bytes}`);
      assertTableWhole(table);
    });
  }
}

async function within<Result>(name: string, check: () => Promise<Result>): Promise<Result> {
  try {
    return await check();
  } catch (thrown) {
    if (thrown instanceof RangeError) throw new RangeError(`${name}: ${thrown.message}`, { cause: thrown });
    throw thrown;
  }
}
