import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HEADER_START_BYTES, type KeyId, writeHeader } from '../../../src/envelope/format.ts';
import { scanForEnvelopes } from '../../../src/node/keyChange/scan.ts';
import { lockDataDirectory } from '../../../src/replication/wal/directoryLock.ts';

const CHUNK_BYTES = 1024 * 1024;
const OLD = '00000000000000aa' as KeyId;
const NEW = '00000000000000bb' as KeyId;
const OLD_ONES = { keyIds: new Set([OLD]), suite: null };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-scan-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function header(keyId: KeyId, suite = 1): Buffer {
  const bytes = Buffer.alloc(HEADER_START_BYTES);
  writeHeader(bytes, { suite, keyIdBytes: Buffer.from(keyId, 'hex') });
  return bytes;
}

function write(name: string, ...parts: readonly Buffer[]): string {
  const path = join(folder, name);
  writeFileSync(path, Buffer.concat(parts));
  return path;
}

describe('a scan for envelopes', () => {
  it('counts those under the keys that are named, and no others', async () => {
    const path = write('state', header(OLD), Buffer.from('between'), header(NEW), header(OLD, 0));
    expect(await scanForEnvelopes(folder, OLD_ONES)).toEqual({ count: 2, paths: [path] });
    expect(await scanForEnvelopes(folder, { keyIds: new Set(), suite: null })).toEqual({
      count: 0,
      paths: [],
    });
  });

  it('counts those of one suite', async () => {
    write('state', header(OLD, 1), header(OLD, 0), header(OLD, 0));
    expect((await scanForEnvelopes(folder, { ...OLD_ONES, suite: 0 })).count).toBe(2);
  });

  it.each(Array.from({ length: HEADER_START_BYTES + 1 }, (_, before) => before))(
    'finds one that begins %i bytes before the end of a chunk, once',
    async (before) => {
      write('log', Buffer.alloc(CHUNK_BYTES - before), header(OLD), Buffer.alloc(100));
      expect((await scanForEnvelopes(folder, OLD_ONES)).count).toBe(1);
    },
  );

  it('finds one at the very end, and none that is cut off', async () => {
    write('whole', Buffer.alloc(10), header(OLD));
    write('cut', Buffer.alloc(10), header(OLD).subarray(0, -1));
    expect((await scanForEnvelopes(folder, OLD_ONES)).count).toBe(1);
  });

  it('leaves this process its lock on the folder', async () => {
    const lock = await lockDataDirectory(folder);
    try {
      expect(lockedElsewhere()).toBe('DATA_DIR_INVALID');
      write('state', header(OLD));
      expect((await scanForEnvelopes(folder, OLD_ONES)).count).toBe(1);
      expect(lockedElsewhere()).toBe('DATA_DIR_INVALID');
    } finally {
      await lock.release();
    }
    expect(lockedElsewhere()).toBe('locked');
  });

  it('looks into every folder, and into what nobody uses', async () => {
    mkdirSync(join(folder, 'state', 'damaged-1'), { recursive: true });
    const paths = [write('state/damaged-1/000005.ldb', header(OLD)), write('x.new', header(OLD))];
    const found = await scanForEnvelopes(folder, OLD_ONES);
    expect([found.count, found.paths.toSorted()]).toEqual([2, paths.toSorted()]);
  });

  it('names a few paths of many', async () => {
    for (let i = 0; i < 9; i += 1) write(`file-${i}`, header(OLD));
    const { count, paths } = await scanForEnvelopes(folder, OLD_ONES);
    expect([count, paths.length]).toEqual([9, 5]);
  });

  it('follows no link, and takes an empty folder for what it is', async () => {
    expect((await scanForEnvelopes(folder, OLD_ONES)).count).toBe(0);
    const elsewhere = mkdtempSync(join(tmpdir(), 'holdfast-scan-elsewhere-'));
    writeFileSync(join(elsewhere, 'old'), header(OLD));
    symlinkSync(join(elsewhere, 'old'), join(folder, 'file'));
    symlinkSync(elsewhere, join(folder, 'folder'));
    expect((await scanForEnvelopes(folder, OLD_ONES)).count).toBe(0);
    rmSync(elsewhere, { recursive: true });
  });

  it('leaves alone what the file system keeps for itself at the top, and only there', async () => {
    for (const inside of ['lost+found', 'state/lost+found']) {
      mkdirSync(join(folder, inside), { recursive: true });
      write(join(inside, 'x'), header(OLD));
    }
    const { count, paths } = await scanForEnvelopes(folder, OLD_ONES);
    expect([count, paths]).toEqual([1, [join(folder, 'state', 'lost+found', 'x')]]);
  });

  it('does not take a folder that is not there for one without envelopes', async () => {
    await expect(scanForEnvelopes(join(folder, 'gone'), OLD_ONES)).rejects.toThrow(/ENOENT/);
  });
});

/** What another process gets that wants the lock. */
function lockedElsewhere(): string {
  const url = new URL('../../../src/replication/wal/directoryLock.ts', import.meta.url).href;
  const program = `
    import { lockDataDirectory } from ${JSON.stringify(url)};
    const said = await lockDataDirectory(${JSON.stringify(folder)}).then(() => 'locked', ({ code }) => code);
    process.stdout.write(said);
    process.exit(0);`;
  const args = ['--import', 'tsx', '--input-type=module', '-e', program];
  return execFileSync(process.execPath, args, { encoding: 'utf8' });
}
