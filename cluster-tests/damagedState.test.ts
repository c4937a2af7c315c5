import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { HoldfastClient } from '../src/client/index.ts';
import { LocalCluster } from './localCluster.ts';
import { until } from './until.ts';

const KEYS = 200;
const REBUILT_WITHIN_MS = 60_000;
const READ_WITHIN_MS = 20_000;

let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await LocalCluster.form(3);
  const client = await cluster.client();
  for (let i = 0; i < KEYS; i += 1) await client.put(`key/${i}`, valueOf(i));
  await client.close();
  // LevelDB makes tables of its log when it is opened again.
  await cluster.stopAll();
  cluster.startAll();
  await cluster.untilVoters(3);
}, 120_000);

afterAll(async () => {
  await cluster?.destroy();
});

function valueOf(i: number): string {
  return `${i} `.repeat(500);
}

const stateOf = (name: string): string => join(cluster.node(name).dataDir, 'state');

function generationOf(name: string): string {
  return join(stateOf(name), readFileSync(join(stateOf(name), 'current'), 'latin1').trim());
}

/** One bit in every 4 KiB of the largest table. (What is damaged in LevelDB's own log, the node has in its log.) */
function flipBits(name: string): void {
  const folder = generationOf(name);
  const tables = readdirSync(folder).filter((file) => file.endsWith('.ldb'));
  const paths = tables.map((file) => join(folder, file));
  const [largest = ''] = paths.sort((a, b) => statSync(b).size - statSync(a).size);
  const bytes = readFileSync(largest);
  for (let at = 2_048; at < bytes.length; at += 4_096) bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
  writeFileSync(largest, bytes);
}

/** Reads one node's own state, over and over, and keeps what was neither refused nor right. */
class Reader {
  readonly wrong: string[] = [];
  right = 0;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(name: string) {
    this.#done = this.#read(name);
  }

  async #read(name: string): Promise<void> {
    let client: HoldfastClient | null = null;
    for (let i = 0; !this.#stopped; i = (i + 1) % KEYS) {
      try {
        client ??= await cluster.client([name], 2_000);
        const { item } = await client.get(`key/${i}`, { serializable: true });
        if (item?.value.toString() === valueOf(i)) this.right += 1;
        else this.wrong.push(`key/${i}: ${item?.value.toString().slice(0, 20) ?? 'nothing'}`);
      } catch {
        await new Promise((resolve) => setImmediate(resolve));
      }
    }
    await client?.close();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

it.each([
  { what: 'a follower with flipped bits', role: 'follower', damage: flipBits },
  {
    what: 'the leader without CURRENT',
    role: 'leader',
    damage: (name: string) => rmSync(join(generationOf(name), 'CURRENT')),
  },
  {
    what: 'a follower without its generation',
    role: 'follower',
    damage: (name: string) => rmSync(generationOf(name), { recursive: true }),
  },
])(
  '$what takes the state from a peer, and never shows anything else',
  async ({ role, damage }) => {
    const leader = await cluster.leader();
    const victim = role === 'leader' ? leader : (['n1', 'n2', 'n3'].find((name) => name !== leader) ?? '');
    await cluster.kill(victim);
    damage(victim);
    const readers = cluster.nodes.map(({ name }) => new Reader(name));
    const logBefore = readFileSync(cluster.node(victim).logPath, 'utf8').length;
    cluster.start(victim);
    const client = await cluster.client();
    await client.put(`while/${role}`, 'it is rebuilt');
    await until(
      REBUILT_WITHIN_MS,
      () => `${victim} is whole; the logs say:\n${cluster.lastWords()}`,
      async () => {
        const status = (await cluster.statuses()).find(({ name }) => name === victim);
        return status !== undefined && status.appliedIndex > 0 && status.warnings.length === 0;
      },
    );
    const through = await cluster.client([victim]);
    expect((await through.range({ prefix: 'key/', countOnly: true })).count).toBe(KEYS);
    await until(
      READ_WITHIN_MS,
      () => `each node is read from: ${readers.map(({ right }) => right).join(', ')}`,
      () => readers.every(({ right }) => right > 0),
    );
    for (const reader of readers) await reader.stop();
    for (const reader of readers) expect(reader.wrong).toEqual([]);
    await through.close();
    await client.close();
    expect(new Set(await cluster.equalDigests()).size).toBe(1);
    const said = readFileSync(cluster.node(victim).logPath, 'utf8').slice(logBefore);
    expect(said).toContain('the state is rebuilt from the leader');
    expect(readdirSync(stateOf(victim)).filter((name) => name.startsWith('damaged'))).toEqual([]);
    for (const { name } of cluster.nodes) expect(cluster.isRunning(name)).toBe(true);
  },
  2 * REBUILT_WITHIN_MS,
);
