import { toHoldfastError } from '../src/base/errors.ts';
import { compare, get, type HoldfastClient, type HoldfastError, put } from '../src/client/index.ts';
import type { LocalCluster } from './localCluster.ts';
import { pause, until } from './until.ts';

/** What a write under faults may honestly answer besides success. */
const HONEST = new Set([
  'OUTCOME_UNKNOWN',
  'DEADLINE_EXCEEDED',
  'UNAVAILABLE',
  'NO_LEADER',
  'NOT_LEADER',
  'OVERLOADED',
]);

/**
 * Clients that write all the time and remember what they were promised. Each one puts unique keys, and raises a
 * counter of its own by one with every transaction: a write applied twice would show as a counter that is too high.
 */
export class Writers {
  readonly unexpected: HoldfastError[] = [];
  readonly #clients: HoldfastClient[] = [];
  readonly #loops: Promise<void>[] = [];
  /** Key -> value of every acknowledged put. */
  readonly #promised = new Map<string, string>();
  /** Per writer: counter raises that were acknowledged, and those whose outcome is not known. */
  readonly #raises: { acknowledged: number; unknown: number }[] = [];
  readonly #pauseMs: number;
  #stopped = false;
  /** Of those who wait for more writes: then there are no pauses. */
  #hurried = 0;

  private constructor(pauseMs: number) {
    this.#pauseMs = pauseMs;
  }

  /** `pauseMs`: what each leaves between its writes, where a test is of something else than load. */
  static async start(
    cluster: LocalCluster,
    { count, pauseMs = 0 }: { readonly count: number; readonly pauseMs?: number },
  ): Promise<Writers> {
    const writers = new Writers(pauseMs);
    for (let i = 0; i < count; i += 1) {
      const client = await cluster.client();
      writers.#clients.push(client);
      writers.#raises.push({ acknowledged: 0, unknown: 0 });
      writers.#loops.push(writers.#run(client, i));
    }
    return writers;
  }

  get acknowledged(): number {
    return this.#promised.size + this.#raises.reduce((sum, raises) => sum + raises.acknowledged, 0);
  }

  async untilMore(count: number, withinMs: number): Promise<void> {
    const wanted = this.acknowledged + count;
    this.#hurried += 1;
    try {
      await until(
        withinMs,
        () => `${count} more acknowledged writes`,
        () => this.acknowledged >= wanted,
      );
    } finally {
      this.#hurried -= 1;
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#loops);
    for (const client of this.#clients) await client.close();
  }

  async #run(client: HoldfastClient, writer: number): Promise<void> {
    for (let sequence = 0; !this.#stopped; sequence += 1) {
      const key = `writers/${writer}/${sequence}`;
      await this.#attempt(
        async () => {
          await client.put(key, `value of ${key}`);
          this.#promised.set(key, `value of ${key}`);
        },
        () => undefined,
      );
      await this.#attempt(
        () => this.#raise(client, writer),
        () => {
          const raises = this.#raises[writer];
          if (raises !== undefined) raises.unknown += 1;
        },
      );
    }
  }

  /** Reads the counter and raises it by one, if it is still as read; this writer is the only one. */
  async #raise(client: HoldfastClient, writer: number): Promise<void> {
    const key = `counters/${writer}`;
    const { item } = await client.get(key);
    const next = Number(item?.value.toString() ?? 0) + 1;
    const result = await client.transaction({
      compares: [compare.modRevision(key).equals(item?.modRevision ?? 0)],
      success: [put(key, String(next))],
      failure: [get(key)],
    });
    const raises = this.#raises[writer];
    if (result.succeeded && raises !== undefined) raises.acknowledged += 1;
  }

  async #attempt(write: () => Promise<void>, failed: () => void): Promise<void> {
    if (this.#pauseMs > 0 && this.#hurried === 0) await pause(this.#pauseMs);
    try {
      await write();
    } catch (thrown) {
      const error = toHoldfastError(thrown);
      if (!HONEST.has(error.code)) this.unexpected.push(error);
      failed();
    }
  }

  /** What was promised and is not so, one sentence each. */
  async check(client: HoldfastClient): Promise<readonly string[]> {
    const problems: string[] = [];
    const found = new Map<string, { value: string; version: number }>();
    for await (const item of client.list({ prefix: 'writers/' })) {
      found.set(item.key.toString(), { value: item.value.toString(), version: item.version });
    }
    for (const [key, value] of this.#promised) {
      if (found.get(key)?.value !== value) problems.push(`${key} was acknowledged and is not there`);
    }
    for (const [key, { version }] of found)
      if (version !== 1) problems.push(`${key} was put ${version} times`);
    for (const [writer, { acknowledged, unknown }] of this.#raises.entries()) {
      const { item } = await client.get(`counters/${writer}`);
      const value = Number(item?.value.toString() ?? 0);
      if (value < acknowledged || value > acknowledged + unknown) {
        problems.push(
          `counter ${writer} is ${value}: ${acknowledged} raises were acknowledged, ${unknown} are unknown`,
        );
      }
      if (item !== null && item.version !== value)
        problems.push(`counter ${writer} is ${value} after ${item.version} puts`);
    }
    return problems;
  }
}
