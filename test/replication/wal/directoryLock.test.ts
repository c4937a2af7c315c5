import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { lockDataDirectory } from '../../../src/replication/wal/directoryLock.ts';

let directory = '';
let child: ChildProcess | null = null;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-lock-'));
});

afterEach(async () => {
  child?.kill('SIGKILL');
  child = null;
  await rm(directory, { recursive: true, force: true });
});

/** Another process that takes the lock and then does nothing. */
async function lockElsewhere(): Promise<ChildProcess> {
  const url = pathToFileURL(join(import.meta.dirname, '../../../src/replication/wal/directoryLock.ts')).href;
  const program = `
    import { lockDataDirectory } from ${JSON.stringify(url)};
    await lockDataDirectory(${JSON.stringify(directory)});
    process.stdout.write('locked');
    setInterval(() => undefined, 1000);`;
  child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(present(child.stdout, 'stdout'), 'data');
  return child;
}

describe('the lock on a data directory', () => {
  it('is refused while another process has it, and free once that process is killed', async () => {
    const other = await lockElsewhere();
    await expect(lockDataDirectory(directory)).rejects.toMatchObject({
      code: 'DATA_DIR_INVALID',
      message: `${directory} is in use by another process`,
      hint: expect.stringContaining('stop the node'),
    });
    const exited = once(other, 'exit');
    other.kill('SIGKILL');
    await exited;
    await (await lockDataDirectory(directory)).release();
  });

  it('is refused to a second taker in the same process, until released', async () => {
    const lock = await lockDataDirectory(directory);
    await expect(lockDataDirectory(directory)).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
    await lock.release();
    await (await lockDataDirectory(directory)).release();
  });

  it('says why a directory cannot be locked', async () => {
    await expect(lockDataDirectory('/dev/null/data')).rejects.toMatchObject({
      code: 'DATA_DIR_INVALID',
      message: expect.stringContaining('cannot be locked'),
    });
  });

  // Only root can give a directory away to another user.
  it.runIf(process.getuid?.() === 0)('is not taken by root in the directory of another user', async () => {
    const path = join(directory, 'lock');
    await mkdir(path);
    await chown(path, 65_534, 65_534);
    await expect(lockDataDirectory(directory)).rejects.toMatchObject({
      code: 'DATA_DIR_INVALID',
      hint: "run it as that user: sudo -u '#65534' holdfast …",
    });
    expect(await readdir(path)).toEqual([]);
  });
});
