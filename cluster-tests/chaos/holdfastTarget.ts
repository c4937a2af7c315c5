import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { present } from '../../src/base/assert.ts';
import { toHoldfastError } from '../../src/base/errors.ts';
import { HoldfastClient, type StatusResponse } from '../../src/client/index.ts';
import type { FailpointProgram } from '../../test/patches/failpoints.ts';
import { waitFor } from '../faultProxy/waitFor.ts';
import { type ClusterNode, type Launch, LocalCluster } from '../localCluster.ts';
import { until } from '../until.ts';
import type { Disks } from './disks.ts';
import { faketimeLibrary } from './machine.ts';
import type { Network, Place } from './network.ts';
import type { SeededChoice } from './seededChoice.ts';
import { type Standing, standingOf } from './standing.ts';
import type { Prober, Target } from './target.ts';

export interface HoldfastOptions {
  readonly size: number;
  readonly dir: string;
  readonly network: Network;
  readonly disks: Disks | null;
  readonly random: SeededChoice;
  /** Null: only the program as it ships. */
  readonly failpoints: FailpointProgram | null;
  /** The share of starts with the failpoint program. */
  readonly failpointShare: number;
  readonly clockJumps: boolean;
  /** What a node has said of itself. */
  readonly onStatus: (status: StatusResponse) => void;
  /** A process has ended, other than by SIGKILL. */
  readonly onExit: (name: string, how: string) => void;
}

interface Member {
  readonly place: Place;
  hasFailpoints: boolean;
  hasClock: boolean;
}

const STATUS_TIMEOUT_MS = 700;
/** Other faults go on while a member is replaced. */
const CAUGHT_UP_WITHIN_MS = 120_000;
const SPARED_WITHIN_MS = 120_000;
/** What may be on its way while clients write. */
const BEHIND_ENTRIES_MAX = 1_000;

/** Holdfast nodes, each at a place of its own. */
export class HoldfastTarget implements Target {
  readonly kind = 'holdfast';
  readonly cluster: LocalCluster;
  readonly #options: HoldfastOptions;
  readonly #members = new Map<string, Member>();
  #made = 0;
  #statusEndpoints = '';
  #status: HoldfastClient | null = null;

  private constructor(cluster: LocalCluster, options: HoldfastOptions) {
    this.cluster = cluster;
    this.#options = options;
  }

  static async form(
    options: HoldfastOptions,
    onCreated: (target: HoldfastTarget) => void,
  ): Promise<HoldfastTarget> {
    let target: HoldfastTarget | undefined;
    const made = () => present(target, 'cluster');
    await LocalCluster.form(options.size, {
      onCreated: (cluster) => {
        target = new HoldfastTarget(cluster, options);
        onCreated(target);
      },
      newNode: (_dir, name) => Promise.resolve(made().#newNode(name)),
    });
    for (const name of made().members()) made().#listen(name);
    return made();
  }

  members(): readonly string[] {
    return this.cluster.nodes.map((node) => node.name);
  }

  placeOf(name: string): Place {
    return this.#member(name).place;
  }

  hasFailpoints(name: string): boolean {
    return this.#member(name).hasFailpoints;
  }

  hasClock(name: string): boolean {
    return this.#member(name).hasClock;
  }

  isRunning(name: string): boolean {
    return this.cluster.isRunning(name);
  }

  processId(name: string): number {
    return this.cluster.processId(name);
  }

  /** With one program or the other, by chance. */
  start(name: string): void {
    if (this.isRunning(name)) return;
    const member = this.#member(name);
    this.#draw(name, member);
    const index = this.cluster.nodes.findIndex((node) => node.name === name);
    const node = present(this.cluster.nodes[index], name);
    this.cluster.nodes[index] = { ...node, launch: this.#launch(name, member) };
    this.cluster.start(name);
    this.#listen(name);
  }

  #draw(name: string, member: Member): void {
    const { failpoints, failpointShare, random, clockJumps } = this.#options;
    member.hasFailpoints = failpoints !== null && random.chance(failpointShare);
    member.hasClock = clockJumps && random.chance(0.5);
    this.disarm(name);
    this.setClock(name, 0);
  }

  #listen(name: string): void {
    this.cluster.process(name)?.on('exit', (code, signal) => {
      if (signal !== 'SIGKILL') this.#options.onExit(name, signal ?? `exit code ${code}`);
    });
  }

  async kill(name: string): Promise<void> {
    await this.cluster.kill(name);
  }

  async leader(): Promise<string | undefined> {
    const statuses = await this.statuses();
    const leaders = statuses.filter((status) => status.role === 'leader');
    return leaders.toSorted((a, b) => b.term - a.term)[0]?.name;
  }

  async isWhole(): Promise<boolean> {
    const statuses = await this.statuses();
    const leader = statuses[0]?.leader ?? '';
    return (
      leader !== '' &&
      statuses.length === this.members().length &&
      statuses.every((status) => status.leader === leader)
    );
  }

  async standing(): Promise<Standing | null> {
    const statuses = await this.statuses();
    return statuses.length === this.members().length ? standingOf(statuses) : null;
  }

  async statuses(): Promise<readonly StatusResponse[]> {
    const endpoints = this.cluster.nodes.map((node) => node.apiAddress);
    if (this.#status === null || this.#statusEndpoints !== endpoints.join()) {
      const old = this.#status;
      this.#statusEndpoints = endpoints.join();
      this.#status = new HoldfastClient({ ...this.cluster.context(), endpoints });
      // Others may be asking it still.
      if (old !== null) void waitFor(2 * STATUS_TIMEOUT_MS).then(() => old.close());
    }
    const reports = await this.#status.cluster.statusOfAll({ timeoutMs: STATUS_TIMEOUT_MS });
    const names = new Set(this.members());
    const statuses = reports.flatMap((report) =>
      'status' in report && names.has(report.status.name) ? [report.status] : [],
    );
    for (const status of statuses) this.#options.onStatus(status);
    return statuses;
  }

  prober(): Prober {
    const names = this.members();
    let client: Promise<HoldfastClient> | null = null;
    const connected = async () => {
      client ??= this.cluster.client(names, 3_000);
      return await client.catch((thrown: unknown) => {
        client = null;
        throw thrown;
      });
    };
    let count = 0;
    return {
      write: async (timeoutMs) => {
        count += 1;
        await (await connected()).put('probe/write', String(count), { timeoutMs });
      },
      read: async (timeoutMs) => {
        await (await connected()).get('probe/write', { timeoutMs });
      },
      close: async () => {
        await client?.then(
          (made) => made.close(),
          () => undefined,
        );
      },
    };
  }

  lastWords(): string {
    return this.cluster.lastWords();
  }

  async destroy(): Promise<void> {
    await this.#status?.close();
    for (const name of this.members())
      if (this.isRunning(name)) process.kill(this.processId(name), 'SIGCONT');
    await this.cluster.destroy();
  }

  /** Names failpoints and what happens at them, as test/patches/failpointHook.ts reads them. */
  arm(name: string, specification: string): void {
    writeFileSync(this.#file(name, 'failpoints'), specification);
  }

  /** How often anything has happened at a failpoint of this node. */
  acts(name: string): number {
    const file = `${this.#file(name, 'failpoints')}.acts`;
    return existsSync(file) ? readFileSync(file, 'utf8').split('\n').length - 1 : 0;
  }

  disarm(name: string): void {
    this.arm(name, '');
  }

  /** The wall clock of a node that `hasClock`, so far off. */
  setClock(name: string, offsetSeconds: number): void {
    writeFileSync(this.#file(name, 'clock'), `${offsetSeconds < 0 ? '' : '+'}${offsetSeconds}`);
  }

  freePlaces(): readonly Place[] {
    const taken = new Set([...this.#members.values()].map((member) => member.place.slot));
    return this.#options.network.places.filter((place) => !taken.has(place.slot));
  }

  /** A further member, which has joined and runs. */
  async addMember(role: 'voter' | 'learner'): Promise<string> {
    const name = `n${this.#made + 1}`;
    const node = this.#newNode(name);
    try {
      await this.cluster.join(node, role);
    } catch (thrown) {
      this.forget(name, node);
      throw thrown;
    }
    this.cluster.nodes.push(node);
    this.start(name);
    return name;
  }

  /** Its process has to be gone; the folders go. */
  forget(name: string, node: ClusterNode = this.cluster.node(name)): void {
    const index = this.cluster.nodes.findIndex((one) => one.name === name);
    if (index !== -1) this.cluster.nodes.splice(index, 1);
    this.#members.delete(name);
    rmSync(node.dataDir, { recursive: true, force: true });
  }

  /** Takes a member that is beyond help out, and a new one in at its place. */
  async replace(name: string, violation: (text: string) => void): Promise<void> {
    await this.kill(name);
    try {
      await this.#takeOut(name);
      this.forget(name);
      await this.#untilCaughtUp(await this.addMember('voter'));
    } catch (thrown) {
      violation(`${name} could not be replaced: ${String(thrown)}`);
    }
  }

  /** The cluster refuses as long as it cannot spare the member: the others may still be under an earlier fault. */
  async #takeOut(name: string): Promise<void> {
    const others = this.members().filter((other) => other !== name);
    await until(SPARED_WITHIN_MS, `${name} to be taken out`, async () => {
      const client = await this.cluster.client(others, 20_000);
      try {
        await client.cluster.remove({ member: name });
      } catch (thrown) {
        // An earlier call was answered by nobody, and done.
        if (toHoldfastError(thrown).code !== 'MEMBER_UNKNOWN') throw thrown;
      } finally {
        await client.close();
      }
      return true;
    });
  }

  /** A new member holds the log that the leader holds: one that has only just started can make no quorum yet. */
  async #untilCaughtUp(name: string): Promise<void> {
    await until(CAUGHT_UP_WITHIN_MS, `${name} to catch up`, async () => {
      const statuses = await this.statuses();
      const own = statuses.find((status) => status.name === name);
      const leader = statuses.find((status) => status.role === 'leader');
      if (own === undefined || leader === undefined) return false;
      return own.appliedIndex + BEHIND_ENTRIES_MAX > leader.appliedIndex;
    });
  }

  /** Waits until exactly the members that should be there are, all voters, reachable, and level; tells their digests. */
  async untilLevel(withinMs: number): Promise<readonly StatusResponse[]> {
    let statuses: readonly StatusResponse[] = [];
    let seen = '';
    await until(
      withinMs,
      () => `all nodes level (${seen}); the logs say:\n${this.lastWords()}`,
      async () => {
        statuses = await this.statuses();
        seen = statuses
          .map((one) => `${one.name}: ${one.role} of term ${one.term} at ${one.appliedIndex}`)
          .join(', ');
        const first = statuses[0];
        return (
          first !== undefined &&
          statuses.length === this.members().length &&
          statuses.filter((status) => status.role === 'leader').length === 1 &&
          statuses.every((status) => status.appliedIndex === first.appliedIndex)
        );
      },
    );
    return statuses;
  }

  #member(name: string): Member {
    return present(this.#members.get(name), name);
  }

  #file(name: string, what: string): string {
    return join(this.#options.dir, `${name}.${what}`);
  }

  #newNode(name: string): ClusterNode {
    this.#made = Math.max(this.#made, Number(name.slice(1)));
    const { dir, disks } = this.#options;
    const place = present(this.freePlaces()[0], 'place for a node');
    const member: Member = { place, hasFailpoints: false, hasClock: false };
    this.#members.set(name, member);
    this.#draw(name, member);
    const secretDir = join(dir, 'secret', name);
    mkdirSync(secretDir, { recursive: true, mode: 0o700 });
    return {
      name,
      dataDir: join(disks === null ? join(dir, 'data') : disks.mountPoint(place.slot), name),
      controlKeyPath: join(secretDir, 'secret-control.json'),
      jwtSecretPath: join(secretDir, 'secret-jwt.json'),
      apiAddress: `${place.host}:${place.apiPort}`,
      peerAddress: `${place.host}:${place.peerPort}`,
      logPath: join(dir, `${name}.log`),
      ...(place.advertisePeer === undefined ? {} : { advertisePeer: place.advertisePeer }),
      launch: this.#launch(name, member),
    };
  }

  #launch(name: string, member: Member): Launch {
    const { failpoints } = this.#options;
    const environment: NodeJS.ProcessEnv = {};
    const library = member.hasClock ? faketimeLibrary() : undefined;
    if (library !== undefined) {
      environment['LD_PRELOAD'] = library;
      environment['FAKETIME_TIMESTAMP_FILE'] = this.#file(name, 'clock');
      environment['FAKETIME_CACHE_DURATION'] = '1';
      environment['FAKETIME_DONT_FAKE_MONOTONIC'] = '1';
    }
    if (!member.hasFailpoints || failpoints === null) return { wrapper: member.place.wrapper, environment };
    return {
      wrapper: member.place.wrapper,
      nodeArguments: ['--import', failpoints.preload],
      program: failpoints.program,
      environment: { ...environment, HOLDFAST_FAILPOINTS_FILE: this.#file(name, 'failpoints') },
    };
  }
}
