import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildFailpointProgram, SMALL_WINDOWS } from '../../test/patches/failpoints.ts';
import { waitFor } from '../faultProxy/waitFor.ts';
import { DAMAGE_FAULTS } from './damageFaults.ts';
import { DISK_FAULTS, OUR_DISK_FAULTS } from './diskFaults.ts';
import { EtcdTarget } from './etcdTarget.ts';
import { BOTH, type FaultKind } from './faultKind.ts';
import { HOLDFAST_FAULTS } from './holdfastFaults.ts';
import { HoldfastTarget } from './holdfastTarget.ts';
import { killLeaders } from './leaderKill.ts';
import { LogTimes } from './logTimes.ts';
import { PREREQUISITES, type Prerequisite } from './machine.ts';
import { NETWORK_FAULTS } from './networkFaults.ts';
import { type ChaosOptions, LEADER_KILL } from './options.ts';
import { PROCESS_FAULTS } from './processFaults.ts';
import { RecoveryProbe } from './recovery.ts';
import { REKEY_FAULTS } from './rekeyFaults.ts';
import { Rekeys } from './rekeys.ts';
import { type FaultRecord, Scheduler } from './scheduler.ts';
import { SeededChoice } from './seededChoice.ts';
import { type CheckResult, checkHistoryFile, Segment } from './segment.ts';
import { type Stage, setStage } from './stage.ts';
import { checkSteadyLeader } from './steadyLeader.ts';
import { type ChaosSummary, kindSummaries, type NotRun } from './summary.ts';
import type { Target, World } from './target.ts';

/** After a power cut of all every node opens every row that it has, all at once on one machine. */
const RECOVER_WITHIN_MS = 180_000;
const WATCH_EVERY_MS = 500;
/** Of the small windows, those that leave the history of the keys alone: it is read back after each segment. */
const SMALL_LOG = SMALL_WINDOWS.filter(({ name }) => /logTrailing|snapshotChunk/.test(name));

/** One run: a cluster, faults in segments with quiet phases between them, and what came of it. */
export class ChaosRun {
  readonly #options: ChaosOptions;
  readonly #stage: Stage;
  readonly #say: (text: string) => void;
  readonly #random: SeededChoice;
  readonly #expected = new Set<string>();
  readonly #violations: string[] = [];
  readonly #records: FaultRecord[] = [];
  readonly #checks: Promise<CheckResult>[] = [];
  readonly #logTimes = new LogTimes();
  readonly #over = new AbortController();
  #operations = 0;
  #rekeys: Rekeys | null = null;
  #note: (text: string) => void = () => undefined;

  constructor(options: ChaosOptions, stage: Stage, say: (text: string) => void) {
    this.#options = options;
    this.#stage = stage;
    this.#say = say;
    this.#random = new SeededChoice(options.seed);
  }

  async run(): Promise<ChaosSummary> {
    const startedMs = performance.now();
    let notRun: ChaosSummary['notRun'] = [];
    try {
      if (this.#options.target === 'etcd') {
        const target = await EtcdTarget.form({ ...this.#stage, size: this.#options.nodes }, (made) =>
          this.#stage.cleanup.add('cluster', () => made.destroy()),
        );
        notRun = await this.#harm(target, [...PROCESS_FAULTS, ...NETWORK_FAULTS, ...DISK_FAULTS]);
      } else {
        const target = await this.#holdfast();
        if (this.#options.rekey) this.#rekeys = this.#rekeysOf(target);
        const kinds = [
          ...PROCESS_FAULTS,
          ...NETWORK_FAULTS,
          ...DISK_FAULTS,
          ...OUR_DISK_FAULTS,
          ...HOLDFAST_FAULTS,
          ...DAMAGE_FAULTS,
          ...(this.#options.rekey ? REKEY_FAULTS : []),
        ];
        notRun = await this.#harm(target, kinds);
      }
    } catch (thrown) {
      this.#violation(thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown));
    }
    for (const { verdict, historyPath, report } of await Promise.all(this.#checks)) {
      writeFileSync(`${historyPath}.report`, report);
      if (verdict !== 'ok') this.#violation(`${historyPath} is ${verdict}:\n${report.slice(0, 4_000)}`);
    }
    const seconds = (performance.now() - startedMs) / 1_000;
    const struck = this.#records.filter((record) => record.struck);
    return {
      target: this.#options.target,
      seed: this.#options.seed,
      nodes: this.#options.nodes,
      seconds,
      operations: this.#operations,
      faults: struck.length,
      faultsPerHour: Math.round((struck.length * 3_600) / seconds),
      kinds: kindSummaries(this.#records),
      notRun,
      segments: this.#checks.length,
      rekeys: this.#rekeys?.finished ?? 0,
      violations: this.#violations,
      dir: this.#violations.length > 0 || this.#options.keep ? this.#stage.dir : null,
    };
  }

  async #holdfast(): Promise<HoldfastTarget> {
    const { program, nodes } = this.#options;
    const failpoints = program === 'dist' ? null : await buildFailpointProgram({ patches: SMALL_LOG });
    if (failpoints !== null) (this.#stage.able as Set<Prerequisite>).add('failpoints');
    const { dir, network, disks, able, cleanup } = this.#stage;
    return await HoldfastTarget.form(
      {
        size: nodes,
        dir,
        network,
        disks,
        random: new SeededChoice(this.#options.seed + 7),
        failpoints,
        failpointShare: program === 'failpoints' ? 1 : 0.6,
        clockJumps: able.has('faketime'),
        onStatus: (status) => {
          const problem = this.#logTimes.observe(status);
          if (problem !== null) this.#violation(problem);
        },
        onExit: (name, how) => {
          if (this.#expected.has(name) || this.#over.signal.aborted) return;
          this.#violation(`${name} ended by itself with ${how}`);
        },
      },
      (made) => cleanup.add('cluster', () => made.destroy()),
    );
  }

  #rekeysOf(target: HoldfastTarget): Rekeys {
    return new Rekeys(target, {
      note: (text) => this.#note(text),
      violation: (text) => this.#violation(text),
    });
  }

  async #harm<T extends Target>(target: T, kinds: readonly FaultKind<T>[]): Promise<ChaosSummary['notRun']> {
    this.#stage.cleanup.add('the run', () => this.#over.abort());
    const { only, rounds } = this.#options;
    if (only?.has(LEADER_KILL)) {
      const note = (text: string) => this.#say(text);
      const kills = await killLeaders({ target, rounds, note, seed: this.#options.seed });
      this.#records.push(...kills.records);
      this.#operations += kills.operations;
      return [];
    }
    const unknown = [...(only ?? [])].filter((name) => kinds.every((kind) => kind.name !== name));
    if (unknown.length > 0) throw new Error(`there is no fault ${unknown.join(', ')}`);
    const ours = kinds.filter(
      ({ targets, name }) =>
        targets.includes(target.kind) &&
        (only === null || only.has(name)) &&
        (!this.#options.beside || targets === BOTH),
    );
    const notRun = ours.flatMap(({ name, needs }): NotRun[] => {
      const missing = needs.filter((need) => !this.#stage.able.has(need));
      if (missing.length === 0) return [];
      return [{ name, why: `needs ${missing.map((need) => PREREQUISITES[need]).join('; ')}`, missing }];
    });
    const able = ours.filter(({ name }) => !notRun.some((one) => one.name === name));
    if (able.length === 0) throw new Error('there is no fault to inject');
    const endMs = performance.now() + this.#options.minutes * 60_000;
    for (let number = 1; performance.now() < endMs && !this.#over.signal.aborted; number += 1) {
      const forMs = Math.min(
        this.#options.segmentSeconds * 1_000,
        Math.max(5_000, endMs - performance.now()),
      );
      await this.#segment({ target, kinds: able, number, forMs });
      if (this.#violations.length > 0) break;
    }
    return notRun;
  }

  async #segment<T extends Target>(options: {
    target: T;
    kinds: readonly FaultKind<T>[];
    number: number;
    forMs: number;
  }): Promise<void> {
    const { target, kinds, number, forMs } = options;
    const { seed, pauseFactor } = this.#options;
    this.#expected.clear();
    const segment =
      target instanceof HoldfastTarget
        ? await Segment.begin({ target, dir: this.#stage.dir, number, seed, pauseFactor })
        : null;
    this.#note = (text) => {
      segment?.note(text);
      if (this.#options.verbose) this.#say(`  ${(performance.now() / 1_000).toFixed(1)} ${text}`);
    };
    const probe = new RecoveryProbe(target.prober());
    const { scheduler, world } = this.#scheduler(target, kinds);
    const watched = new AbortController();
    const watching = this.#watch(target, watched.signal);
    const endMs = performance.now() + forMs;
    this.#rekeys?.start();
    try {
      await checkSteadyLeader({ kinds, world, scheduler, note: (text) => this.#note(text) });
      await scheduler.run(endMs - performance.now(), this.#over.signal);
      for (const name of target.members()) if (!target.isRunning(name)) target.start(name);
      const quietMs = performance.now();
      const recoveredMs = await probe.recovered(quietMs, RECOVER_WITHIN_MS);
      if (recoveredMs === null)
        this.#violation(
          `no write and read within ${RECOVER_WITHIN_MS} ms after the last fault\n${target.lastWords()}`,
        );
      await probe.stop();
      await this.#rekeys?.pause();
      scheduler.measure(probe);
      this.#operations += probe.attempts;
      await segment?.stopTraffic();
      if (segment !== null && recoveredMs !== null)
        for (const problem of await segment.converge()) this.#violation(problem);
    } finally {
      watched.abort();
      await watching;
      await probe.stop();
      await this.#rekeys?.pause();
      await segment?.close();
      this.#records.push(...scheduler.records);
    }
    if (segment !== null) {
      this.#operations += segment.operations;
      this.#checks.push(checkHistoryFile(segment.historyPath));
    }
    const violations = this.#violations.length === 0 ? '' : `, ${this.#violations.length} VIOLATIONS`;
    this.#say(
      `segment ${number}: ${scheduler.records.filter(({ struck }) => struck).length} faults, ${segment?.operations ?? probe.attempts} operations${violations}`,
    );
  }

  /** Asks the nodes over and over: see `onStatus`. */
  async #watch(target: Target, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await target.leader();
      await waitFor(WATCH_EVERY_MS, signal);
    }
  }

  #scheduler<T extends Target>(
    target: T,
    kinds: readonly FaultKind<T>[],
  ): { readonly scheduler: Scheduler<T>; readonly world: World<T> } {
    const world: World<T> = {
      target,
      network: this.#stage.network,
      disks: this.#stage.disks,
      random: this.#random,
      unharmed: () =>
        target.members().filter((name) => !scheduler.held().has(name) && target.isRunning(name)),
      expectExit: (name) => this.#expected.add(name),
      holdKeys: async () => {
        await this.#rekeys?.pause();
        return () => this.#rekeys?.start();
      },
      violation: (text) => this.#violation(text),
    };
    const scheduler = new Scheduler<T>({ kinds, world, note: (text) => this.#note(text) });
    return { scheduler, world };
  }

  #violation(text: string): void {
    this.#violations.push(text);
    this.#say(`VIOLATION ${text}`);
  }
}

/** Sets the stage, runs, and clears it again. What went wrong is in the summary. */
export async function runChaos(options: ChaosOptions, say: (text: string) => void): Promise<ChaosSummary> {
  const stage = await setStage(options);
  try {
    const summary = await new ChaosRun(options, stage, say).run();
    if (summary.dir === null) return summary;
    writeFileSync(join(stage.dir, 'summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
    stage.keep();
    return summary;
  } finally {
    await stage.cleanup.run();
  }
}
