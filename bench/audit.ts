/**
 * What the audit costs: gets of audited names against gets of others, in turn (A B A B …) on one cluster of three nodes, as ratios of
 * medians; then an export of many records, its memory, and its verification.
 */
import { spawn } from 'node:child_process';
import { createWriteStream, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LocalCluster, PROGRAM } from '../cluster-tests/localCluster.ts';
import { type HoldfastClient, put } from '../src/client/index.ts';
import { type LoadResult, type LoadShape, runLoad } from './load.ts';
import { type Row, table } from './table.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    'in-flight': { type: 'string', default: '256' },
    records: { type: 'string', default: '1000000' },
  },
});
const rounds = Number(options.rounds);
const wantedRecords = Number(options.records);
const inFlight = Number(options['in-flight']);
const shape: LoadShape = { inFlight, warmUpMs: 1_000, durationMs: Number(options.seconds) * 1_000 };
const KEYS = 1_000;
const OPERATIONS = 128;
const WRITERS = 8;
const SAMPLE_MS = 100;
const value = Buffer.alloc(256, 'x');

const nameOf = (prefix: string, sequence: number): string => `${prefix}${sequence % KEYS}`;
const middle = (numbers: readonly number[]): number =>
  numbers.toSorted((left, right) => left - right)[numbers.length >> 1] ?? 0;

async function compareReads(client: HoldfastClient): Promise<readonly string[]> {
  const results = new Map<string, LoadResult[]>([
    ['get', []],
    ['get of an audited name', []],
  ]);
  const prefixes = ['open/', 'secrets/'];
  for (const prefix of prefixes)
    for (let at = 0; at < KEYS; at += 1) await client.put(nameOf(prefix, at), value);
  for (let round = 0; round < rounds; round += 1) {
    for (const [at, [name, runs]] of [...results].entries()) {
      const get = (sequence: number) => client.get(nameOf(prefixes[at] ?? '', sequence));
      const result = await runLoad(get, shape);
      process.stderr.write(`${name}: ${result.perSecond.toFixed(0)}/s\n`);
      runs.push(result);
    }
  }
  const rows: Row[] = [...results].map(([name, runs]) => ({ name, runs }));
  const [plain = 1, audited = 0] = rows.map(({ runs }) => middle(runs.map(({ perSecond }) => perSecond)));
  return [table(rows), '', `audited / not audited: ${(audited / plain).toFixed(2)}`];
}

/** Small transactions of many puts, until there are so many records. */
async function fill(client: HoldfastClient): Promise<void> {
  const writer = async (number: number): Promise<void> => {
    for (;;) {
      const { sequence } = await client.audit.head();
      if (sequence >= wantedRecords) return;
      for (let turn = 0; turn < 50; turn += 1) {
        const success = Array.from({ length: OPERATIONS }, (_, at) => put(`w${number}/${at}`, ''));
        await client.transaction({ success });
      }
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, number) => writer(number)));
}

const residentKiB = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);

/** Runs the program, and says how long it took and how much memory it held at most. */
async function watched(
  words: readonly string[],
  { environment, path }: { readonly environment: NodeJS.ProcessEnv; readonly path: string | null },
): Promise<{ readonly seconds: number; readonly peakMiB: number; readonly code: number | null }> {
  const beganMs = performance.now();
  const child = spawn(process.execPath, [PROGRAM, ...words], {
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child.stdout.pipe(path === null ? process.stderr : createWriteStream(path), { end: path !== null });
  let peakKiB = 0;
  const timer = setInterval(() => {
    try {
      peakKiB = Math.max(peakKiB, residentKiB(child.pid ?? 0));
    } catch {
      // It has ended between two looks.
      clearInterval(timer);
    }
  }, SAMPLE_MS);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearInterval(timer);
  return { seconds: (performance.now() - beganMs) / 1_000, peakMiB: peakKiB / 1_024, code };
}

async function exportAll(cluster: LocalCluster, client: HoldfastClient): Promise<readonly string[]> {
  await fill(client);
  const { sequence } = await client.audit.head();
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
  const path = join(folder, 'audit.jsonl');
  const environment = { ...process.env, HOLDFAST_CONFIG: cluster.contextPath };
  const few = await watched(['audit', 'export', '--until', '1970-01-02'], {
    environment,
    path: join(folder, 'few'),
  });
  const written = await watched(['audit', 'export'], { environment, path });
  const bytes = statSync(path).size;
  const verified = await watched(['audit', 'verify', path], { environment, path: null });
  rmSync(folder, { recursive: true });
  const line = (what: string, { seconds, peakMiB, code }: typeof few): string =>
    `| ${what} | ${seconds.toFixed(1)} | ${peakMiB.toFixed(0)} | ${code} |`;
  return [
    `${sequence} records, ${(bytes / 2 ** 20).toFixed(0)} MiB as JSON lines`,
    '',
    '| what | s | memory at most, MiB | exit |',
    '|---|---|---|---|',
    line('export of nothing', few),
    line('export of all', written),
    line('verification of the file', verified),
  ];
}

const cluster = await LocalCluster.form(3);
try {
  const client = await cluster.client();
  const lines = await compareReads(client);
  const exported = wantedRecords === 0 ? [] : ['', ...(await exportAll(cluster, client))];
  const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.version}`;
  process.stdout.write(
    [
      `${machine}; ${rounds} rounds in turn, ${options.seconds} s each, ${inFlight} in flight`,
      '',
      ...lines,
      ...exported,
      '',
    ].join('\n'),
  );
  await client.close();
} finally {
  await cluster.destroy();
}
process.exit(0);
