import { join } from 'node:path';
import { writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { countField, exactObject, parseJson, ShapeError } from '../envelope/shape.ts';
import { readBounded } from './identityFile.ts';

const SCHEMA = 1;
const FIELDS = ['schema', 'starts'] as const;

export function startCountPath(dataDir: string): string {
  return join(dataDir, 'starts.json');
}

/**
 * Counts a start of the node in a data directory, durably: how others tell a node that came back from a copy of it.
 * @returns how often it has been started, this start included
 * @throws HoldfastError DATA_DIR_INVALID that says what is wrong with the file; FILE_UNREADABLE, DISK_FAILED when the
 *   disk refuses
 */
export async function countStart(dataDir: string): Promise<number> {
  const path = startCountPath(dataDir);
  const bytes = await readBounded(path, LIMITS.identityFileBytesMax);
  const starts = (bytes === null ? 0 : parseStarts(bytes, path)) + 1;
  const next = Buffer.from(`${JSON.stringify({ schema: SCHEMA, starts })}\n`);
  try {
    await writeFileDurably({ path, bytes: next, mode: 0o600 });
  } catch (cause) {
    throw new HoldfastError('DISK_FAILED', `${path} could not be written`, {
      field: 'data-dir',
      hint: 'Check that the disk has space, and who owns the data directory.',
      cause,
    });
  }
  return starts;
}

function parseStarts(bytes: Buffer, path: string): number {
  try {
    const json = exactObject(parseJson(bytes), FIELDS);
    const schema = countField(json.schema, 'schema');
    if (schema !== SCHEMA) throw new ShapeError(`schema is ${schema}, and only ${SCHEMA} is known here`);
    return countField(json.starts, 'starts');
  } catch (cause) {
    if (!(cause instanceof ShapeError)) throw cause;
    throw new HoldfastError('DATA_DIR_INVALID', `${path}: ${cause.message}`, {
      field: 'data-dir',
      hint: 'Remove this node from the cluster, empty the directory, and let it join anew.',
      cause,
    });
  }
}
