import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { CORPUS, filesBelow, PHRASES } from './corpus.ts';
import { LocalCluster } from './localCluster.ts';

const LIMIT_MS = 180_000;
let cluster: LocalCluster | null = null;

afterEach(async () => {
  await cluster?.destroy();
  cluster = null;
}, 60_000);

/** The phrases that stand in at least one file below the data directories. */
function foundOnDisk(of: LocalCluster): readonly string[] {
  const found = new Set<string>();
  for (const node of of.nodes) {
    for (const entry of readdirSync(node.dataDir, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const bytes = readFileSync(join(entry.parentPath, entry.name));
      for (const phrase of PHRASES) if (bytes.includes(phrase)) found.add(phrase);
    }
  }
  return [...found];
}

async function exported(from: string, name: string, of: LocalCluster): Promise<ReadonlyMap<string, Buffer>> {
  const folder = join(of.dir, name);
  const environment = { HOLDFAST_CONFIG: of.contextPath, HOLDFAST_ENDPOINTS: of.node(from).apiAddress };
  await of.expectDone(['kv', 'export', folder, '--prefix', 'docs/'], '', environment);
  return filesBelow(folder);
}

it(
  'keeps real documents byte for byte, through another node and a restart of all, and shows nothing of them',
  async () => {
    const documents = filesBelow(CORPUS);
    const text = Buffer.concat([Buffer.from([...documents.keys()].join('\n')), ...documents.values()]);
    expect(PHRASES.filter((phrase) => !text.includes(phrase))).toEqual([]);

    cluster = await LocalCluster.form(3, { recordTraffic: true });
    const environment = {
      HOLDFAST_CONFIG: cluster.contextPath,
      HOLDFAST_ENDPOINTS: cluster.node('n2').apiAddress,
    };
    await cluster.expectDone(['kv', 'import', CORPUS, '--prefix', 'docs/'], '', environment);
    expect(await exported('n3', 'out-1', cluster)).toEqual(documents);

    await cluster.stopAll();
    cluster.startAll();
    await cluster.untilVoters(3);
    expect(await exported('n1', 'out-2', cluster)).toEqual(documents);
    expect(new Set(await cluster.equalDigests()).size).toBe(1);

    const traffic = cluster.proxies.map((proxy) => proxy.recorded);
    expect(traffic.reduce((sum, bytes) => sum + bytes.length, 0)).toBeGreaterThan(text.length);
    for (const bytes of traffic) expect(PHRASES.filter((phrase) => bytes.includes(phrase))).toEqual([]);
    expect(foundOnDisk(cluster)).toEqual([]);
  },
  LIMIT_MS,
);

it(
  'keeps readable JSON on disk with the toggle off',
  async () => {
    cluster = await LocalCluster.form(3, { encryption: 'off' });
    const client = await cluster.client();
    await client.put('settings/motd', 'be kind to the cluster');
    await client.close();
    await cluster.equalDigests();
    await cluster.stopAll();
    for (const node of cluster.nodes) {
      const state = Buffer.concat([...filesBelow(join(node.dataDir, 'state')).values()]).toString('latin1');
      const record = /\{[^{}]*"key":\s*"settings\/motd"[^{}]*\}/.exec(state)?.[0];
      expect(JSON.parse(record ?? 'null')).toMatchObject({
        key: 'settings/motd',
        value: 'be kind to the cluster',
      });
    }
    cluster.startAll();
    await cluster.untilVoters(3);
    const again = await cluster.client();
    expect((await again.get('settings/motd')).item?.value.toString()).toBe('be kind to the cluster');
    await again.close();
  },
  LIMIT_MS,
);
