import type { Message } from '../../../../src/replication/raft/types.ts';
import { nodeId } from '../cluster.ts';
import { numberOf } from './named.ts';
import { type Command, numbers } from './script.ts';
import { messageText } from './wording.ts';
import type { World } from './world.ts';

/** Messages that match `to`, `from` and `type`, at most `first` of them; they leave the list. */
function takeMatching(list: Message[], command: Command): { taken: Message[]; left: Message[] } {
  const to = command.nodes.map(nodeId);
  const from = numbers(command.options.get('from')).map(nodeId);
  const type = command.options.get('type');
  const first = numberOf(command, 'first') ?? Number.POSITIVE_INFINITY;
  const taken: Message[] = [];
  const left: Message[] = [];
  for (const message of list) {
    const matches =
      (to.length === 0 || to.includes(message.to)) &&
      (from.length === 0 || from.includes(message.from)) &&
      (type === undefined || type === message.type);
    (matches && taken.length < first ? taken : left).push(message);
  }
  return { taken, left };
}

function fromNetwork(world: World, command: Command): Message[] {
  const { taken, left } = takeMatching(world.network, command);
  world.network = left;
  return taken;
}

export function deliver(world: World, command: Command): void {
  for (const message of fromNetwork(world, command)) world.deliver(message);
}

export function hold(world: World, command: Command): void {
  const taken = fromNetwork(world, command);
  world.held.push(...taken);
  world.say(...taken.map((message) => `held ${messageText(message)}`));
}

export function duplicate(world: World, command: Command): void {
  const { taken } = takeMatching(world.network, command);
  world.held.push(...taken);
  world.say(...taken.map((message) => `copied ${messageText(message)}`));
}

export function release(world: World, command: Command): void {
  const { taken, left } = takeMatching(world.held, command);
  world.held = left;
  world.network.push(...taken);
  world.say(...taken.map((message) => `back ${messageText(message)}`));
}

export function drop(world: World, command: Command): void {
  world.say(...fromNetwork(world, command).map((message) => `lost ${messageText(message)}`));
}
