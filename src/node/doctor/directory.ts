import { existsSync, type Stats, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemErrorCode } from '../../base/errors.ts';
import { LIMITS } from '../../base/limits.ts';
import { type NodeIdentityFile, readIdentityFile } from '../../trust/identityFile.ts';
import { formatByteSize } from '../byteSize.ts';
import type { NodeConfiguration } from '../configuration.ts';
import type { DataDirectory } from '../dataDirectory.ts';
import { type Finding, failure, failureOf, ok, warning } from './finding.ts';

const CHECK = 'data directory';

export interface DirectoryFindings {
  readonly findings: readonly Finding[];
  /** Null when there is no node here, or its identity cannot be read. */
  readonly identity: NodeIdentityFile | null;
}

/** The data directory: owner, mode, whose it is. */
export async function checkDataDirectory(
  configuration: Pick<NodeConfiguration, 'name'>,
  { root }: DataDirectory,
): Promise<DirectoryFindings> {
  const stats = statOf(root);
  if ('finding' in stats) return { findings: [stats.finding], identity: null };
  const access = accessFinding(root, stats.stats);
  try {
    const identity = await readIdentityFile(root);
    const whose = identity === null ? notYet(root) : identityFinding(root, identity, configuration.name);
    return { findings: access === null ? [whose] : [access, whose], identity };
  } catch (thrown) {
    const finding = failureOf(CHECK, thrown, `mv '${root}' '${root}.damaged'`);
    return { findings: access === null ? [finding] : [access, finding], identity: null };
  }
}

function statOf(root: string): { readonly stats: Stats } | { readonly finding: Finding } {
  try {
    const stats = statSync(root);
    if (stats.isDirectory()) return { stats };
    return { finding: failure(CHECK, `${root} is no directory`, `mv '${root}' '${root}.aside'`) };
  } catch (thrown) {
    const code = systemErrorCode(thrown) ?? 'unknown';
    if (code === 'ENOENT') return { finding: notYet(root) };
    return { finding: failure(CHECK, `${root} cannot be looked at (${code})`, `namei -l '${root}'`) };
  }
}

function notYet(root: string): Finding {
  return ok(CHECK, `there is no node in ${root} yet; holdfast init or holdfast join makes one`);
}

/** Null when owner and mode are as they should be. */
export function accessFinding(root: string, { uid, mode }: Pick<Stats, 'uid' | 'mode'>): Finding | null {
  const ours = process.getuid?.();
  if (ours !== undefined && uid !== ours) {
    const owners = `${root} belongs to user ${uid}, and this is user ${ours}`;
    return failure(CHECK, owners, `chown -R ${ours} '${root}'`);
  }
  if ((mode & 0o077) === 0) return null;
  const shown = (mode & 0o777).toString(8).padStart(4, '0');
  return warning(CHECK, `${root} can be entered or read by others (mode ${shown})`, `chmod 0700 '${root}'`);
}

function identityFinding(root: string, identity: NodeIdentityFile, wantedName: string): Finding {
  const { nodeId, clusterId, name } = identity;
  const whose = `${root} is that of node ${name} (${nodeId}) of cluster ${clusterId}`;
  if (name === wantedName) return ok(CHECK, whose);
  return warning(CHECK, `${whose}, and the settings name ${wantedName}`, `holdfast server --name ${name}`);
}

/** statfs(2) magic numbers of what a node's data should not lie on, with the reason. */
const UNFIT: ReadonlyMap<number, string> = new Map([
  [0x0102_1994, 'tmpfs, which is gone at the next boot'],
  [0x8584_58f6, 'ramfs, which is gone at the next boot'],
  [0x6969, 'NFS, where locks and fsync do not hold what they promise'],
  [0xff53_4d42, 'a network share (CIFS), where locks and fsync do not hold what they promise'],
  [0xfe53_4d42, 'a network share (SMB), where locks and fsync do not hold what they promise'],
  [0x794c_7630, "a container's own layer (overlay), which is gone with the container"],
]);

/** Free space and file system type where the data lies or will lie. */
export async function checkDisk(
  { root }: DataDirectory,
  { diskReserveBytes }: Pick<NodeConfiguration, 'diskReserveBytes'>,
): Promise<readonly Finding[]> {
  const place = nearestExisting(root);
  try {
    const { type, bavail, bsize } = await statfs(place);
    const freeBytes = bavail * bsize;
    const space = { where: `at ${place}`, freeBytes, reserveBytes: diskReserveBytes };
    return [
      freeFinding({ check: 'disk', ...space, low: freeBytes < diskReserveBytes, mend: `df -h '${place}'` }),
      typeFinding(place, type),
    ];
  } catch (thrown) {
    const code = systemErrorCode(thrown) ?? 'unknown';
    return [failure('disk', `the file system of ${place} cannot be asked (${code})`, `df -h '${place}'`)];
  }
}

/** Whose disk, and how much of it is free; `mend` shows what fills it. */
export interface FreeSpace {
  readonly check: string;
  readonly where: string;
  readonly freeBytes: number;
  readonly reserveBytes: number;
  /** Down to the reserve, or not far enough above it again. */
  readonly low: boolean;
  readonly mend: string;
}

export function freeFinding({ check, where, freeBytes, reserveBytes, low, mend }: FreeSpace): Finding {
  const free = `${(freeBytes / 1024 ** 3).toFixed(1)} GiB are free ${where}`;
  if (low) {
    const reserve = formatByteSize(reserveBytes);
    return failure(check, `only ${free}: down to the reserve of ${reserve}, writes are turned away`, mend);
  }
  if (freeBytes < LIMITS.diskFreeBytesMin) return failure(check, `only ${free}`, mend);
  if (freeBytes < LIMITS.diskFreeBytesAdvised) return warning(check, `only ${free}`, mend);
  return ok(check, free);
}

/** `type`: a magic number of statfs(2). */
export function typeFinding(place: string, type: number): Finding {
  const reason = UNFIT.get(type >>> 0);
  if (reason === undefined) return ok('file system', `${place} is on a local file system`);
  return warning('file system', `${place} is on ${reason}`, 'holdfast server --data-dir DIRECTORY');
}

function nearestExisting(path: string): string {
  let place = path;
  while (!existsSync(place) && dirname(place) !== place) place = dirname(place);
  return place;
}
