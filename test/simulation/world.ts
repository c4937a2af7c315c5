import type { NodeId } from '../../src/base/ids.ts';
import type { Chances } from './chance.ts';
import { ANY_LIFE, EventQueue, type Happening } from './eventQueue.ts';
import type { Knobs } from './knobs.ts';
import type { Machine } from './machine.ts';

/** A check of the simulation failed: the run stops here. */
export class SimulationFailure extends Error {
  override readonly name = 'SimulationFailure';
}

/** What is to happen, and how long from now. */
export interface Planned {
  readonly delayMs: number;
  readonly kind: Happening['kind'];
  readonly run: () => void;
}

/** Time and what will happen in it, and what all parts of one run share. */
export class World {
  readonly chances: Chances;
  readonly knobs: Knobs;
  readonly machines = new Map<NodeId, Machine>();
  readonly #queue = new EventQueue();
  #timeMs = 0;
  #order = 0;
  /** Faults of any kind go on; false from when the run heals. */
  faulty = true;
  failure: Error | null = null;

  constructor(options: { readonly chances: Chances; readonly knobs: Knobs }) {
    this.chances = options.chances;
    this.knobs = options.knobs;
  }

  get timeMs(): number {
    return this.#timeMs;
  }

  /** Plans something for the world as a whole. */
  plan(delayMs: number, kind: Happening['kind'], run: () => void): void {
    this.#push({ delayMs, kind, run }, null, ANY_LIFE);
  }

  /** Plans something for one machine; void when it has crashed by then, late when it is paused. */
  planFor(machine: Machine, planned: Planned): void {
    this.#push(planned, machine, machine.life);
  }

  /** Plans something for a machine in whatever life it is then. */
  planForAnyLife(machine: Machine, planned: Planned): void {
    this.#push(planned, machine, ANY_LIFE);
  }

  /** Puts back what a pause has kept from happening. */
  replan(event: Happening): void {
    this.#order += 1;
    this.#queue.push({ ...event, timeMs: this.#timeMs, order: this.#order });
  }

  /** The next thing that happens now, or null when nothing ever will. What is void is passed over. */
  next(): Happening | null {
    for (;;) {
      const event = this.#queue.pop();
      if (event === undefined) return null;
      this.#timeMs = Math.max(this.#timeMs, event.timeMs);
      const { machine, life } = event;
      if (machine === null) return event;
      if (life !== ANY_LIFE && life !== machine.life) continue;
      if (!machine.paused) return event;
      machine.defer(event);
    }
  }

  fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error : new SimulationFailure(String(error));
  }

  /** Runs a check or a step of a machine whose failure ends the run. */
  guard(step: () => void): void {
    try {
      step();
    } catch (thrown) {
      this.fail(thrown);
    }
  }

  check(condition: boolean, message: () => string): void {
    if (!condition) throw new SimulationFailure(message());
  }

  #push({ delayMs, kind, run }: Planned, machine: Machine | null, life: number): void {
    this.#order += 1;
    this.#queue.push({ timeMs: this.#timeMs + delayMs, order: this.#order, machine, life, kind, run });
  }
}
