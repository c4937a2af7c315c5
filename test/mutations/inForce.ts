import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { Plugin } from 'vitest/config';
import { present } from '../../src/base/assert.ts';
import { applyPatches, PatchError } from '../patches/patchedBuild.ts';
import { ROOT } from '../tidy/sourceTree.ts';
import type { Mutation } from './mutation.ts';
import { MUTATIONS } from './table.ts';

/** Names the mutation under which vitest.mutations.config.ts runs its tests; absent or empty: none. */
export const MUTATION_VARIABLE = 'MUTATION';

/** Printed once the mutated file was loaded: a test that never loads it says nothing of the mutation. */
export const IN_FORCE = 'mutation in force: ';

/** @throws PatchError for a name that no mutation has */
export function mutationNamed(name: string | undefined): Mutation | null {
  if (name === undefined || name === '') return null;
  const mutation = MUTATIONS.find((candidate) => candidate.name === name);
  if (mutation === undefined) throw new PatchError(`no mutation is called ${JSON.stringify(name)}`);
  return mutation;
}

/** Hands the tests one source file with its mutation; nothing on disk changes. */
export function mutationPlugin(mutation: Mutation, told: (line: string) => void): Plugin {
  const target = path.join(ROOT, mutation.file);
  return {
    name: 'mutation',
    enforce: 'pre',
    load(id) {
      if (path.normalize(present(id.split('?')[0], 'a path')) !== target) return null;
      const mutated = applyPatches(readFileSync(target, 'utf8'), [mutation]);
      told(`${IN_FORCE}${mutation.name}\n`);
      return mutated;
    },
  };
}
