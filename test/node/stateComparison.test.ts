import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { StateComparison } from '../../src/node/stateComparison.ts';

const id = (number: number): NodeId => number.toString(16).padStart(16, '0') as NodeId;
const [ONE, TWO, THREE, FOUR] = [1, 2, 3, 4].map(id) as [NodeId, NodeId, NodeId, NodeId];
const EVERY = LIMITS.stateCheckpointEntries;

/** One node: its digest is a function of the index, unless it went astray at some index. */
class Node {
  index = 0;
  hasState = true;
  astrayFrom = Number.POSITIVE_INFINITY;
  way = 1;
  readonly nodeId: NodeId;
  readonly comparison: StateComparison;

  constructor(nodeId: NodeId, format = 1) {
    this.nodeId = nodeId;
    this.comparison = new StateComparison({
      nodeId,
      format,
      clock,
      voters: () => voters,
      applied: () => (this.hasState ? { index: this.index, digest: this.digest } : null),
    });
  }

  get digest(): Buffer {
    return Buffer.alloc(32, `${this.index}/${this.index >= this.astrayFrom ? this.way : 0}/`);
  }

  apply(through: number): void {
    while (this.index < through) {
      this.index += 1;
      this.comparison.applied(this.index);
    }
  }
}

let clock: ManualClock;
let voters: NodeId[];
let nodes: Node[];
let down: Set<NodeId>;

beforeEach(() => {
  clock = new ManualClock();
  voters = [ONE, TWO, THREE];
  nodes = voters.map((nodeId) => new Node(nodeId));
  down = new Set();
});

function node(number: number): Node {
  const found = nodes[number - 1];
  if (found === undefined) throw new Error(`node ${number}`);
  return found;
}

function tick(times = 1): void {
  for (let time = 0; time < times; time += 1) {
    clock.advance(LIMITS.stateCheckpointsTickMs);
    for (const from of nodes) {
      if (down.has(from.nodeId)) continue;
      const told = from.comparison.tick();
      for (const to of nodes) if (to !== from) to.comparison.heard(from.nodeId, told);
    }
  }
}

const verdicts = (): string[] => nodes.map(({ comparison }) => comparison.compare().verdict);

describe('the comparison of states', () => {
  it('has nothing to say while all are equal, busy, idle or behind', () => {
    for (const one of nodes) one.apply(EVERY * 3 + 5);
    tick(3);
    node(1).apply(EVERY * 9);
    tick(2);
    expect(verdicts()).toEqual(['agreed', 'agreed', 'agreed']);
    expect(nodes.flatMap(({ comparison }) => comparison.compare().differing)).toEqual([]);
  });

  it.each([EVERY * 2, EVERY * 2 + 7])(
    'finds the one that differs from the majority (at %s entries)',
    (end) => {
      node(3).astrayFrom = 10;
      for (const one of nodes) one.apply(end);
      tick(3);
      expect(verdicts()).toEqual(['agreed', 'agreed', 'wrong']);
      expect(node(1).comparison.compare().differing).toEqual([THREE]);
      expect(node(3).comparison.compare().differing).toEqual([ONE, TWO]);
    },
  );

  it('finds it between two checkpoints once nothing more comes', () => {
    node(3).astrayFrom = EVERY * 2 + 3;
    for (const one of nodes) one.apply(EVERY * 2 + 7);
    tick(3);
    expect(verdicts()).toEqual(['agreed', 'agreed', 'wrong']);
  });

  it('does not look back further than the number that is kept', () => {
    const { comparison } = node(1);
    node(1).apply(EVERY * (LIMITS.stateCheckpointsKept + 1));
    const checkpoint = (index: number) => [{ index, digest: Buffer.alloc(32, 9), format: 1 }];
    comparison.heard(TWO, checkpoint(EVERY));
    expect(comparison.compare().verdict).toBe('agreed');
    comparison.heard(TWO, checkpoint(EVERY * 2));
    expect(comparison.compare().verdict).toBe('undecided');
  });

  it('finds it when it is the leader, ahead of the others', () => {
    node(1).astrayFrom = 10;
    node(1).apply(EVERY * 4);
    node(2).apply(EVERY * 3);
    node(3).apply(EVERY * 2 + 1);
    tick(3);
    expect(verdicts()).toEqual(['wrong', 'agreed', 'agreed']);
  });

  it('finds no one when each differs from each, and says so', () => {
    node(2).astrayFrom = 10;
    node(3).astrayFrom = 10;
    node(3).way = 2;
    for (const one of nodes) one.apply(EVERY);
    tick();
    expect(verdicts()).toEqual(['undecided', 'undecided', 'undecided']);
  });

  it('cannot decide between two, until the third is heard at the same index', () => {
    for (const one of nodes) one.apply(EVERY);
    tick();
    down.add(THREE);
    node(1).astrayFrom = EVERY + 1;
    for (const one of nodes) one.apply(EVERY * 2);
    tick(3);
    // What the third held before the difference is no vote on it.
    expect(verdicts().slice(0, 2)).toEqual(['undecided', 'undecided']);
    expect(node(1).comparison.compare()).toMatchObject({ index: EVERY * 2, differing: [TWO] });
    down.delete(THREE);
    tick();
    expect(verdicts()).toEqual(['wrong', 'agreed', 'agreed']);
  });

  it('is at peace again when the wrong one has taken another state', () => {
    voters = [ONE, TWO];
    node(2).astrayFrom = 10;
    for (const one of nodes) one.apply(EVERY + 3);
    tick(3);
    expect(verdicts().slice(0, 2)).toEqual(['undecided', 'undecided']);
    node(2).astrayFrom = Number.POSITIVE_INFINITY;
    node(2).comparison.replaced();
    tick();
    expect(verdicts().slice(0, 2)).toEqual(['agreed', 'agreed']);
  });

  it('does not hold against a new state what the old one was', () => {
    node(3).astrayFrom = 10;
    for (const one of nodes) one.apply(EVERY);
    tick();
    expect(verdicts()[2]).toBe('wrong');
    node(3).astrayFrom = Number.POSITIVE_INFINITY;
    node(3).index = EVERY + 9;
    node(3).comparison.replaced();
    expect(verdicts()[2]).toBe('agreed');
  });

  it('judges a learner by the voters, and not the voters by a learner', () => {
    const learner = new Node(FOUR);
    nodes.push(learner);
    learner.astrayFrom = 10;
    for (const one of nodes) one.apply(EVERY);
    tick();
    expect(verdicts()).toEqual(['agreed', 'agreed', 'agreed', 'wrong']);
    expect(node(1).comparison.compare().differing).toEqual([]);
  });

  it('does not compare with a node that stores its data otherwise', () => {
    nodes[2] = new Node(THREE, 2);
    node(3).astrayFrom = 1;
    for (const one of nodes) one.apply(EVERY);
    tick();
    expect(verdicts()).toEqual(['agreed', 'agreed', 'agreed']);
    expect(node(1).comparison.compare().differing).toEqual([]);
  });

  it('says nothing without a state, forgets who has left, and keeps a bounded number', () => {
    node(1).hasState = false;
    node(1).apply(EVERY);
    expect(node(1).comparison.tick()).toEqual([]);
    node(2).astrayFrom = 1;
    for (const one of nodes) one.apply(EVERY * (LIMITS.stateCheckpointsKept + 10));
    tick();
    expect(node(3).comparison.tick()).toHaveLength(LIMITS.stateCheckpointsTold);
    expect(node(3).comparison.compare().verdict).toBe('undecided');
    voters = [ONE, THREE];
    tick();
    expect(node(3).comparison.compare().verdict).toBe('agreed');
  });
});
