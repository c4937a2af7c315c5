/**
 * A rekey of three nodes on this machine, from the command to the moment when no file names an old key, under a steady
 * load: how long it takes, and what the load notices of it.
 */
import { execFileSync } from 'node:child_process';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { LocalCluster } from '../cluster-tests/localCluster.ts';
import { until } from '../cluster-tests/until.ts';
import { put } from '../src/client/index.ts';
import type { Histogram } from './histogram.ts';
import { OpenLoop } from './openLoop.ts';

const { values: options } = parseArgs({
  options: {
    records: { type: 'string', default: '100000' },
    'value-bytes': { type: 'string', default: '1024' },
    'per-second': { type: 'string', default: '500' },
    'before-seconds': { type: 'string', default: '20' },
    'read-share': { type: 'string', default: '0.5' },
  },
});
const records = Number(options.records);
const valueBytes = Number(options['value-bytes']);
const perSecond = Number(options['per-second']);
const readShare = Number(options['read-share']);
const LEVEL_WITHIN_MS = 120_000;
/** Records in one transaction. */
const FILL_AT_ONCE = 100;

const key = (sequence: number): string => `bench/${String(sequence % records).padStart(7, '0')}`;

interface Line {
  readonly what: string;
  readonly seconds: number;
  readonly latencies: Histogram;
  readonly failures: number;
}

async function measure(cluster: LocalCluster): Promise<readonly Line[]> {
  const client = await cluster.client(undefined, 60_000);
  const value = Buffer.alloc(valueBytes, 'x');
  for (let at = 0; at < records; at += FILL_AT_ONCE) {
    const count = Math.min(FILL_AT_ONCE, records - at);
    await client.transaction({ success: Array.from({ length: count }, (_, i) => put(key(at + i), value)) });
  }
  await until(LEVEL_WITHIN_MS, 'all nodes level', async () => (await cluster.equalDigests()).length === 3);
  // What the system has still to write of them would count against whoever syncs next.
  execFileSync('sync');
  // Not in step with which keys are read and which are written.
  const load = new OpenLoop(perSecond, (sequence) => {
    const chosen = key(sequence * 7_919);
    return sequence % 100 < readShare * 100 ? client.get(chosen) : client.put(chosen, value);
  });
  load.start();
  await delay(3_000);
  await load.take();
  const beforeMs = performance.now();
  await delay(Number(options['before-seconds']) * 1_000);
  const before: Line = { what: 'before', seconds: since(beforeMs), ...(await load.take()) };
  const rekeyMs = performance.now();
  const { controlKeyPath, dataDir } = cluster.node('n1');
  const flags = ['--control-key-path', controlKeyPath, '--data-dir', dataDir];
  await cluster.expectDone([
    'cluster',
    'rekey',
    '--save-key',
    join(cluster.dir, 'copy.json'),
    '--wait',
    ...flags,
  ]);
  const during: Line = { what: 'during the rekey', seconds: since(rekeyMs), ...(await load.take()) };
  await load.stop();
  await client.close();
  return [before, during];
}

const since = (ms: number): number => (performance.now() - ms) / 1_000;

function render(lines: readonly Line[]): string {
  const [before, during] = lines;
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`;
  const rows = lines.map(({ what, seconds, latencies, failures }) => {
    const cells = [0.5, 0.99, 1].map((share) => latencies.quantileMs(share).toFixed(1));
    return `| ${what} | ${seconds.toFixed(1)} | ${(latencies.count / seconds).toFixed(0)} | ${cells.join(' | ')} | ${failures} |`;
  });
  const ratio = (during?.latencies.quantileMs(0.99) ?? 0) / (before?.latencies.quantileMs(0.99) ?? 1);
  return [
    `${machine}; 3 nodes, ${records} records of ${valueBytes} bytes, ${perSecond} operations/s (${readShare * 100} % get)`,
    '',
    '| | seconds | operations/s | p50 ms | p99 ms | most ms | failures |',
    '|---|---|---|---|---|---|---|',
    ...rows,
    '',
    `${(records / (during?.seconds ?? 1)).toFixed(0)} records a second on each node; p99 times ${ratio.toFixed(2)}`,
    '',
  ].join('\n');
}

const cluster = await LocalCluster.form(3);
try {
  process.stdout.write(render(await measure(cluster)));
} finally {
  await cluster.destroy();
}
process.exit(0);
