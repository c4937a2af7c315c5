import type { Message } from '../../../../src/replication/raft/types.ts';
import type { Machine } from '../cluster.ts';
import { machinesOf, numberOf, onlyMachine, runningOf } from './named.ts';
import { type Command, numbers } from './script.ts';
import type { Stall, World } from './world.ts';

const ROUNDS_MAX = 200;

/** Everything that one machine can do by itself. */
function settle(world: World, machine: Machine): boolean {
  const stalled = world.stalls.get(machine.id) ?? new Set<Stall>();
  let moved = false;
  while (world.running(machine) && world.takeReady(machine)) moved = true;
  while (!stalled.has('disk') && world.completeWrite(machine)) moved = true;
  if (!stalled.has('apply') && world.applySome(machine, Number.POSITIVE_INFINITY)) moved = true;
  if (!stalled.has('snapshot') && world.pull(machine)) {
    world.install(machine);
    moved = true;
  }
  return moved;
}

/** Lets the named nodes do everything that takes no time; messages to others stay on the way. */
export function stabilize(world: World, command: Command): void {
  const machines = machinesOf(world, command);
  const ids = new Set(machines.map((machine) => machine.id));
  for (let round = 0; round < ROUNDS_MAX; round += 1) {
    let moved = false;
    for (const machine of machines) moved = settle(world, machine) || moved;
    const due = world.network.filter((message) => ids.has(message.to));
    world.network = world.network.filter((message) => !ids.has(message.to));
    for (const message of due) world.deliver(message);
    if (!moved && due.length === 0) return;
  }
  throw new Error('stabilize: it never ends');
}

export function tick(world: World, command: Command, ticks: number): void {
  const times = (numberOf(command, 'times') ?? 1) * ticks;
  for (let time = 0; time < times; time += 1) {
    for (const machine of runningOf(world, command)) world.act(machine, (raft) => raft.tick());
  }
}

const VOTING: ReadonlySet<Message['type']> = new Set(['preVote', 'preVoteResponse', 'vote', 'voteResponse']);

/** An election that only the named voters hear of, up to the moment of victory; other requests for votes are lost. */
export function elect(world: World, command: Command): void {
  const candidate = onlyMachine(world, command);
  const others = numbers(command.options.get('with')).map((number) => world.machine(number));
  const group = [candidate, ...others];
  world.act(candidate, (raft) => raft.campaign());
  for (let round = 0; round < 4 && candidate.core.leadership.leader !== candidate.id; round += 1) {
    for (const machine of group) {
      if (machine.core.leadership.leader === machine.id) break;
      while (world.takeReady(machine)) while (world.completeWrite(machine));
    }
    const voting = world.network.filter((message) => VOTING.has(message.type));
    world.network = world.network.filter((message) => !VOTING.has(message.type));
    for (const message of voting) {
      if (group.some((machine) => machine.id === message.to)) world.deliver(message);
    }
  }
  if (candidate.core.leadership.leader !== candidate.id) throw new Error('elect: it is not elected');
}
