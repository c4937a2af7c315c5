import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:tls';
import { afterEach, expect, it } from 'vitest';
import { LocalCluster } from './localCluster.ts';
import { until } from './until.ts';

const WITHIN_MS = 60_000;
const MIB = 1024 * 1024;

let cluster: LocalCluster;
afterEach(() => cluster.destroy());

async function formWithVictim(): Promise<{ victim: string; others: readonly string[] }> {
  cluster = await LocalCluster.form(3);
  const leader = await cluster.leader();
  const victim = cluster.nodes.find(({ name }) => name !== leader)?.name ?? '';
  return { victim, others: cluster.nodes.map(({ name }) => name).filter((name) => name !== victim) };
}

/** What a running process may use from now on; its hard limits stay, so that it can be lifted again. */
function limit(name: string, resource: `${'nofile' | 'data'}=${number | 'unlimited'}:`): void {
  execFileSync('prlimit', ['--pid', `${cluster.processId(name)}`, `--${resource}`]);
}

/** The lowest number that is no descriptor of the process: as a limit, it leaves none to be opened. */
function lowestFreeDescriptor(name: string): number {
  const open = new Set(readdirSync(`/proc/${cluster.processId(name)}/fd`).map(Number));
  let free = 0;
  while (open.has(free)) free += 1;
  return free;
}

/**
 * Connections of before may still be closing, and each leaves a free one: to be called until it has had its effect.
 * @returns false when the process has ended
 */
function leaveNoDescriptor(name: string): boolean {
  if (!cluster.isRunning(name)) return false;
  try {
    limit(name, `nofile=${lowestFreeDescriptor(name)}:`);
  } catch {
    // It ends at this moment. The next call says so, or the deadline of whoever waits for it.
  }
  return true;
}

function dataBytes(name: string): number {
  const status = readFileSync(`/proc/${cluster.processId(name)}/status`, 'utf8');
  return Number(/^VmData:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

/** Puts values of this size through these nodes, all of them acknowledged. */
async function fill(
  names: readonly string[],
  { count, bytes, until: stopped = () => false }: { count: number; bytes: number; until?: () => boolean },
): Promise<number> {
  const client = await cluster.client(names, WITHIN_MS);
  let written = 0;
  for (; written < count && !stopped(); written += 1)
    await client.put(`key/${written}`, Buffer.alloc(bytes, `value ${written} `));
  await client.close();
  return written;
}

async function expectAllThere(
  name: string,
  { count, bytes }: { count: number; bytes: number },
): Promise<void> {
  const client = await cluster.client([name], WITHIN_MS);
  for (let i = 0; i < count; i += 1) {
    const { item } = await client.get(`key/${i}`);
    expect(item?.value.equals(Buffer.alloc(bytes, `value ${i} `)), `key/${i}`).toBe(true);
  }
  await client.close();
  expect(new Set(await cluster.equalDigests()).size).toBe(1);
}

/** Whether somebody who was not connected before gets as far as a TLS handshake. */
function answersNewcomer(name: string): Promise<boolean> {
  const [host = '', port] = cluster.node(name).apiAddress.split(':');
  return new Promise((resolve) => {
    const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    const finish = (answers: boolean): void => {
      socket.destroy();
      resolve(answers);
    };
    socket.setTimeout(2_000, () => finish(false));
    socket.once('secureConnect', () => finish(true)).once('error', () => finish(false));
    socket.once('close', () => finish(false));
  });
}

it('a node without free file descriptors turns away who comes, follows on, and serves again with some', async () => {
  const { victim, others } = await formWithVictim();
  await until(WITHIN_MS, 'newcomers are turned away', async () => {
    leaveNoDescriptor(victim);
    return !(await answersNewcomer(victim));
  });
  const written = { count: 200, bytes: 100 };
  await fill(others, written);
  expect(cluster.isRunning(victim)).toBe(true);
  limit(victim, 'nofile=4096:');
  await until(
    WITHIN_MS,
    () => `${victim} serves again; the logs say:\n${cluster.lastWords()}`,
    () => answersNewcomer(victim),
  );
  await expectAllThere(victim, written);
});

it('a node whose database can open no file ends, the others go on, and it comes back whole', async () => {
  const { victim, others } = await formWithVictim();
  const ended = (): boolean => !leaveNoDescriptor(victim);
  const bytes = MIB / 2;
  const count = await fill(others, { count: 200, bytes, until: ended });
  await until(WITHIN_MS, () => `${victim} ends; the logs say:\n${cluster.lastWords()}`, ended);
  expect(await cluster.stop(victim)).toBe(1);
  expect(readFileSync(cluster.node(victim).logPath, 'utf8')).toContain('DISK_FAILED');
  for (const name of others) expect(cluster.isRunning(name)).toBe(true);
  cluster.start(victim);
  await expectAllThere(victim, { count, bytes });
});

it('a node without memory ends, the others go on, and it comes back whole', async () => {
  const { victim, others } = await formWithVictim();
  limit(victim, `data=${dataBytes(victim) + 8 * MIB}:`);
  const bytes = MIB / 2;
  const count = await fill(others, { count: 400, bytes, until: () => !cluster.isRunning(victim) });
  await until(
    WITHIN_MS,
    () => `${victim} ends; the logs say:\n${cluster.lastWords()}`,
    () => !cluster.isRunning(victim),
  );
  for (const name of others) expect(cluster.isRunning(name)).toBe(true);
  cluster.start(victim);
  await expectAllThere(victim, { count, bytes });
});
