import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileDurably } from '../base/durableFile.ts';
import { HoldfastError, systemErrorCode } from '../base/errors.ts';
import type { ClusterId, NodeId, StoreId } from '../base/ids.ts';
import { LIMITS } from '../base/limits.ts';
import type { RandomSource } from '../base/random.ts';
import { countField, exactObject, parseJson, ShapeError, textField } from '../envelope/shape.ts';

/** Who the node is whose data lies in a directory. Written last by init and join, checked first at every start. */
export interface NodeIdentityFile {
  readonly clusterId: ClusterId;
  readonly storeId: StoreId;
  readonly nodeId: NodeId;
  readonly name: string;
  /** 64 random bits as 16 hex digits: tells this directory from a copy that was made anew under the same node id. */
  readonly instance: string;
  /** The version of everything else in the directory. */
  readonly format: number;
}

const SCHEMA = 1;
const FIELDS = ['schema', 'clusterId', 'storeId', 'nodeId', 'name', 'instance', 'format'] as const;
const ID_PATTERN = /^[0-9a-f]{16}$/;
const NAME_PATTERN = /^\P{Cc}{1,256}$/u;

export function identityPath(dataDir: string): string {
  return join(dataDir, 'identity.json');
}

export function newInstance(random: RandomSource): string {
  return random.bytes(8).toString('hex');
}

/**
 * The identity in a data directory, or null when it has none.
 * @throws HoldfastError DATA_DIR_INVALID that says what is wrong with the file; FILE_UNREADABLE when the disk refuses
 */
export async function readIdentityFile(dataDir: string): Promise<NodeIdentityFile | null> {
  const path = identityPath(dataDir);
  const bytes = await readBounded(path, LIMITS.identityFileBytesMax);
  if (bytes === null) return null;
  try {
    return parseIdentity(bytes);
  } catch (cause) {
    if (!(cause instanceof ShapeError)) throw cause;
    throw new HoldfastError('DATA_DIR_INVALID', `${path}: ${cause.message}`, {
      field: 'data-dir',
      hint: 'Restore the file from a copy, or empty the directory and let the node join anew.',
      cause,
    });
  }
}

/**
 * Makes the directory this node's own; durable when it resolves.
 * @throws HoldfastError DATA_DIR_INVALID when it is some node's already
 */
export async function writeIdentityFile(dataDir: string, identity: NodeIdentityFile): Promise<void> {
  const present = await readIdentityFile(dataDir);
  if (present !== null) {
    const whose = `node ${present.nodeId} of cluster ${present.clusterId}`;
    throw new HoldfastError('DATA_DIR_INVALID', `${dataDir} is already that of ${whose}`, {
      field: 'data-dir',
      hint: 'Start that node with `holdfast server`, or name an empty directory.',
    });
  }
  const { clusterId, storeId, nodeId, name, instance, format } = identity;
  const content = { schema: SCHEMA, clusterId, storeId, nodeId, name, instance, format };
  const bytes = Buffer.from(`${JSON.stringify(content, null, 2)}\n`);
  parseIdentity(bytes);
  await writeFileDurably({ path: identityPath(dataDir), bytes, mode: 0o600 });
}

function parseIdentity(bytes: Buffer): NodeIdentityFile {
  const json = exactObject(parseJson(bytes), FIELDS);
  const schema = countField(json.schema, 'schema');
  if (schema !== SCHEMA) throw new ShapeError(`schema is ${schema}, and only ${SCHEMA} is known here`);
  const id = (field: 'clusterId' | 'storeId' | 'nodeId' | 'instance') =>
    textField(json[field], { field, pattern: ID_PATTERN });
  return {
    clusterId: id('clusterId') as ClusterId,
    storeId: id('storeId') as StoreId,
    nodeId: id('nodeId') as NodeId,
    name: textField(json.name, { field: 'name', pattern: NAME_PATTERN }),
    instance: id('instance'),
    format: countField(json.format, 'format'),
  };
}

/**
 * A file's bytes, or null when it is not there.
 * @throws HoldfastError DATA_DIR_INVALID when it is longer than `maxBytes`, FILE_UNREADABLE when the disk refuses
 */
export async function readBounded(path: string, maxBytes: number): Promise<Buffer | null> {
  try {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      if (size > maxBytes) {
        const message = `${path} has ${size} bytes, over the limit of ${maxBytes}`;
        throw new HoldfastError('DATA_DIR_INVALID', message, { field: 'data-dir' });
      }
      return await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    if (thrown instanceof HoldfastError) throw thrown;
    if (systemErrorCode(thrown) === 'ENOENT') return null;
    throw new HoldfastError('FILE_UNREADABLE', `${path} could not be read`, {
      field: 'data-dir',
      hint: 'Check who owns the data directory and what is in it.',
      cause: thrown,
    });
  }
}
