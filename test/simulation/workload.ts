import type { LogIndex, Term } from '../../src/base/ids.ts';
import type { Sealer } from '../../src/envelope/sealer.ts';
import { sealBatch } from '../../src/node/entryPayload.ts';
import type { Command, CommandBatch, Operation, Outcome, RequestId } from '../../src/proto/storage.ts';
import { COMPARE_TARGET, RELATION } from '../../src/proto/storage.ts';
import type { Machine } from './machine.ts';
import type { AppliedEvent } from './machineState.ts';
import type { Observer } from './observer.ts';
import type { World } from './world.ts';

const KEYS = ['a', 'b', 'c', 'd', 'e'] as const;
/** Of all that is asked. */
const READS = 0.4;
const BURSTS = 0.01;
const BURST_WRITES = 40;
const READERS = 12;
const PRINCIPAL = { kind: 'client', name: 'simulated', address: '' } as const;

/** One caller, who asks one thing at a time. */
interface Client {
  readonly number: number;
  clientId: number | null;
  nextNumber: number;
  /** What was sent and never answered; sent again under the same id. */
  open: Command | null;
  waiting: boolean;
}

/** What a machine owes to a caller once the entry at an index is applied there. */
interface Proposed {
  readonly term: Term;
  readonly life: number;
  readonly settle: (outcomes: readonly Outcome[] | null) => void;
}

/** Callers who write under request ids, read with barriers, and try again at another node. */
export class Workload {
  readonly #world: World;
  readonly #observer: Observer;
  readonly #sealer: Sealer;
  readonly #clients: Client[];
  readonly #proposed = new Map<Machine, Map<LogIndex, Proposed>>();
  #reading = 0;
  #stopped = false;
  #value = 0;
  counts = { asked: 0, written: 0, read: 0, refused: 0, repeated: 0, unknown: 0 };

  constructor({ world, observer, sealer }: { world: World; observer: Observer; sealer: Sealer }) {
    this.#world = world;
    this.#observer = observer;
    this.#sealer = sealer;
    this.#clients = Array.from({ length: world.knobs.clients }, (_, number) => ({
      number,
      clientId: null,
      nextNumber: 1,
      open: null,
      waiting: false,
    }));
  }

  start(): void {
    const world = this.#world;
    const next = (): void => {
      world.plan(world.chances.work.wait(world.knobs.workEveryMs), 'work', () => {
        if (this.#stopped) return;
        next();
        this.#ask();
      });
    };
    next();
  }

  /** An entry was applied on a machine: whoever proposed it there has an answer, or knows that it was not it. */
  applied(machine: Machine, { entry, outcomes }: AppliedEvent): void {
    const ofMachine = this.#proposed.get(machine);
    const proposed = ofMachine?.get(entry.index);
    if (ofMachine === undefined || proposed === undefined) return;
    ofMachine.delete(entry.index);
    const own = proposed.life === machine.life && proposed.term === entry.term;
    proposed.settle(own ? outcomes : null);
  }

  /** Proposes one command at this machine; its index, or null when it was not taken. */
  write(machine: Machine, command: Command, settle: Proposed['settle']): LogIndex | null {
    const running = machine.running;
    if (running === null) return null;
    const timeMs = Math.max(running.store.logTimeMs, machine.clock.wallMs());
    const batch: CommandBatch = { timeMs, commands: [command] };
    const proposal = running.log.propose((place) => sealBatch(this.#sealer, batch, place));
    if ('refused' in proposal) return null;
    const ofMachine = this.#proposed.get(machine) ?? new Map<LogIndex, Proposed>();
    this.#proposed.set(machine, ofMachine);
    ofMachine.set(proposal.place.index, { term: proposal.place.term, life: machine.life, settle });
    return proposal.place.index;
  }

  /** Nobody asks for anything any more. */
  stop(): void {
    this.#stopped = true;
  }

  plainWrite(padding = ''): Command {
    this.#value += 1;
    const value = `plain-${this.#value}${padding}`;
    return commandOf({ transaction: { compares: [], success: [put('z', value)], failure: [] } });
  }

  #ask(): void {
    const { work } = this.#world.chances;
    const machine = this.#choose();
    if (machine === undefined) return;
    this.counts.asked += 1;
    if (work.happens(READS)) return this.#read(machine);
    if (work.happens(BURSTS)) return this.#burst(machine);
    const client = work.pick(this.#clients);
    if (client !== undefined && !client.waiting) this.#write(client, machine);
  }

  /** More than may wait at once. */
  #burst(machine: Machine): void {
    for (let count = 0; count < BURST_WRITES; count += 1) {
      const index = this.write(machine, this.plainWrite('.'.repeat(200)), () => undefined);
      if (index === null) this.counts.refused += 1;
    }
  }

  /** Mostly who leads, now and then anybody. */
  #choose(): Machine | undefined {
    const { work } = this.#world.chances;
    const up = [...this.#world.machines.values()].filter(
      ({ running, paused }) => running !== null && !paused,
    );
    const leaders = up.filter(({ running }) => running?.log.status().role === 'leader');
    return work.pick(leaders.length > 0 && work.happens(0.85) ? leaders : up);
  }

  /** Nobody's in particular: readers do not wait for each other, so that those at a leader that is none are seen. */
  #read(machine: Machine): void {
    const running = machine.running;
    if (running === null || this.#reading >= READERS) return;
    const askedAtCommit = Math.max(this.#observer.maxCommit, this.#observer.history.maxAnswered);
    const { life } = machine;
    let open = true;
    this.#reading += 1;
    const done = (): void => {
      if (open) this.#reading -= 1;
      open = false;
    };
    // A machine that has crashed answers nobody.
    this.#world.plan(3_000, 'work', done);
    running.read.linearizable(machine.clock.monotonicMs() + 2_000).then(() => {
      done();
      if (machine.life !== life) return;
      this.#world.guard(() =>
        this.#observer.history.read(machine, { applied: running.store.applied.index, askedAtCommit }),
      );
      this.counts.read += 1;
    }, done);
  }

  #write(client: Client, machine: Machine): void {
    const again = client.open !== null;
    const command = client.open ?? this.#nextCommand(client);
    const askedAt = this.#observer.history.maxAnswered;
    let settled = false;
    let index: LogIndex | null = null;
    const settle = (outcomes: readonly Outcome[] | null): void => {
      if (settled) return;
      settled = true;
      client.waiting = false;
      if (outcomes === null || index === null) {
        this.counts.unknown += 1;
        return;
      }
      this.#settled(client, { command, outcome: outcomes[0], index, askedAt, again });
    };
    index = this.write(machine, command, settle);
    if (index === null) {
      this.counts.refused += 1;
      return;
    }
    if (again) this.counts.repeated += 1;
    client.waiting = true;
    client.open = command;
    this.#world.plan(this.#world.chances.work.between(300, 3_000), 'work', () => settle(null));
  }

  #settled(
    client: Client,
    answer: {
      command: Command;
      outcome: Outcome | undefined;
      index: LogIndex;
      askedAt: LogIndex;
      again: boolean;
    },
  ): void {
    const { command, outcome, index, askedAt, again } = answer;
    client.open = null;
    this.counts.written += 1;
    if (!again && outcome?.replayed !== true)
      this.#world.guard(() => this.#observer.history.answered({ index, askedAt }));
    if (command.registerClient) {
      client.clientId = outcome?.client?.clientId ?? null;
      client.nextNumber = 1;
    } else if (outcome?.failure?.code === 'REQUEST_FORGOTTEN') {
      client.clientId = null;
    }
  }

  #nextCommand(client: Client): Command {
    const { work } = this.#world.chances;
    if (client.clientId === null) return commandOf({ registerClient: {} });
    if (work.happens(0.03)) return commandOf({ advanceTime: {} });
    const request: RequestId = {
      clientId: client.clientId,
      number: client.nextNumber,
      floor: Math.max(1, client.nextNumber - 1),
    };
    client.nextNumber += 1;
    return commandOf({ request, transaction: this.#transaction() });
  }

  #transaction(): NonNullable<Command['transaction']> {
    const { work } = this.#world.chances;
    this.#value += 1;
    const key = work.pick(KEYS) ?? 'a';
    const other = work.pick(KEYS) ?? 'b';
    const value = `${this.#value}`.padEnd(work.happens(0.1) ? 600 : 8, '.');
    const compares = work.happens(0.3)
      ? [
          {
            key: Buffer.from(key),
            relation: RELATION.GREATER,
            target: COMPARE_TARGET.VERSION,
            value: Buffer.alloc(0),
            number: work.integer(0, 2),
          },
        ]
      : [];
    const success: Operation[] = work.happens(0.15) ? [remove(key)] : [put(key, value)];
    if (other !== key && work.happens(0.2)) success.push(put(other, value));
    return { compares, success, failure: compares.length > 0 ? [put(key, 'else')] : [] };
  }
}

function commandOf(body: Partial<Command>): Command {
  return { origin: '', sequence: 0, ...body, principal: PRINCIPAL };
}

function put(key: string, value: string): Operation {
  return { put: { key: Buffer.from(key), value: Buffer.from(value), previous: false } };
}

function remove(key: string): Operation {
  return { delete: { range: { start: Buffer.from(key), end: Buffer.from(`${key}\0`) }, previous: false } };
}
