import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { present } from '../../src/base/assert.ts';
import { until } from '../until.ts';
import type { Disks } from './disks.ts';
import type { Network, Place } from './network.ts';
import type { Prober, Target } from './target.ts';

const START_WITHIN_MS = 30_000;
const STATUS_TIMEOUT_MS = 700;

const encoded = (text: string) => Buffer.from(text).toString('base64');

/** etcd processes at the same places, without TLS, spoken to by their JSON gateway: a yardstick for times. */
export class EtcdTarget implements Target {
  readonly kind = 'etcd';
  readonly #dir: string;
  readonly #disks: Disks | null;
  readonly #places = new Map<string, Place>();
  readonly #children = new Map<string, ChildProcess>();

  private constructor(options: { dir: string; network: Network; disks: Disks | null; size: number }) {
    this.#dir = options.dir;
    this.#disks = options.disks;
    for (let i = 1; i <= options.size; i += 1)
      this.#places.set(`n${i}`, present(options.network.places[i - 1], 'place'));
  }

  static async form(
    options: { dir: string; network: Network; disks: Disks | null; size: number },
    onCreated: (target: EtcdTarget) => void,
  ): Promise<EtcdTarget> {
    const target = new EtcdTarget(options);
    onCreated(target);
    for (const name of target.members()) target.start(name);
    await until(START_WITHIN_MS, 'a leader of etcd', async () => (await target.leader()) !== undefined);
    return target;
  }

  members(): readonly string[] {
    return [...this.#places.keys()];
  }

  placeOf(name: string): Place {
    return present(this.#places.get(name), name);
  }

  isRunning(name: string): boolean {
    const child = this.#children.get(name);
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  processId(name: string): number {
    return present(this.#children.get(name)?.pid, name);
  }

  start(name: string): void {
    if (this.isRunning(name)) return;
    const { host, apiPort, peerPort, wrapper, slot } = this.placeOf(name);
    const dataDir = join(this.#disks?.mountPoint(slot) ?? this.#dir, `etcd-${name}`);
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    const settings = {
      name,
      'data-dir': dataDir,
      'listen-client-urls': `http://${host}:${apiPort}`,
      'advertise-client-urls': `http://${host}:${apiPort}`,
      'listen-peer-urls': `http://${host}:${peerPort}`,
      'initial-advertise-peer-urls': this.#peerUrl(name),
      'initial-cluster': this.members()
        .map((one) => `${one}=${this.#peerUrl(one)}`)
        .join(','),
      'initial-cluster-state': 'new',
      'initial-cluster-token': 'chaos',
      'log-level': 'error',
      logger: 'zap',
    };
    const flags = Object.entries(settings).map(([flag, value]) => `--${flag}=${value}`);
    const [command = 'etcd', ...rest] = [...wrapper, 'etcd', ...flags];
    const log = openSync(join(this.#dir, `${name}.log`), 'a');
    this.#children.set(name, spawn(command, rest, { stdio: ['ignore', log, log] }));
    closeSync(log);
  }

  async kill(name: string): Promise<void> {
    const child = this.#children.get(name);
    if (child === undefined || !this.isRunning(name)) return;
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
  }

  async leader(): Promise<string | undefined> {
    const leaders = (await this.#statuses()).filter(
      ({ status }) => status.leader !== undefined && status.leader === status.header?.member_id,
    );
    return leaders.toSorted((a, b) => Number(b.status.raftTerm) - Number(a.status.raftTerm))[0]?.name;
  }

  async isWhole(): Promise<boolean> {
    const statuses = await this.#statuses();
    const leader = statuses[0]?.status.leader;
    return (
      leader !== undefined &&
      leader !== '0' &&
      statuses.length === this.members().length &&
      statuses.every(({ status }) => status.leader === leader)
    );
  }

  standing(): Promise<null> {
    return Promise.resolve(null);
  }

  /** Of those who answer at once. */
  async #statuses(): Promise<readonly { readonly name: string; readonly status: EtcdAnswer }[]> {
    const found = await Promise.all(
      this.members().map(async (name) => {
        const status = await this.#post(name, 'maintenance/status', {}, STATUS_TIMEOUT_MS).catch(() => null);
        return status === null ? null : { name, status };
      }),
    );
    return found.filter((one) => one !== null);
  }

  /** Its JSON gateway has no client that goes on to the next node, so this one asks all nodes at once. */
  prober(): Prober {
    let count = 0;
    const first = async (path: string, body: object, timeoutMs: number) => {
      await Promise.any(this.members().map((name) => this.#post(name, path, body, timeoutMs)));
    };
    return {
      write: async (timeoutMs) => {
        count += 1;
        await first('kv/put', { key: encoded('probe/write'), value: encoded(String(count)) }, timeoutMs);
      },
      read: (timeoutMs) => first('kv/range', { key: encoded('probe/write') }, timeoutMs),
      close: () => Promise.resolve(),
    };
  }

  lastWords(): string {
    return `see the logs in ${this.#dir}`;
  }

  async destroy(): Promise<void> {
    await Promise.all(this.members().map((name) => this.kill(name)));
  }

  #peerUrl(name: string): string {
    const { host, peerPort, advertisePeer } = this.placeOf(name);
    return `http://${advertisePeer ?? `${host}:${peerPort}`}`;
  }

  async #post(name: string, path: string, body: object, timeoutMs: number): Promise<EtcdAnswer> {
    const { host, apiPort } = this.placeOf(name);
    const response = await fetch(`http://${host}:${apiPort}/v3/${path}`, {
      method: 'POST',
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const answer = (await response.json()) as EtcdAnswer;
    if (!response.ok) throw new Error(`${path}: ${response.status}`);
    return answer;
  }
}

interface EtcdAnswer {
  readonly header?: { readonly member_id: string };
  readonly leader?: string;
  readonly raftTerm?: string;
}
