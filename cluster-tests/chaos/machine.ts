import { existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { succeeds } from './command.ts';

/** What a fault may need of the machine, and how one gets it. */
export const PREREQUISITES = {
  namespaces: 'root, iproute2 and iptables with DNAT, comment, statistic and REJECT',
  loopImages: 'root, mkfs.ext4 and loop mounts',
  strace: 'strace, and leave to trace other processes',
  faketime: 'libfaketime (Debian: faketime)',
  realDisk: 'a data folder that is not on a tmpfs',
  failpoints: 'a program built with failpoints (--program mixed or failpoints)',
  spareSlot: 'a place for one more node',
} as const;

export type Prerequisite = keyof typeof PREREQUISITES;

const FAKETIME_PATHS = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1',
  '/usr/lib/faketime/libfaketime.so.1',
];
const TMPFS_MAGIC = 0x01021994;
const PROBE = 'hfcprobe';

export const faketimeLibrary = (): string | undefined => FAKETIME_PATHS.find((path) => existsSync(path));

/** What this machine can do, found out by doing it. */
export function machine(dir: string): ReadonlySet<Prerequisite> {
  const able = new Set<Prerequisite>(['spareSlot']);
  const root = process.getuid?.() === 0;
  if (root && namespacesWork()) able.add('namespaces');
  if (statfsSync(dir).type !== TMPFS_MAGIC) able.add('realDisk');
  if (root && able.has('realDisk') && loopWorks(dir)) able.add('loopImages');
  if (succeeds('strace', ['-qq', '-o', '/dev/null', '-e', 'inject=fdatasync:delay_exit=1', 'true']))
    able.add('strace');
  if (faketimeLibrary() !== undefined) able.add('faketime');
  return able;
}

function namespacesWork(): boolean {
  const inside = (...args: string[]) => succeeds('ip', ['netns', 'exec', PROBE, 'iptables', ...args]);
  succeeds('ip', ['netns', 'del', PROBE]);
  try {
    return (
      succeeds('ip', ['netns', 'add', PROBE]) &&
      inside('-t', 'nat', '-A', 'OUTPUT', '-p', 'tcp', '-j', 'DNAT', '--to-destination', '127.0.0.1:9') &&
      inside('-t', 'mangle', '-A', 'OUTPUT', '-p', 'tcp', '-m', 'comment', '--comment', 'probe') &&
      inside('-A', 'OUTPUT', '-m', 'statistic', '--mode', 'random', '--probability', '0.5', '-j', 'DROP') &&
      inside('-A', 'INPUT', '-p', 'tcp', '-j', 'REJECT', '--reject-with', 'tcp-reset')
    );
  } finally {
    succeeds('ip', ['netns', 'del', PROBE]);
  }
}

function loopWorks(dir: string): boolean {
  const probe = mkdtempSync(join(dir, 'probe-'));
  const image = join(probe, 'image');
  const mounted = join(probe, 'mounted');
  try {
    return (
      succeeds('truncate', ['-s', '8M', image]) &&
      succeeds('mkfs.ext4', ['-q', image]) &&
      succeeds('mkdir', [mounted]) &&
      succeeds('mount', ['-o', 'loop', image, mounted])
    );
  } finally {
    succeeds('umount', [mounted]);
    rmSync(probe, { recursive: true, force: true });
  }
}
