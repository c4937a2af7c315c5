import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HoldfastClient } from '../../src/client/index.ts';
import { waitFor } from '../faultProxy/waitFor.ts';
import { Actor } from '../history/actor.ts';
import { recordDigests, recordEvents, recordFinalReads } from '../history/readBack.ts';
import { Recorder } from '../history/recorder.ts';
import { AuditedTraffic } from './auditedTraffic.ts';
import type { HoldfastTarget } from './holdfastTarget.ts';
import { Traffic } from './traffic.ts';

const CHECKER = fileURLToPath(new URL('../history/check.ts', import.meta.url));
const TSX = createRequire(import.meta.url).resolve('tsx/cli');
const LEVEL_WITHIN_MS = 60_000;
const READ_BACK_WITHIN_MS = 60_000;
const WATCHES_WITHIN_MS = 15_000;

/** One stretch of traffic with keys and a history of its own. */
export class Segment {
  readonly historyPath: string;
  readonly #target: HoldfastTarget;
  readonly #recorder: Recorder;
  readonly #client: HoldfastClient;
  readonly #prefix: string;
  readonly #after: number;
  readonly #traffic: Traffic;
  readonly #audited: AuditedTraffic;

  private constructor(options: {
    target: HoldfastTarget;
    recorder: Recorder;
    historyPath: string;
    client: HoldfastClient;
    prefix: string;
    after: number;
    traffic: Traffic;
    audited: AuditedTraffic;
  }) {
    this.#target = options.target;
    this.#recorder = options.recorder;
    this.historyPath = options.historyPath;
    this.#client = options.client;
    this.#prefix = options.prefix;
    this.#after = options.after;
    this.#traffic = options.traffic;
    this.#audited = options.audited;
  }

  static async begin(options: {
    target: HoldfastTarget;
    dir: string;
    number: number;
    seed: number;
    pauseFactor: number;
  }): Promise<Segment> {
    const { target, dir, number, seed, pauseFactor } = options;
    const historyPath = join(dir, `history-${number}.ndjson`);
    const recorder = new Recorder(historyPath);
    const client = await target.cluster.client(undefined, 20_000);
    const prefix = `c${number}/`;
    const { revision: after } = await client.get(prefix);
    const { cluster } = target;
    // First of all: it asks for the records of everything from here on.
    const audited = await AuditedTraffic.start({ cluster, client, prefix, after });
    const traffic = await Traffic.start({
      cluster,
      recorder,
      prefix,
      seed: seed * 1_000 + number,
      pauseFactor,
    });
    return new Segment({ target, recorder, historyPath, client, prefix, after, traffic, audited });
  }

  get operations(): number {
    return this.#traffic.counts.operations;
  }

  note(text: string): void {
    this.#recorder.note(text);
  }

  async stopTraffic(): Promise<void> {
    await Promise.all([this.#traffic.stop(), this.#audited.stop()]);
  }

  /**
   * With all faults healed and no traffic any more: everybody comes to the same state, which is read back into the
   * history. Tells what is wrong without looking at the history.
   */
  async converge(): Promise<readonly string[]> {
    const problems: string[] = [];
    await this.#target.untilLevel(LEVEL_WITHIN_MS);
    const keys: string[] = [];
    for await (const item of this.#client.list({ prefix: this.#prefix, keysOnly: true }))
      keys.push(item.key.toString());
    const { recorder, client, prefix, after } = {
      recorder: this.#recorder,
      client: this.#client,
      prefix: this.#prefix,
      after: this.#after,
    };
    await recordFinalReads(new Actor({ recorder, client, node: 'any', timeoutMs: 10_000 }), keys);
    const log = await recordEvents({ recorder, client, prefix, after, timeoutMs: READ_BACK_WITHIN_MS });
    problems.push(...(await this.#traffic.closeWatches(log.upTo, WATCHES_WITHIN_MS)));
    // Ending clients and watches changes the state too: the digests come last.
    await this.#traffic.close();
    const statuses = await this.#target.untilLevel(LEVEL_WITHIN_MS);
    const digests = new Set(statuses.map((status) => status.digest));
    if (digests.size !== 1) {
      const told = statuses.map(({ name, appliedIndex, digest }) => `${name} ${digest} at ${appliedIndex}`);
      problems.push(`digests differ: ${told.join(', ')}`);
    }
    recordDigests(this.#recorder, statuses);
    problems.push(...(await this.#audited.problems(this.#client)));
    return problems;
  }

  async close(): Promise<void> {
    await this.stopTraffic();
    await this.#traffic.close();
    await this.#client.close();
    await this.#recorder.close();
  }
}

export interface CheckResult {
  readonly historyPath: string;
  readonly verdict: 'ok' | 'illegal' | 'unknown';
  readonly report: string;
}

/** Checks a finished history in a process of its own, which gives way to the cluster. */
export async function checkHistoryFile(historyPath: string): Promise<CheckResult> {
  const child = spawn(
    'nice',
    ['-n', '10', process.execPath, '--max-old-space-size=4096', TSX, CHECKER, historyPath],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let report = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      report += text;
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  await waitFor(0);
  return { historyPath, verdict: code === 0 ? 'ok' : code === 1 ? 'illegal' : 'unknown', report };
}
