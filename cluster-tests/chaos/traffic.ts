import { setMaxListeners } from 'node:events';
import type { HoldfastClient } from '../../src/client/index.ts';
import { connect } from '../../src/client/index.ts';
import { waitFor } from '../faultProxy/waitFor.ts';
import { Actor } from '../history/actor.ts';
import { listOf, listValue } from '../history/listAppend.ts';
import type { Recorder } from '../history/recorder.ts';
import { amountOf } from '../history/sums.ts';
import type { Seen, StepAnswer } from '../history/types.ts';
import { WatchRecording } from '../history/watchRecording.ts';
import type { LocalCluster } from '../localCluster.ts';
import { SeededChoice } from './seededChoice.ts';

/** How often a mix goes on to new keys: the search for an order grows with the operations on one key. */
const ROTATE_AFTER = 150;
const OPERATION_TIMEOUT_MS = 2_500;
const ROTATING_KEYS = 6;
const ACCOUNTS: readonly number[] = [0, 1, 2, 3, 4];
const OPENING_BALANCE = 100;
const SUM = 'sum/';
const LIST = 'list/';

/** What one actor of a mix does next. */
type Step = (actor: Actor, context: StepContext) => Promise<unknown>;

interface StepContext {
  readonly prefix: string;
  readonly random: SeededChoice;
  /** How many operations the mix has done so far: all its actors rotate their keys together. */
  readonly count: number;
}

interface Mix {
  readonly name: string;
  readonly actors: number;
  /** Between two operations of an actor, on average. */
  readonly pauseMs: number;
  readonly step: Step;
}

let unique = 0;
const value = (actor: Actor) => {
  unique += 1;
  return `${actor.logicalClient}.${unique}`;
};

const generation = (context: StepContext) => Math.floor(context.count / ROTATE_AFTER);

/** Reads the hot key, and puts a new value if it is still as read. */
const hotKey: Step = async (actor, context) => {
  const key = `${context.prefix}hot/${generation(context)}`;
  const read = await actor.get(key);
  if (read.status === 'ok') await actor.cas(key, { mod: read.out?.item?.mod ?? 0 }, value(actor));
};

const uniquePuts: Step = async (actor, context) => {
  const { random } = context;
  const number = random.integer(1, ROTATING_KEYS);
  const key = `${context.prefix}put/${Math.floor(generation(context) / 2)}/${number}`;
  const dice = random.fraction();
  if (dice < 0.45) await actor.put(key, value(actor));
  else if (dice < 0.5) await actor.delete(key);
  else if (dice < 0.55) await actor.range(`${context.prefix}put/${Math.floor(generation(context) / 2)}/`);
  else if (dice < 0.65) await actor.get(key, { mode: 'serializable' });
  else await actor.get(key);
};

/** Moves an amount between two accounts; now and then looks at all of them. */
const transfers: Step = async (actor, context) => {
  const { random } = context;
  const prefix = `${context.prefix}${SUM}`;
  if (random.chance(0.2)) {
    await actor.range(prefix);
    return;
  }
  const [from = 0, to = 1] = random.some(ACCOUNTS, 2);
  const read = await actor.txn({
    compares: [],
    success: [from, to].map((account) => ({ op: 'get', key: `${prefix}${account}` })),
    failure: [],
  });
  const [fromItem, toItem] = read.out?.results.map(itemOf) ?? [];
  if (read.status !== 'ok' || !fromItem || !toItem) return;
  const amount = random.integer(1, 10);
  const moved = [
    { item: fromItem, balance: (amountOf(fromItem.value) ?? 0) - amount },
    { item: toItem, balance: (amountOf(toItem.value) ?? 0) + amount },
  ];
  await actor.txn({
    compares: moved.map(({ item }) => ({ key: item.key, target: 'mod', relation: '=', wanted: item.mod })),
    success: moved.map(({ item, balance }) => ({
      op: 'put',
      key: item.key,
      value: `${balance}#${value(actor)}`,
    })),
    failure: [],
  });
};

const itemOf = (result: StepAnswer): Seen | null | undefined =>
  result.op === 'get' ? result.item : undefined;

/** Appends to a list with a transaction; what was read before says where in the order it came. */
const appends: Step = async (actor, context) => {
  const key = `${context.prefix}${LIST}${Math.floor(generation(context) / 2)}/${context.random.integer(1, 3)}`;
  const read = await actor.get(key);
  if (read.status !== 'ok') return;
  const item = read.out?.item ?? null;
  const list = listValue([...listOf(item?.value ?? null), value(actor)]);
  await actor.cas(key, { mod: item?.mod ?? 0 }, list);
};

export const MIXES: readonly Mix[] = [
  { name: 'one hot key', actors: 3, pauseMs: 20, step: hotKey },
  { name: 'unique puts', actors: 4, pauseMs: 20, step: uniquePuts },
  { name: 'transfers', actors: 2, pauseMs: 30, step: transfers },
  { name: 'list append', actors: 2, pauseMs: 30, step: appends },
];

export interface TrafficCounts {
  operations: number;
}

/** All mixes at once on one cluster, each operation in the recorder's history, until it is stopped. */
export class Traffic {
  readonly counts: TrafficCounts = { operations: 0 };
  readonly #clients: HoldfastClient[] = [];
  readonly #loops: Promise<void>[] = [];
  readonly #watches: WatchRecording[] = [];
  readonly #over = new AbortController();

  static async start(options: {
    readonly cluster: LocalCluster;
    readonly recorder: Recorder;
    readonly prefix: string;
    readonly seed: number;
    readonly pauseFactor: number;
  }): Promise<Traffic> {
    const { cluster, recorder, prefix, seed, pauseFactor } = options;
    const traffic = new Traffic();
    setMaxListeners(0, traffic.#over.signal);
    await traffic.#open(options);
    const names = cluster.nodes.map((node) => node.name);
    let seeds = seed * 100;
    for (const mix of MIXES) {
      const progress = { count: 0 };
      for (let i = 0; i < mix.actors; i += 1) {
        seeds += 1;
        const random = new SeededChoice(seeds);
        // Some know one node only, and learn of the others; most know all.
        const node = random.chance(0.3) ? random.one(names) : 'any';
        const client = await traffic.#client(cluster, node);
        const actor = new Actor({ recorder, client, node, timeoutMs: OPERATION_TIMEOUT_MS });
        traffic.#loops.push(traffic.#run({ mix, actor, random, progress, prefix, pauseFactor }));
      }
    }
    for (const node of names) {
      const client = await traffic.#client(cluster, node);
      const selector = { prefix };
      traffic.#watches.push(
        new WatchRecording({ recorder, client, node, selector, previous: true, progress: true }),
      );
    }
    return traffic;
  }

  /** Gives the accounts their money, and says what the checks may take for granted. */
  async #open(options: {
    readonly cluster: LocalCluster;
    readonly recorder: Recorder;
    readonly prefix: string;
  }): Promise<void> {
    const { cluster, recorder, prefix } = options;
    const client = await this.#client(cluster, 'any');
    const actor = new Actor({ recorder, client, node: 'any', timeoutMs: 4 * OPERATION_TIMEOUT_MS });
    const success = ACCOUNTS.map((account) => ({
      op: 'put' as const,
      key: `${prefix}${SUM}${account}`,
      value: `${OPENING_BALANCE}#${value(actor)}`,
    }));
    const line = await actor.txn({ compares: [], success, failure: [] });
    if (line.rev === null) throw new Error(`the accounts could not be opened: ${line.error}`);
    const total = ACCOUNTS.length * OPENING_BALANCE;
    recorder.write({ f: 'workload', prefix: `${prefix}${SUM}`, kind: 'sum', total, since: line.rev });
    recorder.write({ f: 'workload', prefix: `${prefix}${LIST}`, kind: 'append' });
  }

  /** Ends after what is under way. Watches go on until `closeWatches`. */
  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#loops);
  }

  /** Once they have told all up to `revision`, or the time is over. */
  async closeWatches(revision: number, withinMs: number): Promise<readonly string[]> {
    const deadlineMs = performance.now() + withinMs;
    const behind = () => this.#watches.filter((watch) => watch.isOpen && watch.revision < revision);
    while (behind().length > 0 && performance.now() < deadlineMs) await waitFor(50);
    const late = behind().map((watch) => `watch ${watch.id} has told up to ${watch.revision} of ${revision}`);
    for (const watch of this.#watches) await watch.close();
    return late;
  }

  async close(): Promise<void> {
    for (const watch of this.#watches) await watch.close();
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #client(cluster: LocalCluster, node: string): Promise<HoldfastClient> {
    const endpoints = cluster.nodes
      .filter((one) => node === 'any' || one.name === node)
      .map((one) => one.apiAddress);
    const client = await connect({ ...cluster.context(), endpoints, requestTimeoutMs: 10_000 });
    this.#clients.push(client);
    return client;
  }

  async #run(options: {
    readonly mix: Mix;
    readonly actor: Actor;
    readonly random: SeededChoice;
    readonly progress: { count: number };
    readonly prefix: string;
    readonly pauseFactor: number;
  }): Promise<void> {
    const { mix, actor, random, progress, prefix, pauseFactor } = options;
    while (!this.#over.signal.aborted) {
      progress.count += 1;
      await mix.step(actor, { prefix, random, count: progress.count });
      this.counts.operations += 1;
      await waitFor(random.integer(0, 2 * mix.pauseMs * pauseFactor), this.#over.signal);
    }
  }
}
