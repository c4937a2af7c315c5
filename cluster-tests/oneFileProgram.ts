import path from 'node:path';
import { buildPatched } from '../test/patches/patchedBuild.ts';
import { ROOT } from '../test/tidy/sourceTree.ts';

/**
 * The program of the sources with its packages in one file, for suites that start hundreds of nodes: it is up in half the time. What
 * is built for users runs in the docker suite, in the tests of the command line, and in every other start of the chaos runs.
 */
export async function setup(): Promise<void> {
  const outfile = path.resolve(ROOT, '.rig/patched/program/main.mjs');
  await buildPatched({ entry: 'src/cli/main.ts', patches: [], outfile, packages: 'inside' });
  process.env['CLUSTER_PROGRAM'] = outfile;
}
