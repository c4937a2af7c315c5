import type { NodeId } from '../../src/base/ids.ts';
import type { Sealer } from '../../src/envelope/sealer.ts';
import { sealContext } from '../../src/node/entryPayload.ts';
import { membersOf } from '../../src/replication/raft/configuration.ts';
import type { Configuration, MemberChange } from '../../src/replication/raft/types.ts';
import { loseTail } from './damage.ts';
import type { Fault } from './knobs.ts';
import type { Machine } from './machine.ts';
import type { Network } from './network.ts';
import type { Observer } from './observer.ts';
import type { World } from './world.ts';

export const MACHINES_MAX = 7;

export interface FaultParts {
  readonly world: World;
  readonly network: Network;
  readonly sealer: Sealer;
  /** Sets up one more machine, with nothing on it. */
  readonly addMachine: () => Machine | null;
  readonly observer: Observer;
}

/** Does harm, at random times, of the kinds that this run has. */
export class Faults {
  readonly #parts: FaultParts;
  /** Ids that were members once; they never come back. */
  readonly #joined = new Set<NodeId>();
  counts = new Map<string, number>();

  constructor(parts: FaultParts) {
    this.#parts = parts;
  }

  start(): void {
    const { world } = this.#parts;
    const kinds: readonly (readonly [Fault, () => void])[] = [
      ['cuts', () => this.#cut({ oneWay: false })],
      ['oneWayCuts', () => this.#cut({ oneWay: true })],
      ['crashes', () => this.#crashOne()],
      ['massCrashes', () => this.#crashMany()],
      ['assassinations', () => this.#assassinate()],
      ['pauses', () => this.#pause()],
      ['clockJumps', () => this.#jumpClock()],
      ['slowDisks', () => this.#slowDisk()],
      ['hungDisks', () => this.#hangDisk()],
      ['diskErrors', () => this.#failDisk()],
      ['transfers', () => this.#transfer()],
      ['lostTails', () => this.#loseTail()],
    ];
    for (const [fault, harm] of kinds) {
      if (world.knobs.faults.has(fault)) this.#every(world.knobs.faultEveryMs * 4, harm);
    }
    if (world.knobs.faults.has('membership'))
      this.#every(world.knobs.faultEveryMs / 3, () => this.#changeMembers());
    this.#every(200, () => this.#repair());
  }

  #every(meanMs: number, harm: () => void): void {
    const { world } = this.#parts;
    const again = (): void =>
      world.plan(world.chances.faults.wait(meanMs), 'fault', () => {
        if (!world.faulty) return;
        again();
        harm();
      });
    again();
  }

  #count(fault: string): void {
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
  }

  #machines(): Machine[] {
    return [...this.#parts.world.machines.values()].filter(({ scrapped }) => !scrapped);
  }

  #running(): Machine[] {
    return this.#machines().filter(({ running }) => running !== null);
  }

  #leader(): Machine | undefined {
    return this.#running().find(({ running }) => running?.log.status().role === 'leader');
  }

  /** A machine, every third time the one that leads. */
  #victim(): Machine | undefined {
    const { faults } = this.#parts.world.chances;
    const leader = faults.happens(0.33) ? this.#leader() : undefined;
    return leader ?? faults.pick(this.#running());
  }

  /** What is down comes up again, what is cut is mended: or nothing would ever go on. */
  #repair(): void {
    const { world, network } = this.#parts;
    const { faults } = world.chances;
    for (const machine of this.#machines()) {
      if (machine.running === null && !machine.starting && faults.happens(0.5)) machine.start();
      if (machine.diskFactor > 1 && faults.happens(0.2)) machine.diskFactor = 1;
    }
    if (network.cutLinks > 0 && faults.happens(0.15)) network.mend();
  }

  /** One node from all others, a pair, or two halves. */
  #cut({ oneWay }: { readonly oneWay: boolean }): void {
    const { world, network } = this.#parts;
    const { faults } = world.chances;
    const ids = [...world.machines.keys()];
    const shape = faults.pick(['one', 'pair', 'halves'] as const);
    const victim = this.#victim()?.nodeId ?? ids[0];
    const other = faults.pick(ids.filter((id) => id !== victim));
    const side = new Set<NodeId | undefined>(
      shape === 'halves' ? ids.filter(() => faults.happens(0.5)) : [victim],
    );
    const inbound = faults.happens(0.5);
    for (const from of ids) {
      for (const to of ids) {
        const crosses =
          shape === 'pair' ? isPair({ from, to }, { victim, other }) : side.has(from) !== side.has(to);
        if (!crosses || (oneWay && side.has(from) === inbound)) continue;
        network.cut(from, to);
      }
    }
    this.#count(oneWay ? 'oneWayCuts' : 'cuts');
  }

  #crashOne(): void {
    const victim = this.#victim();
    if (victim === undefined) return;
    this.#count('crashes');
    victim.crash();
  }

  #crashMany(): void {
    const { faults } = this.#parts.world.chances;
    if (!faults.happens(0.3)) return;
    this.#count('massCrashes');
    const all = faults.happens(0.5);
    for (const machine of this.#machines()) if (all || faults.happens(0.6)) machine.crash();
  }

  /**
   * One leader after another dies, or is cut off, soon after it was elected: entries of many terms lie about, each on a
   * few nodes (Raft, figure 8).
   */
  #assassinate(): void {
    const { world, network } = this.#parts;
    const { faults } = world.chances;
    this.#count('assassinations');
    const seen = new Set<number>();
    const endMs = world.timeMs + 1_500;
    const watch = (): void => {
      const leader = this.#leader();
      const term = leader?.running?.log.status().term ?? 0;
      if (leader !== undefined && !seen.has(term)) {
        seen.add(term);
        const cut = faults.happens(0.3);
        world.plan(faults.between(0, 6) * world.knobs.networkDelayMs, 'fault', () => {
          if (!world.faulty) return;
          if (cut) for (const to of world.machines.keys()) network.cut(leader.nodeId, to);
          else leader.crash();
        });
      }
      if (world.timeMs < endMs && world.faulty) world.plan(5, 'fault', watch);
    };
    watch();
  }

  #pause(): void {
    const { world } = this.#parts;
    const victim = this.#victim();
    if (victim === undefined || victim.paused) return;
    this.#count('pauses');
    victim.paused = true;
    const { life } = victim;
    const { electionTicksMin } = world.knobs;
    const timeoutMs = electionTicksMin * 50;
    world.plan(world.chances.faults.between(0.2, 6) * timeoutMs, 'fault', () => {
      if (victim.life === life) victim.resume();
    });
  }

  #jumpClock(): void {
    const { faults } = this.#parts.world.chances;
    const victim = faults.pick(this.#machines());
    if (victim === undefined) return;
    this.#count('clockJumps');
    victim.wallJumpMs += faults.pick([-3_600_000, -1_000, 1_000, 3_600_000]) ?? 0;
  }

  #slowDisk(): void {
    const victim = this.#victim();
    if (victim === undefined) return;
    this.#count('slowDisks');
    victim.diskFactor = this.#parts.world.chances.faults.pick([5, 20, 60]) ?? 5;
  }

  #hangDisk(): void {
    const { world } = this.#parts;
    const victim = this.#victim();
    if (victim === undefined) return;
    this.#count('hungDisks');
    victim.diskHungUntilMs = world.timeMs + world.chances.faults.between(100, 3_000);
  }

  #failDisk(): void {
    const { faults } = this.#parts.world.chances;
    const victim = faults.happens(0.5) ? this.#victim() : undefined;
    if (victim === undefined) return;
    this.#count('diskErrors');
    victim.failNextWrite = true;
  }

  /**
   * A machine that goes down comes up with a log that has lost what it had promised to keep: never so many that
   * nobody is left who holds it.
   */
  #loseTail(): void {
    const { world, observer } = this.#parts;
    const { damage } = world.chances;
    const victim = damage.pick(this.#machines().filter((machine) => observer.isNamed(machine)));
    if (victim === undefined || observer.isChangePending) return;
    const lost = new Set([...observer.damagedMachines, victim].map(({ nodeId }) => nodeId));
    const sets = observer.configurations.flatMap(({ voters, votersOutgoing }) => [voters, votersOutgoing]);
    for (const set of sets) {
      if (set.length > 0 && set.filter((nodeId) => lost.has(nodeId)).length * 2 >= set.length) return;
    }
    if (victim.running !== null || victim.starting) victim.crash();
    if (!loseTail(victim.disk, damage)) return;
    this.#count('lostTails');
    observer.damaged(victim);
  }

  #transfer(): void {
    const { faults } = this.#parts.world.chances;
    const asked = faults.happens(0.5) ? this.#leader() : faults.pick(this.#running());
    const status = asked?.running?.log.status();
    const target = status === undefined ? undefined : faults.pick(status.configuration.voters);
    if (target === undefined) return;
    this.#count('transfers');
    asked?.running?.log.transferLeadership(target);
  }

  #changeMembers(): void {
    const { sealer } = this.#parts;
    // Who takes voters out while another cannot be counted on leaves nobody to elect a leader.
    if (this.#parts.observer.damagedMachines.size > 0) return;
    const leader = this.#leader();
    const running = leader?.running;
    if (leader === undefined || running === null || running === undefined) return;
    const { configuration } = running.log.status();
    this.#scrapRemoved(configuration);
    const changes = this.#changes(configuration, leader.nodeId);
    if (changes.length === 0) return;
    const timeMs = Math.max(running.store.logTimeMs, leader.clock.wallMs());
    const outcome = running.log.proposeMembership(changes, (place) =>
      sealContext(sealer, { member: memberOf(changes[0]), timeMs }, place),
    );
    this.#count('refused' in outcome ? `members ${outcome.refused}` : 'membership');
  }

  /** A machine that was never a member: one that stands about, or a new one. */
  #spare(members: readonly NodeId[]): Machine | null {
    const { addMachine } = this.#parts;
    const idle = this.#machines().find(
      ({ nodeId }) => !members.includes(nodeId) && !this.#joined.has(nodeId),
    );
    return idle ?? addMachine();
  }

  /** Who was taken out is switched off a while later, so that there is room for others; until then it may disturb. */
  #scrapRemoved(configuration: Configuration): void {
    const { world } = this.#parts;
    const members = membersOf(configuration);
    for (const nodeId of members) this.#joined.add(nodeId);
    for (const machine of this.#machines()) {
      if (members.includes(machine.nodeId) || !this.#joined.has(machine.nodeId)) continue;
      const { nodeId } = machine;
      world.plan(world.chances.members.between(500, 3_000), 'fault', () => {
        if (!world.faulty || membersOf(this.#parts.observer.history.newestConfiguration).includes(nodeId))
          return;
        machine.scrapped = true;
        machine.crash();
      });
    }
  }

  /** One to three changes at once, of those that leave at least one voter. */
  #changes(configuration: Configuration, leader: NodeId): MemberChange[] {
    const { members } = this.#parts.world.chances;
    const { voters, learners } = configuration;
    const changes: MemberChange[] = [];
    const taken = new Set<NodeId>();
    for (let count = members.pick([1, 1, 2, 3, 5]) ?? 1; count > 0; count -= 1) {
      const kind = members.pick([
        'add',
        'add',
        'promote',
        'promote',
        'demote',
        'remove',
        'removeLeader',
      ] as const);
      const change = this.#change(kind ?? 'add', { voters, learners, leader });
      if (change === null || taken.has(change.nodeId)) continue;
      taken.add(change.nodeId);
      changes.push(change);
    }
    const leaving = changes.filter(
      (change) => voters.includes(change.nodeId) && (change.kind === 'remove' || change.role === 'learner'),
    );
    return leaving.length < voters.length ? changes : [];
  }

  #change(
    kind: 'add' | 'promote' | 'demote' | 'remove' | 'removeLeader',
    { voters, learners, leader }: { voters: readonly NodeId[]; learners: readonly NodeId[]; leader: NodeId },
  ): MemberChange | null {
    const { members } = this.#parts.world.chances;
    const voter = members.pick(voters);
    const learner = members.pick(learners);
    switch (kind) {
      case 'add': {
        const machine = this.#spare([...voters, ...learners]);
        const role = members.happens(0.3) ? 'voter' : 'learner';
        return machine === null ? null : { kind: 'set', nodeId: machine.nodeId, role };
      }
      case 'promote':
        return learner === undefined ? null : { kind: 'set', nodeId: learner, role: 'voter' };
      case 'demote':
        return voter === undefined ? null : { kind: 'set', nodeId: voter, role: 'learner' };
      case 'remove': {
        const gone = members.happens(0.5) ? learner : voter;
        return gone === undefined ? null : { kind: 'remove', nodeId: gone };
      }
      case 'removeLeader':
        return { kind: 'remove', nodeId: leader };
      default:
        return null;
    }
  }
}

function isPair(
  link: { readonly from: NodeId; readonly to: NodeId },
  { victim, other }: { readonly victim: NodeId | undefined; readonly other: NodeId | undefined },
): boolean {
  return (link.from === victim && link.to === other) || (link.from === other && link.to === victim);
}

function memberOf(change: MemberChange | undefined) {
  if (change === undefined || change.kind === 'remove') return null;
  const { nodeId, role } = change;
  const address = `${nodeId}:7441`;
  return { nodeId, name: nodeId, peerAddress: address, apiAddress: address, wantedRole: role };
}
