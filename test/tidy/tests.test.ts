import { describe, expect, it } from 'vitest';
import { codeOnly, lineOf } from './sourceText.ts';
import { filesIn } from './sourceTree.ts';

/**
 * A test that does not run proves nothing; one that runs alone hides the others. `skipIf` is left for what a machine
 * lacks, with the reason in the test's name; .ci/run names each test that it skipped.
 */
const NOT_EVERY_TEST =
  /\b(?:it|test|describe|suite|bench)(?:\.\w+)*\.(?:skip|only|todo|fails)\b|\bx(?:it|describe)\(|\.skip\(\)/g;

const found = (code: string): readonly number[] =>
  [...code.matchAll(NOT_EVERY_TEST)].map((match) => match.index);

describe('tests', () => {
  it('all run', () => {
    const places = filesIn(['test', 'cluster-tests']).flatMap((file) =>
      found(file.code).map((offset) => `${file.path}:${lineOf(file.code, offset)}`),
    );
    expect(places).toEqual([]);
  });

  // Texts that are searched, not tests that are left out.
  it.each(["it.only('a', b);", "describe.skip('a', b);", "it.concurrent.skip('a', b);", 'context.skip();'])(
    '%s would be seen',
    (text) => {
      expect(found(codeOnly(text))).toHaveLength(1);
    },
  );
});
