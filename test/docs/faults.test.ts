import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FaultKind } from '../../cluster-tests/chaos/faultKind.ts';
import { cellsOf, codeSpansOf, documentAt, ROOT } from './documents.ts';

const ROWS = documentAt('docs/faults.md')
  .text.split('\n')
  .filter((line) => /^\| \d+ \|/.test(line))
  .map((line) => {
    const [number = '', fault = '', expected = '', testedBy = ''] = cellsOf(line);
    return { number, fault, expected, testedBy };
  });
const CHAOS = path.join(ROOT, 'cluster-tests/chaos');
const KINDS = (
  await Promise.all(
    readdirSync(CHAOS)
      .filter((name) => name.endsWith('Faults.ts'))
      .map((name) => kindsIn(path.join(CHAOS, name))),
  )
).flat();

/** The kinds of fault in the tables of a module. */
async function kindsIn(file: string): Promise<readonly FaultKind[]> {
  const tables = Object.entries((await import(file)) as Readonly<Record<string, unknown>>);
  return tables.flatMap(([name, table]) => (name.endsWith('_FAULTS') ? (table as readonly FaultKind[]) : []));
}

/** What is named in `code` right after one of these words, with the row. */
function namedAfter(word: RegExp): readonly { readonly number: string; readonly name: string }[] {
  const list = new RegExp(`\\b(?:${word.source}) ((?:\`[^\`]+\`(?:, |$)?)+)`, 'g');
  return ROWS.flatMap(({ number, testedBy }) =>
    [...testedBy.matchAll(list)]
      .flatMap(([, names = '']) => codeSpansOf(names))
      .map((name) => ({ number, name })),
  );
}

function namedFiles(): readonly { readonly number: string; readonly name: string }[] {
  return ROWS.flatMap(({ number, testedBy }) =>
    codeSpansOf(testedBy)
      .filter((name) => name.includes('/'))
      .map((name) => ({ number, name })),
  );
}

describe('docs/faults.md', () => {
  it('numbers its rows from 1 on, and says of each who tests it, or that there is no such thing', () => {
    expect(ROWS.length).toBeGreaterThan(25);
    expect(ROWS.map(({ number }) => Number(number))).toEqual(ROWS.map((_row, at) => at + 1));
    expect(ROWS.filter(({ fault, testedBy }) => fault === '' || testedBy === '')).toEqual([]);
    const untested = ROWS.filter(({ testedBy }) => !/`|\bthere (?:is|are) /.test(testedBy));
    expect(untested).toEqual([]);
  });

  it('names files of tests that are there', () => {
    const files = namedFiles();
    expect(files.length).toBeGreaterThan(30);
    expect(files.filter(({ name }) => !/^(?:test|cluster-tests)\/.+\.test\.ts$/.test(name))).toEqual([]);
    expect(files.filter(({ name }) => !existsSync(path.join(ROOT, name)))).toEqual([]);
  });

  it('names kinds of fault that the chaos runs have', () => {
    const kinds = namedAfter(/chaos/);
    expect(kinds.length).toBeGreaterThan(40);
    const there = new Set(KINDS.map(({ name }) => name));
    expect(kinds.filter(({ name }) => !there.has(name))).toEqual([]);
  });

  it('names scripts that are there', () => {
    const scripts = namedAfter(/scripts?/);
    expect(scripts.length).toBeGreaterThan(4);
    const file = (name: string): string => path.join(ROOT, 'test/testdata/scenarios', `${name}.txt`);
    expect(scripts.filter(({ name }) => !existsSync(file(name)))).toEqual([]);
  });

  it('names nothing else in code, so that nothing goes unchecked', () => {
    const checked = new Set(
      [...namedAfter(/chaos/), ...namedAfter(/scripts?/), ...namedFiles()].map(({ name }) => name),
    );
    const options = ['--all'];
    const others = ROWS.flatMap(({ number, testedBy }) =>
      codeSpansOf(testedBy)
        .filter((name) => !checked.has(name) && !options.includes(name))
        .map((name) => ({ number, name })),
    );
    expect(others).toEqual([]);
  });
});
