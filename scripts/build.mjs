/** Compiles src/ into a folder of its own and swaps it in as dist/, so that what runs from dist/ never sees half a build. */
import { chmodSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { isRunning, main, packageProgram, root, run } from './run.mjs';

const BIN = 'cli/main.js';
const SWAP_ATTEMPTS_MAX = 20;

const inRoot = (name) => path.join(root, name);
const removeFolder = (name) => rmSync(inRoot(name), { recursive: true, force: true });

/** A build that was killed leaves its folder; one that still runs keeps it. */
function removeLeftovers() {
  for (const name of readdirSync(root)) {
    const pid = /^dist\.(?:next|old)-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isRunning(Number(pid))) removeFolder(name);
  }
}

/** Renames, unless another build was quicker: false when there is nothing to rename, or the target is taken. */
function tryRename(from, to) {
  try {
    renameSync(inRoot(from), inRoot(to));
    return true;
  } catch (error) {
    if (['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(error.code)) return false;
    throw error;
  }
}

/** A folder cannot be replaced in one step: for an instant there is no dist/, and two builds may meet in it. */
function swapIn(next) {
  const old = `dist.old-${process.pid}`;
  for (let attempt = 0; attempt < SWAP_ATTEMPTS_MAX; attempt += 1) {
    tryRename('dist', old);
    const isIn = tryRename(next, 'dist');
    removeFolder(old);
    if (isIn) return;
  }
  throw new Error('dist/ could not be swapped: other builds keep replacing it');
}

/** Leaves a complete dist/ of the sources as they are now; on failure the dist/ before it stays. */
export function build() {
  removeLeftovers();
  const next = `dist.next-${process.pid}`;
  try {
    run([...packageProgram('typescript/bin/tsc'), '-p', 'tsconfig.build.json', '--outDir', next]);
    chmodSync(inRoot(path.join(next, BIN)), 0o755);
    swapIn(next);
  } finally {
    removeFolder(next);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await main(build);
