import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { SeededRandom } from '../../src/base/random.ts';
import { Submit, type SubmitPorts } from '../../src/node/submit.ts';
import type { Command, CommandBatch, Outcome, RequestId } from '../../src/proto/storage.ts';
import type { Place } from '../../src/replication/raft/types.ts';

export const LEADER = '00000000000000b1' as NodeId;

export const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** The ways out of submit, with everything that left by them, and the answers to give. */
export class FakeSubmitPorts implements SubmitPorts {
  leader = true;
  hasLeader = true;
  term = 1;
  nextIndex = 1;
  refusal: string | null = null;
  unflushed = 0;
  away: HoldfastError | null = null;
  stamps = 0;
  tries = 0;
  readonly proposed: { place: Place; batch: CommandBatch }[] = [];
  readonly forwarded: { sequence: number; commands: readonly Command[] }[] = [];

  isLeader(): boolean {
    return this.leader;
  }

  propose(batch: CommandBatch): { place: Place } | { refused: string } {
    this.tries += 1;
    if (this.refusal !== null) return { refused: this.refusal };
    const place = { index: this.nextIndex, term: this.term };
    this.nextIndex += 1;
    this.proposed.push({ place, batch });
    return { place };
  }

  forward(commands: readonly Command[], sequence: number): NodeId | null {
    this.tries += 1;
    if (!this.hasLeader) return null;
    this.forwarded.push({ sequence, commands });
    return LEADER;
  }

  stampMs(): number {
    this.stamps += 1;
    return this.stamps;
  }

  unflushedBytes(): number {
    return this.unflushed;
  }

  turnedAway(): HoldfastError | null {
    return this.away;
  }
}

/** What has become of one write. */
export interface Fate {
  state: string;
}

/** A submit between fake ports and a log that is played by hand. */
export class SubmitRig {
  readonly clock = new ManualClock();
  readonly ports = new FakeSubmitPorts();
  readonly submit = new Submit({
    ports: this.ports,
    clock: this.clock,
    random: new SeededRandom(7),
    nodeId: '00000000000000aa',
  });
  #requests = 0;

  write(options: { valueBytes?: number; deadlineMs?: number; request?: boolean } = {}): Fate {
    const { valueBytes = 1, deadlineMs = 1_000, request = false } = options;
    this.#requests += 1;
    const put = { key: Buffer.from('k'), value: Buffer.alloc(valueBytes), previous: false };
    const requestId: RequestId | null = request ? { clientId: 1, number: this.#requests, floor: 1 } : null;
    const fate: Fate = { state: 'waiting' };
    const transaction = { compares: [], success: [{ put }], failure: [] };
    this.submit.submit({ principal: null, request: requestId, transaction }, deadlineMs).then(
      (outcome) => {
        fate.state = `revision ${outcome.transaction?.revision}`;
      },
      (thrown: unknown) => {
        fate.state = thrown instanceof HoldfastError ? thrown.code : `odd: ${String(thrown)}`;
      },
    );
    return fate;
  }

  /** The log commits what was proposed there. */
  commit(at: number): void {
    const { place, batch } = this.#proposedAt(at);
    if (this.submit.takeProposed(place) !== batch) throw new Error('the proposer keeps its batch');
    this.apply(batch.commands);
  }

  /** Applied, from wherever it was proposed. */
  apply(commands: readonly Command[]): void {
    const outcomes: Outcome[] = commands.map(({ sequence }) => ({
      transaction: { revision: sequence, succeeded: true, operations: [] },
      replayed: false,
    }));
    this.submit.applied({ timeMs: 1, commands }, outcomes);
  }

  #proposedAt(at: number): { place: Place; batch: CommandBatch } {
    const proposed = this.ports.proposed[at];
    if (proposed === undefined) throw new Error(`nothing was proposed as number ${at}`);
    return proposed;
  }
}
