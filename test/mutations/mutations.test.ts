import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { present } from '../../src/base/assert.ts';
import { checkPatches, PatchError } from '../patches/patchedBuild.ts';
import { ROOT } from '../tidy/sourceTree.ts';
import { mutationNamed, mutationPlugin } from './inForce.ts';
import type { Mutation } from './mutation.ts';
import { isUnnoticed, rowOf, rowsOnPage } from './page.ts';
import { MUTATIONS } from './table.ts';

const names = MUTATIONS.map(({ name }) => name);

describe('the mutations', () => {
  it('fit the sources, each alone', async () => {
    expect(await checkPatches(MUTATIONS)).toEqual([]);
  });

  it('are at least forty, and no two the same', () => {
    expect(names.length).toBeGreaterThanOrEqual(40);
    expect(new Set(names).size).toBe(names.length);
    const patches = MUTATIONS.map(({ file, find, replace }) => JSON.stringify([file, find, replace]));
    expect(new Set(patches).size).toBe(patches.length);
  });

  it('each name somebody who notices, and files that are there', () => {
    expect(MUTATIONS.filter(({ noticedBy }) => noticedBy.length === 0)).toEqual([]);
    const files = MUTATIONS.flatMap(({ noticedBy }) => noticedBy).filter((one) => one !== 'simulation');
    expect([...new Set(files)].filter((file) => !existsSync(path.join(ROOT, file)))).toEqual([]);
  });

  it('are the rows of docs/testing.md, none of which nobody noticed', () => {
    const rows = rowsOnPage();
    expect([...rows.keys()]).toEqual(names);
    expect([...rows.values()].filter(isUnnoticed)).toEqual([]);
  });
});

describe('a mutation in force', () => {
  const mutation: Mutation = {
    name: 'a number is written wrongly',
    protects: 'bytes',
    file: 'src/base/bytes.ts',
    find: 'value % TWO_32',
    replace: 'value % 7',
    noticedBy: ['simulation'],
  };

  it('changes its file as it is loaded, and says so', () => {
    const told: string[] = [];
    const { load } = mutationPlugin(mutation, (line) => told.push(line)) as { load: (id: string) => unknown };
    expect(load(path.join(ROOT, 'src/base/assert.ts'))).toBeNull();
    expect(told).toEqual([]);
    expect(load(path.join(ROOT, mutation.file))).toContain('value % 7');
    expect(told).toEqual(['mutation in force: a number is written wrongly\n']);
  });

  it('is known by its name, or refused', () => {
    expect(mutationNamed('')).toBeNull();
    expect(mutationNamed(names[0])).toBe(MUTATIONS[0]);
    expect(() => mutationNamed('no such')).toThrow(PatchError);
  });

  it('that does not fit is refused where it is loaded', () => {
    const { load } = mutationPlugin({ ...mutation, find: 'nowhere' }, () => {}) as {
      load: (id: string) => unknown;
    };
    expect(() => load(path.join(ROOT, mutation.file))).toThrow(PatchError);
  });
});

describe('a row', () => {
  const mutation = present(MUTATIONS[0], 'a mutation');
  const outcome = { mutation, seeds: null, red: null, error: null };

  it('says who noticed: seeds, a test, or nobody', () => {
    const seeds = { caught: 3, seeds: 100, by: ['I1', 'I2'] };
    const red = { file: 'test/a/b.test.ts', test: 'one | two', late: false };
    const none = { caught: 0, seeds: 100, by: [] };
    const noticed = [
      { ...outcome, seeds },
      { ...outcome, red },
      { ...outcome, seeds: none, red },
    ].map(rowOf);
    expect(noticed[0]).toContain('| simulation: 3 of 100 seeds, I1 |');
    expect(noticed[1]).toContain('| `a/b`: one \\| two |');
    expect(noticed[2]).toContain('no seed of 100');
    expect(noticed.filter(isUnnoticed)).toEqual([]);
    const missed = [outcome, { ...outcome, seeds: none }, { ...outcome, error: 'no report' }].map(rowOf);
    expect(missed.filter(isUnnoticed)).toEqual(missed);
  });
});
