import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import type { HoldfastError } from '../../src/base/errors.ts';
import type { NodeId } from '../../src/base/ids.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { NodeProcesses } from '../../src/trust/nodeProcesses.ts';
import type { ProcessClaim } from '../../src/trust/processesOfNode.ts';

const A = '000000000000000a' as NodeId;
const B = '000000000000000b' as NodeId;
const M = '000000000000000c' as NodeId;

const run = (starts: number, byte: number, term = 7): ProcessClaim => ({
  starts,
  process: Buffer.alloc(16, byte),
  term,
});

let clock: ManualClock;
let processes: NodeProcesses;
beforeEach(() => {
  clock = new ManualClock();
  processes = new NodeProcesses({ clock });
});

function refusalOf(claim: ProcessClaim, at = processes): HoldfastError | null {
  try {
    at.admit(A, claim);
    return null;
  } catch (thrown) {
    return thrown as HoldfastError;
  }
}

/** Proves itself, and has a connection. */
function connect(claim: ProcessClaim, at = processes): void {
  at.admit(A, claim);
  at.opened(A, claim);
}

const heard = (...claims: readonly ProcessClaim[]): readonly boolean[] =>
  claims.map((one) => processes.isHeard(A, one));

describe('one process of a node', () => {
  it('is admitted as often as it comes, also after a while of silence', () => {
    for (let time = 0; time < 3; time += 1) {
      expect(refusalOf(run(4, 1))).toBeNull();
      clock.advance(LIMITS.processSilentMs);
    }
    expect(heard(run(4, 1))).toEqual([true]);
  });

  it('is nothing to another node, and nobody is heard who was not admitted', () => {
    processes.admit(A, run(4, 1));
    processes.admit(B, run(1, 2));
    expect(processes.isHeard(B, run(1, 2))).toBe(true);
    expect(processes.isHeard(B, run(1, 1))).toBe(false);
    expect(new NodeProcesses({ clock }).isHeard(A, run(1, 1))).toBe(false);
  });
});

describe('a later start', () => {
  it('takes the word at once where the one before has closed its connections', () => {
    connect(run(4, 1));
    processes.closed(A, run(4, 1), 'there');
    connect(run(5, 2));
    expect(heard(run(4, 1), run(5, 2))).toEqual([false, true]);
  });

  it('is refused while the one before is connected and speaks: it runs on a copy', () => {
    connect(run(4, 1));
    for (let time = 0; time < 2 * LIMITS.processSilentMs; time += 1_000) {
      processes.spoke(A, run(4, 1));
      expect(refusalOf(run(5, 2))).toMatchObject({
        code: 'NODE_ID_REUSED',
        field: 'node_id',
        message:
          'a process of start 5 of the data directory of node 000000000000000a came while one of start 4 is heard',
      });
      expect(heard(run(4, 1), run(5, 2))).toEqual([true, false]);
      clock.advance(1_000);
    }
  });

  it('is heard once the one before has been silent, though its connection still looks open', () => {
    connect(run(4, 1));
    clock.advance(LIMITS.processSilentMs - 1);
    expect(refusalOf(run(5, 2))?.code).toBe('NODE_ID_REUSED');
    clock.advance(1);
    expect(refusalOf(run(5, 2))).toBeNull();
    processes.closed(A, run(4, 1), 'there');
    expect(heard(run(4, 1), run(5, 2))).toEqual([false, true]);
  });

  it('does not slip in where the connection of the one before breaks for a moment', () => {
    connect(run(4, 1));
    expect(refusalOf(run(5, 2))?.code).toBe('NODE_ID_REUSED');
    processes.closed(A, run(4, 1), 'there');
    clock.advance(1_000);
    expect(refusalOf(run(5, 2))?.code).toBe('NODE_ID_REUSED');
    connect(run(4, 1));
    expect(heard(run(4, 1), run(5, 2))).toEqual([true, false]);
  });

  it('does not take the word where this member has closed the connections of the one before: it dials again', () => {
    connect(run(4, 1));
    processes.closed(A, run(4, 1), 'here');
    expect(refusalOf(run(5, 2))?.code).toBe('NODE_ID_REUSED');
    connect(run(4, 1));
    expect(heard(run(4, 1), run(5, 2))).toEqual([true, false]);
    processes.closed(A, run(4, 1), 'here');
    clock.advance(LIMITS.processSilentMs);
    connect(run(5, 2));
    processes.closed(A, run(5, 2), 'there');
    connect(run(6, 3));
    expect(heard(run(5, 2), run(6, 3))).toEqual([false, true]);
  });

  it('takes it at once where the one before has come back since, and has closed its connections itself', () => {
    connect(run(4, 1));
    processes.closed(A, run(4, 1), 'here');
    connect(run(4, 1));
    processes.closed(A, run(4, 1), 'there');
    expect(refusalOf(run(5, 2))).toBeNull();
  });

  it('ends in nobody being heard when the one before is there again: both are', () => {
    connect(run(4, 1));
    processes.closed(A, run(4, 1), 'there');
    connect(run(5, 2));
    expect(refusalOf(run(4, 1))).toMatchObject({
      code: 'NODE_ID_REUSED',
      message: 'two processes run as node 000000000000000a, of start 4 and of start 5 of its data directory',
    });
    expect(heard(run(4, 1), run(5, 2))).toEqual([false, false]);
    expect(refusalOf(run(5, 2))?.code).toBe('NODE_ID_REUSED');
  });

  it('is refused with a term below that of the node: the directory is older than what the node has said', () => {
    connect(run(4, 1, 7));
    processes.told(A, { term: 9, processes: [] });
    processes.closed(A, run(4, 1), 'there');
    expect(refusalOf(run(5, 2, 8))).toMatchObject({
      code: 'NODE_ID_REUSED',
      message:
        'a process of start 5 of the data directory of node 000000000000000a is at term 8, and that node was at 9',
    });
    expect(heard(run(4, 1))).toEqual([true]);
    expect(refusalOf(run(5, 2, 9))).toBeNull();
  });

  it('may have said less on a connection that it opened before: the process is the same', () => {
    connect(run(4, 1, 7));
    processes.told(A, { term: 9, processes: [] });
    expect(refusalOf(run(4, 1, 7))).toBeNull();
  });
});

describe('what no node comes to', () => {
  it.each<[string, ProcessClaim]>([
    ['starts', run(4 + LIMITS.startJumpMax + 1, 2)],
    ['term', run(5, 2, 7 + LIMITS.termJumpMax + 1)],
  ])('is refused, and keeps nobody else out: %s', (field, claim) => {
    processes.admit(A, run(4, 1));
    expect(refusalOf(claim)).toMatchObject({ code: 'INVALID_ARGUMENT', field });
    expect(refusalOf(run(4 + LIMITS.startJumpMax, 3, 7 + LIMITS.termJumpMax))).toBeNull();
  });

  it('is not believed of a term that is told either', () => {
    connect(run(4, 1));
    processes.told(A, { term: 7 + LIMITS.termJumpMax + 1, processes: [] });
    processes.closed(A, run(4, 1), 'there');
    expect(refusalOf(run(5, 2))).toBeNull();
  });
});

describe('another process of the same start', () => {
  it('ends in neither being heard: the data directory was copied', () => {
    connect(run(4, 1));
    const error = refusalOf(run(4, 2));
    expect(error).toMatchObject({ code: 'NODE_ID_REUSED', field: 'node_id' });
    expect(error?.message).toBe(
      'two processes run as node 000000000000000a, both of start 4 of its data directory',
    );
    expect(heard(run(4, 1), run(4, 2))).toEqual([false, false]);
    expect(refusalOf(run(4, 1))?.message).toBe(error?.message);
  });

  it('until a later start comes alone', () => {
    connect(run(4, 1));
    refusalOf(run(4, 2));
    processes.closed(A, run(4, 1), 'there');
    for (let time = 0; time < LIMITS.processSilentMs; time += 1_000) {
      clock.advance(1_000);
      expect(refusalOf(run(4, 2))?.code).toBe('NODE_ID_REUSED');
      expect(refusalOf(run(5, 3))?.code).toBe('NODE_ID_REUSED');
    }
    clock.advance(LIMITS.processSilentMs);
    expect(refusalOf(run(4, 1))?.code).toBe('NODE_ID_REUSED');
    clock.advance(LIMITS.processSilentMs);
    expect(refusalOf(run(5, 3, 6))?.message).toContain('is at term 6');
    expect(refusalOf(run(5, 3))).toBeNull();
    expect(heard(run(4, 1), run(4, 2), run(5, 3))).toEqual([false, false, true]);
  });
});

it('a process of an earlier start that was never heard here is refused, and the later one goes on', () => {
  connect(run(4, 1));
  const error = refusalOf(run(3, 2));
  expect(error?.code).toBe('NODE_ID_REUSED');
  expect(error?.message).toBe(
    'a process of start 3 of the data directory of node 000000000000000a came after one of start 4',
  );
  expect(heard(run(4, 1))).toEqual([true]);
});

describe('members that hear different processes of one node', () => {
  let other: NodeProcesses;
  beforeEach(() => {
    other = new NodeProcesses({ clock });
  });

  /** Both tell each other, as once a second. */
  function tell(): void {
    const [here, there] = [processes.present, other.present];
    processes.told(M, { term: 1, processes: there });
    other.told(M, { term: 1, processes: here });
  }

  const heardThere = (claim: ProcessClaim): boolean => other.isHeard(A, claim);

  it('tell whom they hear, and nobody who has gone', () => {
    connect(run(4, 1));
    expect(processes.present).toEqual([{ nodeId: A, starts: 4, process: Buffer.alloc(16, 1) }]);
    processes.closed(A, run(4, 1), 'there');
    expect(processes.present).toEqual([]);
    connect(run(4, 1));
    clock.advance(LIMITS.processToldMs + 1);
    expect(processes.present).toEqual([]);
  });

  it('tell of as many nodes as there may be members', () => {
    for (let at = 0; at < LIMITS.membersMax + 3; at += 1) {
      const nodeId = at.toString(16).padStart(16, '0') as NodeId;
      processes.admit(nodeId, run(1, 1));
      processes.opened(nodeId, run(1, 1));
    }
    expect(processes.present).toHaveLength(LIMITS.membersMax);
  });

  it('hear neither when both are of the same start', () => {
    connect(run(4, 1));
    connect(run(4, 2), other);
    tell();
    expect([...heard(run(4, 1)), heardThere(run(4, 2))]).toEqual([false, false]);
    clock.advance(10 * LIMITS.processDoubtMsMax);
    expect([refusalOf(run(4, 1))?.code, refusalOf(run(4, 2), other)?.code]).toEqual([
      'NODE_ID_REUSED',
      'NODE_ID_REUSED',
    ]);
  });

  it('hear neither while both are there, and after that only a later one', () => {
    connect(run(4, 1));
    connect(run(5, 2), other);
    tell();
    expect([...heard(run(4, 1)), heardThere(run(5, 2))]).toEqual([false, false]);
    processes.closed(A, run(4, 1), 'there');
    other.closed(A, run(5, 2), 'there');
    for (let time = 0; time <= LIMITS.processDoubtMsMax; time += 1_000) {
      clock.advance(1_000);
      expect(refusalOf(run(4, 1))?.code).toBe('NODE_ID_REUSED');
      expect(refusalOf(run(5, 2), other)?.code).toBe('NODE_ID_REUSED');
      tell();
    }
    clock.advance(10 * LIMITS.processDoubtMsMax);
    expect(refusalOf(run(5, 2), other)?.code).toBe('NODE_ID_REUSED');
    clock.advance(LIMITS.processSilentMs);
    expect(refusalOf(run(6, 3), other)).toBeNull();
  });

  it('do not let the one slip in whose other one this member has muted, and cut off', () => {
    connect(run(4, 1));
    connect(run(5, 2), other);
    tell();
    processes.closed(A, run(4, 1), 'here');
    expect(refusalOf(run(5, 2))?.code).toBe('NODE_ID_REUSED');
    expect(heard(run(4, 1), run(5, 2))).toEqual([false, false]);
  });

  it('hear the later one again soon when the one before had only not been missed yet', () => {
    connect(run(4, 1));
    connect(run(5, 2), other);
    tell();
    expect(heardThere(run(5, 2))).toBe(false);
    for (let time = 0; time < 3 * LIMITS.processToldMs; time += 1_000) {
      clock.advance(1_000);
      refusalOf(run(5, 2), other);
      tell();
    }
    expect(heardThere(run(5, 2))).toBe(true);
    clock.advance(LIMITS.processSilentMs);
    expect(refusalOf(run(5, 2))).toBeNull();
  });

  it('do not mind a process that has closed its connections: a restart reaches one of them first', () => {
    connect(run(4, 1));
    processes.closed(A, run(4, 1), 'there');
    connect(run(5, 2), other);
    tell();
    expect(heardThere(run(5, 2))).toBe(true);
    connect(run(5, 2));
    expect(heard(run(5, 2))).toEqual([true]);
  });
});
