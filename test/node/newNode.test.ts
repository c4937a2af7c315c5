import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type DataDirectory, dataDirectory } from '../../src/node/dataDirectory.ts';
import { makeNode } from '../../src/node/newNode.ts';
import { refusalOf } from './refusal.ts';

let folder: string;
let directory: DataDirectory;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-new-'));
  directory = dataDirectory(join(folder, 'data'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const contents = () => readdirSync(directory.root).filter((name) => name !== 'lock');
const write = (name: string) => writeFileSync(join(directory.root, name), name);

function make(): Promise<string> {
  return makeNode(
    directory,
    () => {
      write('keyring');
      return Promise.resolve('made');
    },
    () => {
      write('identity.json');
      return Promise.resolve();
    },
  );
}

/** What an attempt in another directory has in its mark. */
async function markOfAnAttempt(): Promise<Buffer> {
  const other = dataDirectory(join(folder, 'other'));
  const read = () => Promise.resolve(readFileSync(join(other.root, 'unfinished')));
  return makeNode(other, read, () => Promise.resolve());
}

describe('a new node', () => {
  it('is made in an empty or absent directory, and leaves no mark', async () => {
    expect(await make()).toBe('made');
    expect(contents().toSorted()).toEqual(['identity.json', 'keyring']);
  });

  it('is refused where one is, and where something else is', async () => {
    await make();
    const refusal = await refusalOf(make);
    expect(refusal).toMatchObject({ code: 'DATA_DIR_INVALID' });
    expect(refusal.hint).toContain('holdfast server');
    rmSync(directory.root, { recursive: true });
    mkdirSync(directory.root);
    write('diary.txt');
    const other = await refusalOf(make);
    expect(other).toMatchObject({ code: 'DATA_DIR_INVALID', hint: 'name an empty directory' });
    expect(contents()).toEqual(['diary.txt']);
  });

  it('is refused where no directory can be', async () => {
    writeFileSync(directory.root, '');
    expect((await refusalOf(make)).code).toBe('DATA_DIR_INVALID');
  });

  it('is refused where a file only has the name of the mark', async () => {
    mkdirSync(directory.root);
    write('unfinished');
    write('novel.txt');
    expect((await refusalOf(make)).code).toBe('DATA_DIR_INVALID');
    expect(contents().toSorted()).toEqual(['novel.txt', 'unfinished']);
  });

  it('clears away an attempt that was cut off, but never a finished node', async () => {
    mkdirSync(join(directory.root, 'wal'), { recursive: true });
    const mark = await markOfAnAttempt();
    const writeMark = () => writeFileSync(join(directory.root, 'unfinished'), mark);
    writeMark();
    write('rubbish');
    expect(await make()).toBe('made');
    expect(contents().toSorted()).toEqual(['identity.json', 'keyring']);
    // Cut off after the identity, before the mark was taken away: the node counts as made.
    writeMark();
    expect((await refusalOf(make)).hint).toContain('holdfast server');
    expect(contents()).toContain('keyring');
    expect(contents()).toContain('identity.json');
  });

  it.each(['make', 'finish'] as const)('leaves nothing when %s fails, and lets go', async (which) => {
    const failing = makeNode(
      directory,
      () => {
        write('keyring');
        mkdirSync(directory.wal);
        return which === 'make' ? Promise.reject(new Error('no room')) : Promise.resolve();
      },
      () => Promise.reject(new Error('no room')),
    );
    await expect(failing).rejects.toThrow('no room');
    expect(contents()).toEqual([]);
    expect(await make()).toBe('made');
  });

  it('is made by one of two at once', async () => {
    mkdirSync(directory.root);
    const both = await Promise.allSettled([make(), make()]);
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(existsSync(directory.identity)).toBe(true);
  });
});
