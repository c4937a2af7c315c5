/** Installs the dependencies, but only when what is installed is not what package-lock.json says. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { isRunning, root, run } from './run.mjs';

const LOCK_FOLDER = path.join(root, '.installing');
const LOCK_POLL_MS = 200;
const LOCK_WAIT_MS_MAX = 10 * 60_000;

/** The packages of a lock file by their folder, or undefined when there is no such file (or half of one). */
function packagesOf(file) {
  try {
    return JSON.parse(readFileSync(path.join(root, file), 'utf8')).packages;
  } catch {
    return undefined;
  }
}

/** npm's rule for `os` and `cpu`: a list of names, or of names with `!` before them. */
function isAllowed(list, value) {
  if (list === undefined) return true;
  if (list.includes(`!${value}`)) return false;
  return list.includes(value) || list.every((name) => name.startsWith('!'));
}

const isForThisMachine = (entry) =>
  isAllowed(entry.os, process.platform) && isAllowed(entry.cpu, process.arch);

/**
 * Why node_modules is not what the lock file asks for, or undefined when it is. Both arguments are the `packages`
 * map of a lock file; npm writes the second one to node_modules/.package-lock.json, without the root package and
 * without the optional packages of other platforms.
 */
export function installDifference(wanted, installed) {
  if (wanted === undefined) return 'package-lock.json cannot be read';
  if (installed === undefined) return 'nothing is installed';
  for (const [folder, entry] of Object.entries(wanted)) {
    if (folder === '') continue;
    const found = installed[folder];
    if (found === undefined && entry.optional !== true) return `${folder} is missing`;
    if (found === undefined) continue;
    if (found.version !== entry.version) return `${folder} is ${found.version}, not ${entry.version}`;
    if (entry.integrity !== undefined && found.integrity !== entry.integrity)
      return `${folder} has other content`;
    if (!isForThisMachine(found)) return `${folder} is for another kind of machine`;
  }
  const foreign = Object.keys(installed).find((folder) => wanted[folder] === undefined);
  return foreign === undefined ? undefined : `${foreign} does not belong here`;
}

const difference = () =>
  installDifference(packagesOf('package-lock.json'), packagesOf('node_modules/.package-lock.json'));

function tryLock() {
  try {
    mkdirSync(LOCK_FOLDER);
    writeFileSync(path.join(LOCK_FOLDER, 'pid'), String(process.pid));
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

function lockHolderIsGone() {
  try {
    return !isRunning(Number(readFileSync(path.join(LOCK_FOLDER, 'pid'), 'utf8')));
  } catch {
    return false; // just made, its pid not written yet, or just given back
  }
}

/** `npm start` and `npm test` may be started together in a clean checkout: only one of them installs. */
async function withLock(action) {
  for (let waitedMs = 0; !tryLock(); waitedMs += LOCK_POLL_MS) {
    if (lockHolderIsGone()) rmSync(LOCK_FOLDER, { recursive: true, force: true });
    if (waitedMs > LOCK_WAIT_MS_MAX)
      throw new Error(`another install holds ${LOCK_FOLDER}; remove it if none runs`);
    await wait(LOCK_POLL_MS);
  }
  try {
    action();
  } finally {
    rmSync(LOCK_FOLDER, { recursive: true, force: true });
  }
}

/** Leaves node_modules as package-lock.json says. */
export async function ensureInstalled() {
  if (difference() === undefined) return;
  await withLock(() => {
    const reason = difference();
    if (reason === undefined) return;
    process.stderr.write(`installing dependencies (${reason})\n`);
    const npmProgram = process.env.npm_execpath?.endsWith('.js')
      ? [process.execPath, process.env.npm_execpath]
      : ['npm'];
    run([...npmProgram, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error']);
    const left = difference();
    if (left !== undefined) throw new Error(`npm ci left node_modules as it should not be: ${left}`);
  });
}
