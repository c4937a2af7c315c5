import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { present } from '../../src/base/assert.ts';
import { ROOT } from '../tidy/sourceTree.ts';

/** A small change of one source file, for a program that only tests run: what ships holds no switches for tests. */
export interface SourcePatch {
  /** Unique among the patches of a build. */
  readonly name: string;
  /** Under src/, from the root of the checkout: `src/replication/raft/log.ts`. */
  readonly file: string;
  /** Occurs exactly once in the file. Several patches of one file must not touch each other. */
  readonly find: string;
  readonly replace: string;
}

export interface PatchedBuildOptions {
  /** From the root of the checkout, or absolute. */
  readonly entry: string;
  readonly patches: readonly SourcePatch[];
  /**
   * From the root of the checkout, or absolute; inside the checkout, so that packages are found from there.
   * `.rig/patched/` is a place that neither git nor the checks look into.
   */
  readonly outfile: string;
  /** The packages are in it too: a program that is started often is up sooner. */
  readonly packages?: 'inside' | 'outside';
}

/** A patch that does not fit the sources any more. */
export class PatchError extends Error {
  override readonly name = 'PatchError';
}

interface Splice {
  readonly patch: SourcePatch;
  readonly from: number;
  readonly to: number;
}

function spliceOf(text: string, patch: SourcePatch): Splice {
  const refuse = (why: string): PatchError => new PatchError(`patch ${patch.name}: ${why} in ${patch.file}`);
  if (patch.find === '') throw refuse('an empty text cannot be found');
  const from = text.indexOf(patch.find);
  if (from === -1) throw refuse('its text is not there');
  if (text.includes(patch.find, from + 1)) throw refuse('its text occurs more than once');
  return { patch, from, to: from + patch.find.length };
}

/** The text with all patches applied, each found in the text as it was. */
export function applyPatches(text: string, patches: readonly SourcePatch[]): string {
  const splices = patches.map((patch) => spliceOf(text, patch)).toSorted((a, b) => a.from - b.from);
  let patched = '';
  let end = 0;
  for (const { patch, from, to } of splices) {
    if (from < end) throw new PatchError(`patch ${patch.name}: overlaps another in ${patch.file}`);
    patched += text.slice(end, from) + patch.replace;
    end = to;
  }
  return patched + text.slice(end);
}

/**
 * Why patches cannot be applied, each alone, without a build: tests keep whole tables of patches in step with the
 * sources this way.
 */
export async function checkPatches(patches: readonly SourcePatch[]): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const [file, ofFile] of byFile(patches)) {
    const text = await readFile(path.join(ROOT, file), 'utf8').catch(() => '');
    for (const patch of ofFile) {
      try {
        spliceOf(text, patch);
      } catch (thrown) {
        problems.push(messageOf(thrown));
      }
    }
  }
  return problems;
}

function byFile(patches: readonly SourcePatch[]): ReadonlyMap<string, readonly SourcePatch[]> {
  const names = new Set<string>();
  const files = new Map<string, SourcePatch[]>();
  for (const patch of patches) {
    const { name, file } = patch;
    if (names.has(name)) throw new PatchError(`patch ${name}: another one has this name`);
    if (!file.startsWith('src/') || path.posix.normalize(file) !== file)
      throw new PatchError(`patch ${name}: ${file} is not a path under src/`);
    names.add(name);
    files.set(file, [...(files.get(file) ?? []), patch]);
  }
  return files;
}

function patching(patches: ReadonlyMap<string, readonly SourcePatch[]>, applied: Set<string>): Plugin {
  return {
    name: 'source patches',
    setup(building) {
      building.onLoad({ filter: /\.ts$/, namespace: 'file' }, async ({ path: absolute }) => {
        const file = path.relative(ROOT, absolute).replaceAll(path.sep, '/');
        if (file.startsWith('../') || file.startsWith('node_modules/')) return undefined;
        const text = await readFile(absolute, 'utf8');
        const patched = applyPatches(text, patches.get(file) ?? []);
        applied.add(file);
        // A bundle lies elsewhere; what is found beside a source file is still found from there.
        const here = JSON.stringify(pathToFileURL(absolute).href);
        return {
          contents: patched.replaceAll('import.meta.url', here),
          loader: 'ts',
          resolveDir: path.dirname(absolute),
        };
      });
    },
  };
}

/** What cannot be bundled: it loads a library for this machine. */
const NATIVE = ['classic-level'];
/** For packages that are CommonJS. */
const REQUIRE = `import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);`;

/** Packages that find files beside them still find them there. */
const PACKAGES_AT_HOME: Plugin = {
  name: 'packages find what lies beside them',
  setup(building) {
    building.onLoad(
      { filter: /\/node_modules\/.*\.c?js$/, namespace: 'file' },
      async ({ path: absolute }) => {
        const text = await readFile(absolute, 'utf8');
        if (!text.includes('__dirname')) return undefined;
        const folder = path.dirname(absolute);
        return {
          contents: text.replaceAll('__dirname', JSON.stringify(folder)),
          loader: 'js',
          resolveDir: folder,
        };
      },
    );
  },
};

/**
 * Bundles `entry` with the patches applied to the sources, as one ES module with its source map; packages stay
 * outside unless they are asked to be inside.
 * @throws PatchError when a patch names no file of the program, or its text does not occur exactly once there
 */
export async function buildPatched(options: PatchedBuildOptions): Promise<void> {
  const { entry, patches, outfile, packages = 'outside' } = options;
  const wanted = byFile(patches);
  const applied = new Set<string>();
  let refusal: unknown = null;
  const plugin = patching(wanted, applied);
  const absolute = path.resolve(ROOT, outfile);
  if (path.relative(ROOT, absolute).startsWith('..'))
    throw new PatchError(`${outfile} lies outside the checkout, where no packages are found`);
  const result = await build({
    absWorkingDir: ROOT,
    entryPoints: [path.resolve(ROOT, entry)],
    outfile: absolute,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    ...(packages === 'inside'
      ? { external: NATIVE, banner: { js: REQUIRE } }
      : { packages: 'external' as const }),
    sourcemap: 'linked',
    keepNames: true,
    logLevel: 'silent',
    write: false,
    plugins: [plugin, PACKAGES_AT_HOME],
  }).catch((thrown: unknown) => {
    refusal = thrown;
    return null;
  });
  if (result === null) throw new PatchError(messageOf(refusal), { cause: refusal });
  for (const [file, ofFile] of wanted) {
    if (!applied.has(file)) {
      throw new PatchError(`patch ${present(ofFile[0], 'patch').name}: ${file} is not part of ${entry}`);
    }
  }
  await writeAll(result.outputFiles);
}

async function writeAll(files: readonly { path: string; contents: Uint8Array }[]): Promise<void> {
  for (const { path: target, contents } of files) {
    await mkdir(path.dirname(target), { recursive: true });
    // Another process may run the one before, or build the same.
    const next = `${target}.${process.pid}.next`;
    await writeFile(next, contents);
    await rename(next, target);
  }
}

function messageOf(thrown: unknown): string {
  const errors = (thrown as { errors?: readonly { text: string }[] }).errors;
  if (errors !== undefined && errors.length > 0) return errors.map((error) => error.text).join('\n');
  return thrown instanceof Error ? thrown.message : String(thrown);
}
