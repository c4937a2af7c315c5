import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ErrorCode, HoldfastError } from '../../src/base/errors.ts';
import type { NodeConfiguration } from '../../src/node/configuration.ts';
import { type AdminContext, initCluster } from '../../src/node/initCluster.ts';
import { copyKeys, type NodeFolder, NodeFolders } from './nodeFolder.ts';
import { refusalOf } from './refusal.ts';

/**
 * One node, refused for many reasons: each next refusal, and the start at the end, would fail if one before had left
 * anything locked, listening or changed.
 */
const folders = new NodeFolders();
let first: NodeFolder & { admin: AdminContext };
/** Another cluster under the same keys, and one under others. */
let second: NodeFolder;
let stranger: NodeFolder;

beforeAll(async () => {
  first = await folders.first('n1');
  second = await folders.folder('n2');
  copyKeys(first, second);
  await initCluster(second.configuration, () => Promise.resolve());
  stranger = await folders.first('n3');
});
afterAll(() => folders.close());

/** Puts something else, or nothing, in the place of a file or folder until `run` is done. */
async function without<T>(path: string, replace: () => void, run: () => Promise<T>): Promise<T> {
  const aside = join(folders.root, 'aside');
  renameSync(path, aside);
  try {
    replace();
    return await run();
  } finally {
    rmSync(path, { recursive: true, force: true });
    renameSync(aside, path);
  }
}

const refused = (folder: NodeFolder): Promise<HoldfastError> => refusalOf(() => folders.start(folder));

async function whileTaken<T>(address: { host: string; port: number }, run: () => Promise<T>): Promise<T> {
  // Somebody else's node may take it for a peer of its own: who stays connected would keep it from closing.
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address.port, address.host, () => resolve());
  });
  try {
    return await run();
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

/** What this process holds open under a folder; nothing where the system does not say so. */
function openFiles(folder: string): string[] {
  const descriptors = '/proc/self/fd';
  if (!existsSync(descriptors)) return [];
  return readdirSync(descriptors)
    .flatMap((name) => {
      try {
        return [readlinkSync(join(descriptors, name))];
      } catch {
        // The one that was open for reading the list.
        return [];
      }
    })
    .filter((path) => path.startsWith(folder));
}

describe('a start is refused', () => {
  it('without a node, and says how to make one', async () => {
    const refusal = await refused(await folders.folder('nobody'));
    expect(refusal).toMatchObject({ code: 'DATA_DIR_INVALID', field: 'data-dir' });
    expect(refusal.hint).toMatch(/init.*join/);
  });

  type Of = (configuration: NodeConfiguration) => string;
  const control: Of = ({ controlKeyPath }) => controlKeyPath;
  const jwt: Of = ({ jwtSecretPath }) => jwtSecretPath;
  const inData =
    (name: string): Of =>
    ({ dataDir }) =>
      join(dataDir, name);

  const missing: [string, ErrorCode, Of][] = [
    ['the control key', 'KEY_FILE_INVALID', control],
    ['the JWT secret', 'KEY_FILE_INVALID', jwt],
    ['the identity', 'DATA_DIR_INVALID', inData('identity.json')],
    ['the keyring', 'DATA_DIR_INVALID', inData('keyring')],
    ['the state', 'STATE_CORRUPT', inData('state')],
  ];
  it.each(missing)('without %s', async (_what, code, of) => {
    const path = of(first.configuration);
    const refusal = await without(
      path,
      () => undefined,
      () => refused(first),
    );
    expect(refusal.code).toBe(code);
    expect(refusal.message).not.toBe('');
  });

  const others: [string, readonly ErrorCode[], Of][] = [
    ['the identity', ['CLUSTER_MISMATCH'], inData('identity.json')],
    ['the keyring', ['CLUSTER_MISMATCH'], inData('keyring')],
    ['the log', ['LOG_CORRUPT', 'CLUSTER_MISMATCH', 'DATA_DIR_INVALID'], inData('wal')],
    ['the state', ['STATE_CORRUPT', 'KEY_UNKNOWN', 'ENVELOPE_UNREADABLE'], inData('state')],
  ];
  it.each(others)('with %s of another cluster under the same key', async (_what, codes, of) => {
    const path = of(first.configuration);
    const theirs = () => cpSync(of(second.configuration), path, { recursive: true });
    expect(codes).toContain((await without(path, theirs, () => refused(first))).code);
  });

  it('with another control key, naming both', async () => {
    const path = control(first.configuration);
    const theirs = () => copyFileSync(control(stranger.configuration), path);
    const refusal = await without(path, theirs, () => refused(first));
    expect(refusal.code).toBe('CONTROL_KEY_MISMATCH');
    expect(refusal.message.match(/sha256:[0-9a-f]{64}/g)).toHaveLength(2);
  });

  it('with a control key that others may read', async () => {
    chmodSync(control(first.configuration), 0o640);
    expect((await refused(first)).code).toBe('KEY_FILE_INVALID');
    chmodSync(control(first.configuration), 0o600);
  });

  it('with a damaged keyring', async () => {
    const path = inData('keyring')(first.configuration);
    const bytes = readFileSync(path);
    const middle = Math.floor(bytes.length / 2);
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    const refusal = await without(
      path,
      () => writeFileSync(path, bytes, { mode: 0o600 }),
      () => refused(first),
    );
    expect(refusal.code).toBe('ENVELOPE_UNREADABLE');
  });

  it.each([
    ['listenApi', 'listenPeer'],
    ['listenPeer', 'listenApi'],
  ] as const)('when %s is taken, and lets go of %s', async (one, other) => {
    const refusal = await whileTaken(first.configuration[one], () => refused(first));
    expect(refusal.code).toBe('PORT_IN_USE');
    expect(openFiles(first.configuration.dataDir)).toEqual([]);
    await whileTaken(first.configuration[other], () => Promise.resolve());
  });

  it('while another one runs on the data directory, and not after all of the above', async () => {
    const node = await folders.start(first);
    const { listenApi, listenPeer } = second.configuration;
    const refusal = await refused({
      ...first,
      configuration: { ...first.configuration, listenApi, listenPeer },
    });
    expect(refusal.code).toBe('DATA_DIR_INVALID');
    expect(refusal.message).toContain('in use');
    const client = await folders.client(first, [node]);
    await client.put('still', 'here');
    await client.close();
    await folders.stop(node);
    expect(folders.fatal).toEqual([]);
  });
});
