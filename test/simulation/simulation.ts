import type { NodeId } from '../../src/base/ids.ts';
import type { Message } from '../../src/replication/raft/types.ts';
import { chancesOf } from './chance.ts';
import { convergence } from './convergence.ts';
import type { Coverage } from './coverage.ts';
import { disturbance } from './disturbance.ts';
import { Faults, MACHINES_MAX } from './faults.ts';
import { genesisOf, sealerOf } from './genesis.ts';
import type { Fault } from './knobs.ts';
import { drawKnobs, type KnobChoice, type Knobs } from './knobs.ts';
import { Machine } from './machine.ts';
import { Network } from './network.ts';
import { Observer } from './observer.ts';
import { Workload } from './workload.ts';
import { SimulationFailure, World } from './world.ts';

export interface RunOptions extends KnobChoice {
  readonly seed: number;
  /** Events with faults; the healing that follows takes more. */
  readonly steps: number;
  readonly coverage?: Coverage;
  /** Every event, as a line; for looking into one run. */
  readonly trace?: (line: string) => void;
  /** Messages too, when they are sent. */
  readonly messages?: boolean;
}

export interface RunResult {
  readonly seed: number;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly knobs: Knobs;
  readonly failure: { readonly message: string; readonly step: number } | null;
  readonly counts: Readonly<Record<string, number>>;
}

/** The share of runs whose end is disturbed once more. */
const DISTURBED = 0.25;

/** All that a run consists of. */
export interface Run {
  readonly world: World;
  readonly network: Network;
  readonly observer: Observer;
  readonly workload: Workload;
  readonly faults: Faults;
}

export function nodeIdOf(number: number): NodeId {
  return number.toString(16).padStart(16, '0') as NodeId;
}

/**
 * Promises that became ready run to their end: Node calls what `nextTick` was given when no microtask is left. Nothing
 * else is waiting in this process; a turn of its event loop for every event would cost a system call each.
 */
function settled(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

/** One cluster from its first moment through all its faults to its recovery; everything follows from the seed. */
export async function simulate(options: RunOptions): Promise<RunResult> {
  const chances = chancesOf(options.seed);
  const knobs = drawKnobs(chances.knobs, options);
  const world = new World({ chances, knobs });
  const driver = new Driver(world, options);
  let message: string | null = null;
  const run = await assemble(world, driver, options);
  try {
    await driver.steps(options.steps);
    await convergence(run, driver);
    if (chances.nodes.happens(DISTURBED)) await disturbance(run, driver);
  } catch (thrown) {
    message =
      thrown instanceof SimulationFailure ? thrown.message : String((thrown as Error).stack ?? thrown);
  }
  return {
    seed: options.seed,
    steps: driver.count,
    simulatedMs: Math.round(world.timeMs),
    knobs,
    failure: message === null ? null : { message, step: driver.count },
    counts: {
      ...run.observer.counts,
      ...run.observer.history.counts,
      ...run.workload.counts,
      ...Object.fromEntries(run.faults.counts),
    },
  };
}

/** Lets one thing after another happen, and looks at everything after each. */
export class Driver {
  readonly #world: World;
  readonly #trace: ((line: string) => void) | undefined;
  observer: Observer | null = null;
  count = 0;

  constructor(world: World, { trace }: RunOptions) {
    this.#world = world;
    this.#trace = trace;
  }

  async steps(count: number): Promise<void> {
    const end = this.count + count;
    while (this.count < end) await this.step();
  }

  /** Goes on until `done`, or fails after so much simulated time. */
  async until(
    done: () => boolean,
    limit: { readonly withinMs: number; readonly what: () => string },
  ): Promise<void> {
    const endMs = this.#world.timeMs + limit.withinMs;
    while (!done()) {
      if (this.#world.timeMs > endMs) throw new SimulationFailure(limit.what());
      await this.step();
    }
  }

  async step(): Promise<void> {
    const event = this.#world.next();
    if (event === null) throw new SimulationFailure('nothing will ever happen again');
    this.count += 1;
    event.run();
    await settled();
    const { machine } = event;
    if (this.#trace !== undefined)
      this.#trace(
        `${this.count} ${this.#world.timeMs.toFixed(2)} ${event.kind} ${machine?.nodeId.slice(-2) ?? ''} ${machine === null ? '' : describe(machine)}`,
      );
    if (event.kind === 'timer' && machine !== null)
      this.#world.guard(() => this.observer?.quorums.timerFired(machine));
    if (machine !== null) this.observer?.look(machine);
    else for (const each of this.#world.machines.values()) this.observer?.look(each);
    if (this.#world.failure !== null) throw this.#world.failure;
  }
}

function lineOf({ from, to, ...rest }: Message): string {
  const text = JSON.stringify(rest, (key, value) =>
    key === 'hash' || key === 'previousHash' || key === 'payload' ? undefined : value,
  );
  return `${from.slice(-2)} -> ${to.slice(-2)} ${text}`;
}

function describe(machine: Machine): string {
  const status = machine.running?.log.status();
  if (status === undefined) return 'down';
  return `${status.role} term=${status.term} commit=${status.commit} applied=${status.applied} last=${status.lastIndex} first=${status.firstIndex}`;
}

async function assemble(world: World, driver: Driver, options: RunOptions): Promise<Run> {
  const { knobs } = world;
  const sealer = sealerOf({ real: knobs.realSeals });
  const network = new Network(world);
  const observer = new Observer(world);
  driver.observer = observer;
  const workload = new Workload({ world, observer, sealer });
  let machinesMade = 0;
  const founders = Array.from({ length: knobs.voters }, (_, place) => nodeIdOf(place + 1));
  const genesis = await genesisOf(founders, sealer);
  observer.history.begin(genesis.contents.snapshot.configuration);
  const newMachine = (): Machine => {
    machinesMade += 1;
    const nodeId = nodeIdOf(machinesMade);
    const { storeId } = genesis;
    const machine = new Machine({ nodeId, world, network, observer, sealer, storeId, workload });
    world.machines.set(nodeId, machine);
    return machine;
  };
  const addMachine = (): Machine | null => {
    const inUse = [...world.machines.values()].filter(({ scrapped }) => !scrapped).length;
    if (inUse >= MACHINES_MAX) return null;
    const machine = newMachine();
    machine.start();
    return machine;
  };
  network.onSend = (from, message) => {
    if (options.messages === true) options.trace?.(`  ${lineOf(message)}`);
    world.guard(() => observer.sent(from, message));
  };
  network.onDeliver = (to, message) => {
    observer.quorums.heard(to, message.from);
    options.coverage?.delivered(to, message);
  };
  network.onDelivered = (to, messages) => {
    if (messages.every(({ type }) => type === 'preVote')) world.guard(() => observer.preVotesDelivered(to));
  };
  for (const _ of founders) {
    const machine = newMachine();
    const made = { yet: false };
    void machine.makeFounder(genesis).then(() => {
      made.yet = true;
    });
    while (!made.yet) await driver.step();
  }
  for (const machine of world.machines.values()) machine.start();
  const faults = new Faults({ world, network, sealer, addMachine, observer });
  faults.start();
  workload.start();
  return { world, network, observer, workload, faults };
}

export type { Fault };
