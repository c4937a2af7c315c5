import { present } from '../../../../src/base/assert.ts';
import type { Machine } from '../cluster.ts';
import { type Command, numbers } from './script.ts';
import type { World } from './world.ts';

/** The machines that a command names; all that there are when it names none. */
export function machinesOf(world: World, { nodes }: Command): Machine[] {
  return nodes.length === 0 ? [...world.machines.values()] : nodes.map((number) => world.machine(number));
}

export const runningOf = (world: World, command: Command): Machine[] =>
  machinesOf(world, command).filter((machine) => world.running(machine));

export function onlyMachine(world: World, command: Command): Machine {
  return world.machine(present(command.nodes[0], `${command.name}: the node`));
}

export function numberOf(command: Command, name: string): number | undefined {
  return numbers(command.options.get(name))[0];
}
