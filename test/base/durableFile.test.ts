import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeFileDurably } from '../../src/base/durableFile.ts';

let directory = '';

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'holdfast-file-'));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

describe('writeFileDurably', () => {
  it('makes a file with the mode asked for, whatever the umask', async () => {
    const path = join(directory, 'key.json');
    const umask = process.umask(0o077);
    try {
      await writeFileDurably({ path, bytes: Buffer.from('one'), mode: 0o644 });
    } finally {
      process.umask(umask);
    }
    expect(await readFile(path, 'utf8')).toBe('one');
    expect((await stat(path)).mode & 0o777).toBe(0o644);
  });

  it('replaces a file and its mode, also past a leftover of a crash', async () => {
    const path = join(directory, 'key.json');
    await writeFile(path, 'a longer old text');
    await chmod(path, 0o644);
    await writeFile(`${path}.new`, 'half');
    await writeFileDurably({ path, bytes: Buffer.from('new'), mode: 0o600 });
    expect(await readFile(path, 'utf8')).toBe('new');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(['key.json']);
  });

  it('leaves nothing behind when it fails', async () => {
    const path = join(directory, 'taken');
    await mkdir(path);
    await expect(writeFileDurably({ path, bytes: Buffer.from('x'), mode: 0o600 })).rejects.toMatchObject({
      code: 'EISDIR',
    });
    expect(await readdir(directory)).toEqual(['taken']);
    const nowhere = join(directory, 'missing', 'file');
    await expect(
      writeFileDurably({ path: nowhere, bytes: Buffer.from('x'), mode: 0o600 }),
    ).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
