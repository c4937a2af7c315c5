/**
 * holdfast against etcd: three nodes each, TLS on both, on this machine, one run, in turn (A B A B …), medians.
 * etcd is driven by our own generator and by h2load; holdfast is compared with the faster of the two.
 */
import { cpus, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { LocalCluster } from '../cluster-tests/localCluster.ts';
import { EtcdClient } from './etcdClient.ts';
import { EtcdCluster } from './etcdCluster.ts';
import { type H2loadTarget, runH2load } from './h2load.ts';
import { type LoadResult, type LoadShape, runLoad } from './load.ts';
import { type Row, table } from './table.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    'in-flight': { type: 'string', default: '256' },
    'value-bytes': { type: 'string', default: '256' },
    keys: { type: 'string', default: '10000' },
    'read-share': { type: 'string', default: '0.5' },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const inFlight = Number(options['in-flight']);
const value = Buffer.alloc(Number(options['value-bytes']), 'x');
const keyCount = Number(options.keys);
const readShare = Number(options['read-share']);
const shape: LoadShape = { inFlight, warmUpMs: 1_000, durationMs: seconds * 1_000 };

/** Keys are used in turn, so that both systems see the same ones. */
const key = (sequence: number): string => `bench/${String(sequence % keyCount).padStart(6, '0')}`;

type Measurement = { readonly name: string; readonly run: () => Promise<LoadResult> };

async function holdfastMeasurements(cluster: LocalCluster): Promise<Measurement[]> {
  const client = await cluster.client();
  const put = (sequence: number) => client.put(key(sequence), value);
  const get = (sequence: number) => client.get(key(sequence));
  const mixed = (sequence: number) => (sequence % 100 < readShare * 100 ? get(sequence) : put(sequence));
  const one: LoadShape = { ...shape, inFlight: 1 };
  return [
    { name: 'holdfast session put', run: () => runLoad(put, shape) },
    { name: 'holdfast session get', run: () => runLoad(get, shape) },
    { name: `holdfast session mixed (${readShare * 100} % get)`, run: () => runLoad(mixed, shape) },
    { name: 'holdfast session put, 1 in flight', run: () => runLoad(put, one) },
    { name: 'holdfast session get, 1 in flight', run: () => runLoad(get, one) },
  ];
}

async function etcdMeasurements(cluster: EtcdCluster): Promise<Measurement[]> {
  const clients = cluster.endpoints.map((endpoint) => new EtcdClient({ endpoint, ca: cluster.authority }));
  const statuses = await Promise.all(clients.map((client) => client.status()));
  const leader = statuses.findIndex((status) => status.isLeader);
  const client = clients[leader];
  const endpoint = cluster.endpoints[leader];
  if (client === undefined || endpoint === undefined) throw new Error('etcd has no leader');
  const put = (sequence: number) => client.put(Buffer.from(key(sequence)), value);
  const get = (sequence: number) => client.get(Buffer.from(key(sequence)));
  const mixed = (sequence: number) => (sequence % 100 < readShare * 100 ? get(sequence) : put(sequence));
  const keyField = lengthDelimited(1, Buffer.from(key(0)));
  const valueField = lengthDelimited(2, value);
  const h2load = (target: Pick<H2loadTarget, 'path' | 'body'>) =>
    runH2load({ dir: cluster.dir, endpoint, ...target }, { inFlight, seconds });
  const one: LoadShape = { ...shape, inFlight: 1 };
  return [
    {
      name: 'etcd put, h2load',
      run: async () => {
        const before = (await client.status()).revision;
        const result = await h2load({
          path: '/etcdserverpb.KV/Put',
          body: Buffer.concat([keyField, valueField]),
        });
        const applied = (await client.status()).revision - before;
        // h2load counts HTTP 200 whatever gRPC said: the revision tells how many puts there really were.
        if (applied < result.operations)
          throw new Error(`h2load counted ${result.operations} puts, etcd ${applied}`);
        return result;
      },
    },
    { name: 'etcd get, h2load', run: () => h2load({ path: '/etcdserverpb.KV/Range', body: keyField }) },
    { name: 'etcd put, our generator', run: () => runLoad(put, shape) },
    { name: 'etcd get, our generator', run: () => runLoad(get, shape) },
    { name: `etcd mixed (${readShare * 100} % get), our generator`, run: () => runLoad(mixed, shape) },
    { name: 'etcd put, our generator, 1 in flight', run: () => runLoad(put, one) },
    { name: 'etcd get, our generator, 1 in flight', run: () => runLoad(get, one) },
  ];
}

function lengthDelimited(field: number, bytes: Buffer): Buffer {
  const head = [(field << 3) | 2];
  for (let rest = bytes.length; ; rest >>>= 7) {
    head.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) return Buffer.concat([Buffer.from(head), bytes]);
  }
}

/** Only one of the two runs at a time, so that neither pays for the other's idling. */
async function round(results: Map<string, LoadResult[]>): Promise<void> {
  const keep = async (measurements: readonly Measurement[]): Promise<void> => {
    for (const { name, run } of measurements) {
      const result = await run();
      process.stderr.write(`${name}: ${result.perSecond.toFixed(0)}/s\n`);
      results.set(name, [...(results.get(name) ?? []), result]);
    }
  };
  const holdfast = await LocalCluster.form(3);
  try {
    await keep(await holdfastMeasurements(holdfast));
  } finally {
    await holdfast.destroy();
  }
  if (!EtcdCluster.available()) return;
  const etcd = new EtcdCluster();
  try {
    await etcd.start();
    await keep(await etcdMeasurements(etcd));
  } finally {
    await etcd.stop();
  }
}

const results = new Map<string, LoadResult[]>();
for (let i = 0; i < rounds; i += 1) await round(results);
const rows: Row[] = [...results].map(([name, runs]) => ({ name, runs }));
const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
process.stdout.write(
  [
    `${machine}; ${rounds} rounds in turn, ${seconds} s each, ${inFlight} in flight, values of ${value.length} bytes, ${keyCount} keys, TLS on both`,
    '',
    table(rows),
    ...(EtcdCluster.available()
      ? []
      : ['', 'etcd, h2load or openssl is not installed: holdfast alone was measured']),
    '',
  ].join('\n'),
);
process.exit(0);
