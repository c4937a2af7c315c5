import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { functionsOf } from './sourceText.ts';
import { CODE_PLACES, filesIn, ROOT } from './sourceTree.ts';

const FILE_LINES_MAX = 400;
const FUNCTION_LINES_MAX = 70;

/**
 * What was over a limit when the limit came, with its size that day. An entry may only shrink, and goes when its
 * subject is within the limit: nothing is ever added here.
 */
const RATCHET = JSON.parse(readFileSync(path.join(ROOT, 'test/tidy/ratchet.json'), 'utf8')) as {
  readonly files: Readonly<Record<string, number>>;
  readonly functions: Readonly<Record<string, number>>;
};

const linesOf = (text: string): number => text.split('\n').length - 1;

/** The largest size by name: two functions of a file may share one. */
function largest(sizes: ReadonlyArray<readonly [string, number]>): Map<string, number> {
  const found = new Map<string, number>();
  for (const [name, size] of sizes) found.set(name, Math.max(size, found.get(name) ?? 0));
  return found;
}

function objections(
  sizes: ReadonlyMap<string, number>,
  { max, known }: { max: number; known: Readonly<Record<string, number>> },
): readonly string[] {
  const tooLarge = [...sizes]
    .filter(([name, size]) => size > (known[name] ?? max))
    .map(([name, size]) => `${name} has ${size} lines, more than ${known[name] ?? max}`);
  const shrunk = Object.entries(known)
    .filter(([name, size]) => (sizes.get(name) ?? 0) < size)
    .map(
      ([name, size]) => `${name} has shrunk from ${size} to ${sizes.get(name) ?? 0}: say so in ratchet.json`,
    );
  return [...tooLarge, ...shrunk];
}

describe('sizes', () => {
  it('of files stay within the limit', () => {
    const sizes = largest(filesIn(CODE_PLACES).map((file) => [file.path, linesOf(file.text)]));
    expect(objections(sizes, { max: FILE_LINES_MAX, known: RATCHET.files })).toEqual([]);
  });

  it('of functions stay within the limit', () => {
    const sizes = filesIn(['src', 'scripts', 'bench']).flatMap((file) =>
      functionsOf(file.code).map(({ name, lines }) => [`${file.path} ${name}`, lines] as const),
    );
    expect(objections(largest(sizes), { max: FUNCTION_LINES_MAX, known: RATCHET.functions })).toEqual([]);
  });

  it('may only shrink', () => {
    const known = { a: 90, b: 80 };
    const max = 70;
    expect(objections(new Map([['a', 91]]), { max, known: { a: 90 } })).toHaveLength(1);
    expect(objections(new Map([['a', 89]]), { max, known: { a: 90 } })).toHaveLength(1);
    expect(objections(new Map([['c', 71]]), { max, known: {} })).toHaveLength(1);
    expect(
      objections(
        new Map([
          ['a', 90],
          ['b', 80],
          ['c', 70],
        ]),
        { max, known },
      ),
    ).toEqual([]);
  });
});
