import { present } from '../../../../src/base/assert.ts';
import type { MemberChange, Place } from '../../../../src/replication/raft/types.ts';
import { nodeId } from '../cluster.ts';
import type { Knobs } from './cores.ts';
import { elect, stabilize, tick } from './drivingCommands.ts';
import { machinesOf, numberOf, onlyMachine, runningOf } from './named.ts';
import { deliver, drop, duplicate, hold, release } from './networkCommands.ts';
import { type Command, numbers } from './script.ts';
import { nodeName, placeText, statusLines } from './wording.ts';
import { readable, type Stall, type World } from './world.ts';

type Action = (world: World, command: Command) => void;

const KNOB_NAMES: Readonly<Record<string, keyof Knobs>> = {
  election: 'electionTicks',
  heartbeat: 'heartbeatTicks',
  'append-bytes': 'appendBytesMax',
  inflight: 'inFlightMessagesMax',
  'inflight-bytes': 'inFlightBytesMax',
  'uncommitted-bytes': 'uncommittedBytesMax',
  'read-rounds': 'pendingReadRoundsMax',
};

function addNodes(world: World, command: Command): void {
  const knobs: Partial<Record<keyof Knobs, number>> = {};
  for (const [option, knob] of Object.entries(KNOB_NAMES)) {
    const value = numberOf(command, option);
    if (value !== undefined) knobs[knob] = value;
  }
  world.setUp({
    voters: numbers(command.options.get('voters')),
    learners: numbers(command.options.get('learners')),
    blank: numbers(command.options.get('blank')),
    base: numberOf(command, 'base') ?? 0,
    knobs,
  });
  status(world, { ...command, nodes: [] });
}

function propose(world: World, command: Command): void {
  const machine = onlyMachine(world, command);
  for (const text of command.words) {
    world.act(machine, (raft) => {
      const outcome = raft.propose(() => Buffer.from(text));
      if ('refused' in outcome) world.say(`refused: ${outcome.refused}`);
    });
  }
}

function change(world: World, command: Command): void {
  const machine = onlyMachine(world, command);
  const set = (role: 'voter' | 'learner'): MemberChange[] =>
    numbers(command.options.get(role)).map((number) => ({ kind: 'set', nodeId: nodeId(number), role }));
  const changes: MemberChange[] = [
    ...set('voter'),
    ...set('learner'),
    ...numbers(command.options.get('remove')).map(
      (number): MemberChange => ({ kind: 'remove', nodeId: nodeId(number) }),
    ),
  ];
  world.act(machine, (raft) => {
    const outcome = raft.proposeConfiguration(changes, () => new Uint8Array(0));
    world.say(
      'refused' in outcome
        ? `refused: ${outcome.refused}: ${readable(outcome.reason)}`
        : `proposed ${placeText(outcome satisfies Place)}`,
    );
  });
}

function transfer(world: World, command: Command): void {
  const target = nodeId(present(numberOf(command, 'to'), 'transfer: to='));
  world.act(onlyMachine(world, command), (raft) => world.say(raft.transferLeadership(target)));
}

function read(world: World, command: Command): void {
  const machine = onlyMachine(world, command);
  for (const requestId of numbers(command.options.get('id'))) {
    world.oracle.readRequested(machine, requestId);
    world.act(machine, (raft) => raft.requestRead(requestId));
  }
}

function persist(world: World, command: Command): void {
  const count = numberOf(command, 'count') ?? Number.POSITIVE_INFINITY;
  for (const machine of runningOf(world, command)) {
    for (let done = 0; done < count && world.completeWrite(machine); done += 1);
  }
}

function apply(world: World, command: Command): void {
  const count = numberOf(command, 'count') ?? Number.POSITIVE_INFINITY;
  for (const machine of runningOf(world, command)) world.applySome(machine, count);
}

function compact(world: World, command: Command): void {
  const machine = onlyMachine(world, command);
  world.compact(machine, numberOf(command, 'index') ?? machine.applied);
}

const STALLS: readonly Stall[] = ['disk', 'apply', 'snapshot'];

function stall(world: World, command: Command): void {
  for (const machine of machinesOf(world, command)) {
    world.stalls.set(machine.id, new Set(STALLS.filter((kind) => command.words.includes(kind))));
  }
}

function pull(world: World, command: Command): void {
  const machine = onlyMachine(world, command);
  if (!world.pull(machine)) world.say(`${nodeName(machine.id)} finds no snapshot to pull`);
}

function snapshotFailed(world: World, command: Command): void {
  const machine = onlyMachine(world, command);
  machine.wanted = null;
  world.pulled.delete(machine.id);
  world.act(machine, (raft) => raft.snapshotFailed());
}

function restart(world: World, command: Command): void {
  for (const machine of machinesOf(world, command)) {
    world.crash(machine);
    world.start(machine, {
      stateMissing: command.words.includes('state-missing'),
      suspect: command.words.includes('suspect'),
    });
    world.say(...statusLines(machine.core.status()));
  }
}

function disk(world: World, command: Command): void {
  const terms = numbers(command.options.get('terms'));
  const term = numberOf(command, 'term') ?? terms.at(-1) ?? 0;
  for (const machine of machinesOf(world, command)) world.writeDisk(machine, { terms, term });
}

function loseTail(world: World, command: Command): void {
  world.loseTail(onlyMachine(world, command), numberOf(command, 'count') ?? 1);
}

function status(world: World, command: Command): void {
  for (const machine of machinesOf(world, command)) {
    const lines =
      machine.raft === null ? [`${nodeName(machine.id)} down`] : statusLines(machine.core.status());
    world.say(...lines);
  }
}

function log(world: World, command: Command): void {
  for (const machine of machinesOf(world, command)) {
    world.say(`${nodeName(machine.id)} ${world.logText(machine)}`);
  }
}

function ready(world: World, command: Command): void {
  for (const machine of runningOf(world, command)) {
    if (!world.takeReady(machine)) world.say(`${nodeName(machine.id)} has nothing ready`);
  }
}

interface Known {
  readonly act: Action;
  readonly options?: readonly string[];
  /** The words that it takes; absent: none, `any`: whatever is to be proposed. */
  readonly words?: readonly string[] | 'any';
}

const MATCHING = ['from', 'type', 'first'];

/** Every command; docs/testing.md says what they do. */
const COMMANDS: ReadonlyMap<string, Known> = new Map<string, Known>([
  [
    'add-nodes',
    { act: addNodes, options: ['voters', 'learners', 'blank', 'base', ...Object.keys(KNOB_NAMES)] },
  ],
  ['disk', { act: disk, options: ['terms', 'term'] }],
  ['lose-tail', { act: loseTail, options: ['count'] }],
  [
    'tick-heartbeat',
    { act: (world, command) => tick(world, command, world.knobs.heartbeatTicks), options: ['times'] },
  ],
  [
    'tick-election',
    { act: (world, command) => tick(world, command, world.knobs.electionTicks), options: ['times'] },
  ],
  [
    'campaign',
    { act: (world, command) => world.act(onlyMachine(world, command), (raft) => raft.campaign()) },
  ],
  ['elect', { act: elect, options: ['with'] }],
  ['propose', { act: propose, words: 'any' }],
  ['change', { act: change, options: ['voter', 'learner', 'remove'] }],
  ['transfer', { act: transfer, options: ['to'] }],
  ['read', { act: read, options: ['id'] }],
  ['deliver', { act: deliver, options: MATCHING }],
  ['drop', { act: drop, options: MATCHING }],
  ['hold', { act: hold, options: MATCHING }],
  ['duplicate', { act: duplicate, options: MATCHING }],
  ['release', { act: release, options: MATCHING }],
  ['ready', { act: ready }],
  ['persist', { act: persist, options: ['count'] }],
  ['apply', { act: apply, options: ['count'] }],
  ['stabilize', { act: stabilize }],
  ['stall', { act: stall, words: STALLS }],
  ['compact', { act: compact, options: ['index'] }],
  ['pull', { act: pull }],
  ['install', { act: (world, command) => world.install(onlyMachine(world, command)) }],
  ['snapshot-failed', { act: snapshotFailed }],
  [
    'checkpoint',
    { act: (world, command) => runningOf(world, command).forEach((machine) => world.checkpoint(machine)) },
  ],
  [
    'crash',
    { act: (world, command) => machinesOf(world, command).forEach((machine) => world.crash(machine)) },
  ],
  ['restart', { act: restart, words: ['state-missing', 'suspect'] }],
  ['status', { act: status }],
  ['log', { act: log }],
]);

/** @throws Error when the command, one of its options or one of its words is unknown */
export function perform(world: World, command: Command): void {
  const known = COMMANDS.get(command.name);
  if (known === undefined) throw new Error(`no command ${command.name}`);
  for (const option of command.options.keys()) {
    if (known.options?.includes(option) !== true) throw new Error(`${command.name} has no option ${option}`);
  }
  const { words = [] } = known;
  const strange = words === 'any' ? undefined : command.words.find((word) => !words.includes(word));
  if (strange !== undefined) throw new Error(`${command.name} does not know the word ${strange}`);
  known.act(world, command);
}
