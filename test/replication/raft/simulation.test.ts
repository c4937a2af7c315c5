import { describe, expect, test } from 'vitest';
import type { SeededRandom } from '../../../src/base/random.ts';
import { isJoint } from '../../../src/replication/raft/configuration.ts';
import type { MemberChange } from '../../../src/replication/raft/types.ts';
import { Cluster, lastOnDisk, type Machine } from './cluster.ts';

const SEEDS = Number(process.env['RAFT_SEEDS'] ?? 100);
const FIRST_SEED = Number(process.env['RAFT_FIRST_SEED'] ?? 1);
const STEPS = Number(process.env['RAFT_STEPS'] ?? 2_500);

/** Drops, duplicates, delays, reorders, cuts links, crashes, holds disks, compacts and changes members, all from a seed. */
class Chaos {
  readonly cluster: Cluster;
  /** Disks lose what was durable, which is found out, on a minority at a time; members do not change then. */
  readonly #losses: boolean;
  losses = 0;
  readonly #random: SeededRandom;
  readonly #cut = new Set<string>();
  #requestId = 0;
  #proposals = 0;

  constructor(seed: number, { losses = false } = {}) {
    this.#losses = losses;
    const size = seed % 4 === 0 ? 5 : 3;
    const voters = Array.from({ length: size }, (_, at) => at + 1);
    this.cluster = new Cluster({ voters, blank: [size + 1, size + 2], seed });
    this.cluster.keepSent = false;
    this.#random = this.cluster.random;
    this.cluster.lose = (message) => this.#cut.has(`${message.from}>${message.to}`) || this.#chance(20);
  }

  #chance(oneIn: number): boolean {
    return this.#random.integer({ min: 0, max: oneIn }) === 0;
  }

  #pick<T>(items: readonly T[]): T | undefined {
    return items[this.#random.integer({ min: 0, max: Math.max(1, items.length) })];
  }

  run(steps: number): void {
    for (let step = 0; step < steps; step += 1) this.#step();
  }

  #step(): void {
    const machine = this.#pick([...this.cluster.machines.values()]);
    if (machine === undefined) return;
    if (machine.raft === null) {
      if (this.#chance(8)) this.cluster.start(machine);
      return;
    }
    const dice = this.#random.integer({ min: 0, max: 100 });
    if (dice < 50) this.#deliverSome();
    else if (dice < 60) this.#tickMost();
    else if (dice < 84) this.#io(machine);
    else this.#disturb(this.#towardsLeader(machine), dice);
    if (machine.raft !== null) this.cluster.drain(machine);
  }

  /** Clocks run at about the same speed. */
  #tickMost(): void {
    for (const machine of this.cluster.machines.values()) {
      if (machine.raft === null || this.#chance(6)) continue;
      machine.raft.tick();
      this.cluster.drain(machine);
    }
  }

  /** Mostly a leader, since the others refuse most requests. */
  #towardsLeader(machine: Machine): Machine {
    return this.#chance(3) ? machine : (this.#pick(this.cluster.leaders) ?? machine);
  }

  #deliverSome(): void {
    const { network } = this.cluster;
    const count = this.#random.integer({ min: 1, max: 6 });
    for (let at = 0; at < count && network.length > 0; at += 1) {
      const from = this.#chance(4) ? this.#random.integer({ min: 0, max: network.length }) : 0;
      const [message] = this.#chance(15) ? [network[from]] : network.splice(from, 1);
      if (message === undefined) continue;
      this.cluster.deliver(message);
      const receiver = this.cluster.machines.get(message.to);
      if (receiver !== undefined && receiver.raft !== null) this.cluster.drain(receiver);
    }
    // Old messages are lost rather than kept for ever.
    if (network.length > 200) network.splice(0, 50);
  }

  #io(machine: Machine): void {
    while (machine.writes.length > 0 && !this.#chance(4)) this.cluster.completeWrite(machine);
    if (!this.#chance(4)) this.cluster.applyAll(machine);
    if (machine.wanted !== null && this.#chance(3)) this.cluster.fetchSnapshot(machine);
  }

  #disturb(machine: Machine, dice: number): void {
    if (dice < 90) {
      for (let count = this.#random.integer({ min: 1, max: 5 }); count > 0; count -= 1)
        this.#propose(machine);
    } else if (dice < 94) {
      this.#requestId += 1;
      this.cluster.oracle.readRequested(machine, this.#requestId);
      machine.core.requestRead(this.#requestId);
    } else if (dice < 95) {
      if (!this.#losses) this.#changeMembers(machine);
    } else if (dice < 96) {
      this.#rarely(machine);
    } else if (dice < 98) {
      this.cluster.checkpoint(machine);
      if (this.#chance(2)) this.cluster.compact(machine, this.#random.integer({ min: 0, max: 10 }));
    } else if (this.#chance(3)) {
      if (this.#losses && this.#chance(2)) this.#lose(machine);
      else this.cluster.crash(machine);
    } else {
      this.#moveCuts();
    }
  }

  #lose(machine: Machine): void {
    const machines = [...this.cluster.machines.values()];
    const { voters } = machine.core.configuration;
    const suspect = machines.filter(({ id, suspectUntil }) => id !== machine.id && suspectUntil !== null);
    const last = lastOnDisk(machine.disk);
    const held = last - machine.disk.base.index;
    if ((suspect.length + 1) * 2 >= voters.length || held === 0) return;
    const keep = machine.disk.base.index + this.#random.integer({ min: 0, max: held });
    // The watermark is behind by a batch at times.
    this.cluster.loseTail(machine, { keep, until: this.#random.integer({ min: keep + 1, max: last + 1 }) });
    this.losses += 1;
  }

  #propose(machine: Machine): void {
    this.#proposals += 1;
    const payload = Buffer.alloc(this.#random.integer({ min: 1, max: 300 }), `p${this.#proposals}`);
    machine.core.propose(() => payload);
  }

  #rarely(machine: Machine): void {
    const other = this.#pick([...this.cluster.machines.keys()]);
    if (other !== undefined && other !== machine.id && this.#chance(2))
      machine.core.transferLeadership(other);
    else if (this.#chance(4)) machine.core.campaign();
  }

  #moveCuts(): void {
    if (this.#chance(2)) return this.#cut.clear();
    const ids = [...this.cluster.machines.keys()];
    const from = this.#pick(ids);
    const to = this.#pick(ids);
    if (from === undefined || to === undefined) return;
    this.#cut.add(`${from}>${to}`);
    if (this.#chance(2)) this.#cut.add(`${to}>${from}`);
  }

  #changeMembers(machine: Machine): void {
    const ids = [...this.cluster.machines.keys()];
    const changes: MemberChange[] = [];
    for (let count = this.#random.integer({ min: 1, max: 3 }); count > 0; count -= 1) {
      const id = this.#pick(ids);
      if (id === undefined) continue;
      const role = this.#chance(2) ? 'voter' : 'learner';
      changes.push(this.#chance(4) ? { kind: 'remove', nodeId: id } : { kind: 'set', nodeId: id, role });
    }
    machine.core.proposeConfiguration(changes, () => Buffer.from('who'));
  }

  /** Phase two: everything works again; the cluster must come to rest, in one configuration, with one state. */
  heal(): void {
    this.cluster.heal();
    this.#cut.clear();
    for (const machine of this.cluster.machines.values()) {
      if (machine.raft === null) this.cluster.start(machine);
    }
    for (let tick = 0; tick < 200 && !this.#quiet(); tick += 1) this.cluster.tickAll();
  }

  #quiet(): boolean {
    const [leader, second] = this.cluster.leaders;
    if (leader === undefined || second !== undefined) return false;
    const status = leader.core.status();
    return (
      status.commit === status.lastIndex &&
      status.applied === status.commit &&
      status.transferTarget === null &&
      [...this.cluster.machines.values()].every(({ suspectUntil }) => suspectUntil === null) &&
      status.progress.every(({ suspect }) => !suspect) &&
      !isJoint(status.configuration) &&
      status.progress.every((member) => this.cluster.machines.get(member.nodeId)?.applied === status.commit)
    );
  }
}

describe('random runs', () => {
  test(`${SEEDS} seeds keep every invariant and come to rest`, () => {
    let reads = 0;
    let committed = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
      const chaos = new Chaos(seed);
      try {
        chaos.run(STEPS);
        chaos.heal();
        finish(chaos.cluster);
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      }
      reads += chaos.cluster.oracle.readsAnswered;
      committed += chaos.cluster.oracle.maxCommit;
    }
    // The runs must do something, or they prove nothing.
    expect(committed).toBeGreaterThan(SEEDS * 20);
    expect(reads).toBeGreaterThan(SEEDS);
  }, 600_000);

  test(`${SEEDS} seeds in which disks lose what was acknowledged lose nothing that was committed`, () => {
    let losses = 0;
    for (let seed = FIRST_SEED; seed < FIRST_SEED + SEEDS; seed += 1) {
      const chaos = new Chaos(seed, { losses: true });
      try {
        chaos.run(STEPS);
        chaos.heal();
        finish(chaos.cluster);
      } catch (error) {
        throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
      }
      losses += chaos.losses;
    }
    expect(losses).toBeGreaterThan(SEEDS);
  }, 600_000);
});

function finish(cluster: Cluster): void {
  const [leader] = cluster.leaders;
  if (leader === undefined) throw new Error(`no leader after healing ${describeCluster(cluster)}`);
  const place = leader.core.propose(() => Buffer.from('the last one'));
  cluster.settle();
  cluster.tickAll(3);
  const status = leader.core.status();
  if ('refused' in place || status.commit < place.index)
    throw new Error(`no commit after healing ${describeCluster(cluster)}`);
  for (const { nodeId: member, state } of status.progress) {
    const machine = cluster.machines.get(member);
    if (machine?.applied !== status.commit || machine.digest !== leader.digest) {
      throw new Error(`I37: ${member} (${state}) is not at the leader's state`);
    }
  }
}

function describeCluster(cluster: Cluster): string {
  return [...cluster.machines.values()]
    .map(({ id, core, disk, writes, toApply, wanted }) =>
      JSON.stringify({
        ...core.status(),
        id,
        base: core.base.index,
        disk: disk.base.index + disk.entries.length,
        writes: writes.length,
        toApply: toApply.length,
        wanted,
        dropped: [...core.dropped],
      }),
    )
    .join('\n');
}
