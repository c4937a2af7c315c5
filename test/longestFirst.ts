import { strict as assert } from 'node:assert';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

const ROOT = join(import.meta.dirname, '..');

/**
 * An order in which these test files begin first, the longest of all in front. Where vitest has not seen its files run it goes
 * by their size, and one that takes minutes is alone at the end.
 * @param longest paths from the root of the project
 */
export function longestFirst(longest: readonly string[]): typeof BaseSequencer {
  const paths = longest.map((path) => join(ROOT, path));
  for (const path of paths) assert(existsSync(path), `there is no test file ${path}`);
  const place = ({ moduleId }: TestSpecification): number =>
    paths.includes(moduleId) ? paths.indexOf(moduleId) : paths.length;
  return class extends BaseSequencer {
    override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
      return (await super.sort(files)).toSorted((one, other) => place(one) - place(other));
    }
  };
}
