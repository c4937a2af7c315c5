import type { NodeId } from '../../src/base/ids.ts';
import type { Message } from '../../src/replication/raft/types.ts';
import { CLOCK_RATE_MAX, type Machine, TICK_MS } from './machine.ts';
import { isQuorum } from './quorums.ts';
import type { World } from './world.ts';

/** Only who leads, or believes so, sends these. */
const LEADING: ReadonlySet<Message['type']> = new Set(['append', 'commit', 'heartbeat', 'snapshotOffer']);

/** Whom a leader has heard since a quorum last spoke to it. */
interface Listening {
  readonly from: Set<NodeId>;
  quietTimers: number;
}

/** Sees that nobody leads whom a quorum does not hear, or whose disk has stopped. */
export class QuorumWatch {
  readonly #world: World;
  readonly #heard = new Map<Machine, Listening>();

  constructor(world: World) {
    this.#world = world;
  }

  crashed(machine: Machine): void {
    this.#heard.delete(machine);
  }

  /** A message has arrived; who is heard counts for the check of a leader's quorum. */
  heard(machine: Machine, from: NodeId): void {
    this.#listening(machine).from.add(from);
  }

  /**
   * CheckQuorum: a leader that a quorum has not spoken to for several of its election timeouts does not lead any more.
   */
  timerFired(machine: Machine): void {
    const status = machine.running?.log.status();
    const listening = this.#listening(machine);
    const { electionTicksMin } = this.#world.knobs;
    if (status === undefined || status.role !== 'leader') {
      listening.from.clear();
      listening.quietTimers = 0;
      return;
    }
    const heard = new Set([...listening.from, machine.nodeId]);
    listening.quietTimers += 1;
    if (isQuorum(status.configuration, heard)) {
      listening.from.clear();
      listening.quietTimers = 0;
    }
    this.#check(
      listening.quietTimers <= 4 * electionTicksMin + 20,
      () =>
        `CheckQuorum: ${machine.nodeId} leads, and has not heard from a quorum for ${listening.quietTimers} ticks`,
    );
  }

  #listening(machine: Machine): Listening {
    const known = this.#heard.get(machine);
    if (known !== undefined) return known;
    const listening: Listening = { from: new Set<NodeId>(), quietTimers: 0 };
    this.#heard.set(machine, listening);
    return listening;
  }

  /** F5: a leader whose disk hangs does not keep its followers. */
  sent(machine: Machine, message: Message): void {
    if (!LEADING.has(message.type)) return;
    const { electionTicksMin } = this.#world.knobs;
    // While a machine stood still it could not hear of its disk; its host counts whole ticks, by a clock of its own.
    const pendingMs = Math.min(
      machine.running?.wal.pendingWriteMs() ?? 0,
      (this.#world.timeMs - machine.resumedAtMs) * CLOCK_RATE_MAX,
    );
    this.#check(
      pendingMs <= (electionTicksMin + 2) * TICK_MS * CLOCK_RATE_MAX,
      () =>
        `F5: ${machine.nodeId} sends ${message.type}, and its disk has not answered for ${Math.round(pendingMs)} ms`,
    );
  }

  #check(condition: boolean, message: () => string): void {
    this.#world.check(condition, message);
  }
}
