import { asBuffer } from '../../src/base/bytes.ts';
import { toHoldfastError } from '../../src/base/errors.ts';
import type { AuditEntry, HoldfastClient } from '../../src/client/index.ts';
import { waitFor } from '../faultProxy/waitFor.ts';
import type { LocalCluster } from '../localCluster.ts';

const SECRETS = 'secrets/';
const READERS = 2;
const PAUSE_MS = 40;
const OPERATION_TIMEOUT_MS = 2_500;
const WATCHED_WITHIN_MS = 30_000;
const KEYS = 3;

/** A change, as an event and as a record say it. */
type Change = string;

/**
 * Secret values that are written and read beside all other traffic, and the question afterwards whether the audit has it all: one
 * record for each change, one at least for each value that was delivered, and the same chain on every node.
 */
export class AuditedTraffic {
  readonly #cluster: LocalCluster;
  readonly #prefixes: readonly string[];
  readonly #after: number;
  readonly #afterSequence: number;
  readonly #over = new AbortController();
  readonly #clients: HoldfastClient[] = [];
  readonly #loops: Promise<void>[] = [];
  /** By name: how often its value came. */
  readonly #delivered = new Map<string, number>();

  private constructor(options: {
    readonly cluster: LocalCluster;
    readonly prefix: string;
    readonly after: number;
    readonly afterSequence: number;
  }) {
    this.#cluster = options.cluster;
    this.#prefixes = [options.prefix, `${SECRETS}${options.prefix}`];
    this.#after = options.after;
    this.#afterSequence = options.afterSequence;
  }

  /** @param after the revision after which the changes of this prefix begin */
  static async start(options: {
    readonly cluster: LocalCluster;
    readonly client: HoldfastClient;
    readonly prefix: string;
    readonly after: number;
  }): Promise<AuditedTraffic> {
    const { sequence: afterSequence } = await options.client.audit.head({}, { timeoutMs: 20_000 });
    const traffic = new AuditedTraffic({ ...options, afterSequence });
    for (let reader = 0; reader < READERS; reader += 1) {
      const client = await options.cluster.client();
      traffic.#clients.push(client);
      traffic.#loops.push(traffic.#run(client, reader));
    }
    return traffic;
  }

  async #run(client: HoldfastClient, reader: number): Promise<void> {
    const options = { timeoutMs: OPERATION_TIMEOUT_MS };
    for (let count = 0; !this.#over.signal.aborted; count += 1) {
      const key = `${SECRETS}${this.#prefixes[0]}${reader}/${count % KEYS}`;
      try {
        if (count % 7 === 0) await client.put(key, `value ${count}`, options);
        else if (count % 7 === 5) {
          const { versions } = await client.history(key, options);
          if (versions.length > 0) this.#note(key);
        } else if (count % 7 === 1) {
          const { items } = await client.range({ prefix: `${SECRETS}${this.#prefixes[0]}`, ...options });
          for (const item of items) this.#note(item.key.toString());
        } else {
          const { item } = await client.get(key, { ...options, serializable: count % 7 === 2 });
          if (item !== null) this.#note(key);
        }
      } catch (thrown) {
        // What a fault does to an operation is for the history to judge; nothing was delivered.
        toHoldfastError(thrown);
      }
      await waitFor(PAUSE_MS, this.#over.signal);
    }
  }

  #note(key: string): void {
    this.#delivered.set(key, (this.#delivered.get(key) ?? 0) + 1);
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#loops);
    await Promise.all(this.#clients.splice(0).map((client) => client.close()));
  }

  /** What the audit lacks, or has too much; with no traffic any more, and all nodes level. */
  async problems(client: HoldfastClient): Promise<readonly string[]> {
    const records = await this.#records(client);
    const problems: string[] = [];
    const changes = records.filter(({ action }) => action === 'kv.put' || action === 'kv.delete');
    const recorded = changes.map(({ action, revision, resource }) =>
      changeOf({ action, revision, key: resource }),
    );
    const happened = await this.#changes(client);
    const kept = new Set(recorded);
    for (const change of happened) if (!kept.has(change)) problems.push(`audit: no record of ${change}`);
    const known = new Set(happened);
    for (const change of recorded)
      if (!known.has(change)) problems.push(`audit: a record of ${change}, which did not happen`);
    if (kept.size !== recorded.length) problems.push('audit: a change is recorded twice');
    for (const [key, count] of this.#delivered) {
      const reveals = records.filter(
        ({ action, resource }) => action === 'kv.reveal' && String(resource) === key,
      );
      if (reveals.length < count)
        problems.push(`audit: ${key} was delivered ${count} times, and recorded ${reveals.length} times`);
    }
    if (this.#delivered.size === 0) problems.push('audit: no secret value was ever delivered');
    problems.push(...(await this.#heads(client)));
    return problems;
  }

  async #records(client: HoldfastClient): Promise<readonly AuditEntry[]> {
    const found: AuditEntry[] = [];
    for (const prefix of this.#prefixes) {
      const options = { fromSequence: this.#afterSequence + 1, resource: `${prefix}**`, result: 'OK' };
      for await (const record of client.audit.records(options)) found.push(record);
    }
    return found.map((record) => ({ ...record, resource: asBuffer(record.resource) }));
  }

  async #changes(client: HoldfastClient): Promise<readonly Change[]> {
    const found: Change[] = [];
    for (const prefix of this.#prefixes) {
      const { revision: upTo } = await client.get('none');
      const watch = client.watch({ prefix, startRevision: this.#after + 1, progress: true });
      const timer = setTimeout(() => watch.close(), WATCHED_WITHIN_MS);
      try {
        for await (const { revision, events } of watch) {
          for (const { type, item } of events)
            found.push(changeOf({ action: `kv.${type}`, revision: item.modRevision, key: item.key }));
          if (revision >= upTo) break;
        }
      } finally {
        clearTimeout(timer);
        watch.close();
      }
    }
    return found;
  }

  async #heads(client: HoldfastClient): Promise<readonly string[]> {
    const { sequence } = await client.audit.head();
    const heads = await Promise.all(
      this.#cluster.nodes.map(async ({ name, apiAddress: to }) => {
        const { hash } = await client.audit.head({ sequence, to });
        return { name, hash: asBuffer(hash).toString('hex') };
      }),
    );
    if (new Set(heads.map(({ hash }) => hash)).size === 1) return [];
    return [
      `audit: heads differ at ${sequence}: ${heads.map(({ name, hash }) => `${name} ${hash}`).join(', ')}`,
    ];
  }
}

const changeOf = ({ action, revision, key }: { action: string; revision: number; key: Uint8Array }): Change =>
  `${action} ${asBuffer(key).toString()} at revision ${revision}`;
