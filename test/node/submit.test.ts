import { beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { commandBatchCodec } from '../../src/proto/storage.ts';
import { refusalOf } from './refusal.ts';
import { LEADER, SubmitRig, turn } from './submitRig.ts';

let rig: SubmitRig;
beforeEach(() => {
  rig = new SubmitRig();
});

const states = (fates: readonly { state: string }[]) => fates.map(({ state }) => state);
const sizes = () => rig.ports.proposed.map(({ batch }) => batch.commands.length);

describe('batches', () => {
  it('hold what came in one turn, under one stamp, and answer each', async () => {
    const fates = [rig.write(), rig.write(), rig.write()];
    expect(rig.ports.proposed).toHaveLength(0);
    await turn();
    expect(sizes()).toEqual([3]);
    expect(rig.ports.stamps).toBe(1);
    rig.commit(0);
    await turn();
    expect(states(fates)).toEqual(['revision 1', 'revision 2', 'revision 3']);
    expect(rig.submit.waitingCount).toBe(0);
  });

  it('hold so many bytes and no more', async () => {
    const third = Math.floor(LIMITS.entryBatchBytesMax / 3);
    for (let i = 0; i < 5; i += 1) rig.write({ valueBytes: third });
    await turn();
    expect(sizes()).toEqual([2, 2, 1]);
  });

  it('hold so many commands and no more', async () => {
    for (let i = 0; i < LIMITS.entryCommandsMax + 1; i += 1) rig.write();
    await turn();
    expect(sizes()).toEqual([LIMITS.entryCommandsMax, 1]);
  });

  it('hold few commands that go over ranges of keys', async () => {
    const wide = { range: { start: Buffer.from('a'), end: Buffer.from('b\0') }, previous: false };
    const narrow = { range: { start: Buffer.from('a'), end: Buffer.from('a\0') }, previous: false };
    const submit = (operation: typeof wide) =>
      void rig.submit
        .submit(
          { principal: null, transaction: { compares: [], success: [{ delete: operation }], failure: [] } },
          1_000,
        )
        .catch(() => undefined);
    for (let i = 0; i < LIMITS.entryWideCommandsMax + 1; i += 1) submit(wide);
    for (let i = 0; i < 100; i += 1) submit(narrow);
    await turn();
    expect(sizes()).toEqual([LIMITS.entryWideCommandsMax, 101]);
  });

  it('are one command when that is larger than a batch', async () => {
    rig.write();
    rig.write({ valueBytes: 2 * LIMITS.entryBatchBytesMax });
    rig.write();
    await turn();
    expect(sizes()).toEqual([1, 1, 1]);
  });

  it('count the ranges of deletes and reads too, so that a batch fits into a peer message', async () => {
    const range = { start: Buffer.alloc(LIMITS.keyBytesMax, 1), end: Buffer.alloc(LIMITS.keyBytesMax, 2) };
    const operation = { range: { range, limit: 0, keysOnly: false, countOnly: false } };
    const success = Array.from({ length: LIMITS.transactionOperationsMax }, (_, at) =>
      at % 2 === 0 ? operation : { delete: { range, previous: false } },
    );
    for (let i = 0; i < 40; i += 1) {
      void rig.submit
        .submit({ principal: null, transaction: { compares: [], success, failure: [] } }, 1_000)
        .catch(() => undefined);
    }
    await turn();
    for (const { batch } of rig.ports.proposed)
      expect(commandBatchCodec.encode(batch).length).toBeLessThan(LIMITS.entryBatchBytesMax);
    rig.submit.stop();
  });

  it('are in flight a few at a time; the next goes when one is applied', async () => {
    const large = LIMITS.entryBatchBytesMax;
    for (let i = 0; i < 6; i += 1) rig.write({ valueBytes: large });
    await turn();
    expect(sizes()).toHaveLength(LIMITS.proposalsInFlightMax);
    rig.commit(0);
    await turn();
    expect(sizes()).toHaveLength(LIMITS.proposalsInFlightMax + 1);
  });

  it("of other nodes do not shut out the leader's own callers", async () => {
    const commands = [{ origin: 'elsewhere', sequence: 1, principal: null }];
    for (let i = 0; i < 2 * LIMITS.proposalsInFlightMax; i += 1)
      expect(rig.submit.proposeForwarded(commands)).toBe(true);
    rig.write();
    await turn();
    expect(rig.ports.proposed).toHaveLength(2 * LIMITS.proposalsInFlightMax + 1);
  });
});

describe('a follower', () => {
  beforeEach(() => {
    rig.ports.leader = false;
  });

  it('forwards, and answers from what it applies itself', async () => {
    const fate = rig.write();
    await turn();
    expect(rig.ports.forwarded).toHaveLength(1);
    expect(rig.submit.takeProposed({ index: 5, term: 1 })).toBeNull();
    rig.apply(rig.ports.forwarded[0]?.commands ?? []);
    await turn();
    expect(fate.state).toBe('revision 1');
  });

  it('leaves alone what others wait for, also under the same numbers', async () => {
    const fate = rig.write();
    await turn();
    rig.apply([{ origin: '00000000000000aa/earlier', sequence: 1, principal: null }]);
    await turn();
    expect(fate.state).toBe('waiting');
  });

  it('gives up a forward that nobody answers: with a request id it goes again', async () => {
    const once = rig.write({ deadlineMs: 60_000 });
    const again = rig.write({ deadlineMs: 60_000, request: true });
    await turn();
    rig.clock.advance(LIMITS.forwardPatienceMs - 1);
    rig.submit.sweep();
    await turn();
    expect(rig.ports.forwarded).toHaveLength(1);
    rig.clock.advance(1);
    rig.submit.sweep();
    await turn();
    expect(rig.ports.forwarded[1]?.commands.map(({ sequence }) => sequence)).toEqual([2]);
    expect(states([once, again])).toEqual(['waiting', 'waiting']);
    // The first way was the one after all.
    rig.apply(rig.ports.forwarded[0]?.commands ?? []);
    await turn();
    expect(states([once, again])).toEqual(['revision 1', 'revision 2']);
  });

  it('is not blocked for ever by forwards that were lost', async () => {
    for (let i = 0; i <= LIMITS.proposalsInFlightMax; i += 1)
      rig.write({ valueBytes: LIMITS.entryBatchBytesMax, deadlineMs: 600_000 });
    await turn();
    expect(rig.ports.forwarded).toHaveLength(LIMITS.proposalsInFlightMax);
    rig.clock.advance(LIMITS.forwardPatienceMs);
    rig.submit.sweep();
    await turn();
    expect(rig.ports.forwarded).toHaveLength(LIMITS.proposalsInFlightMax + 1);
  });

  it('does not seal batches over and over while there is no leader', async () => {
    rig.ports.hasLeader = false;
    for (let i = 0; i < 10; i += 1) {
      rig.write();
      await turn();
    }
    expect(rig.ports.tries).toBe(1);
    rig.ports.hasLeader = true;
    rig.submit.leadershipChanged();
    await turn();
    expect(rig.ports.forwarded[0]?.commands).toHaveLength(10);
  });
});

describe('a change of leader', () => {
  it('sends again what has a request id, and says of the rest that it is not known', async () => {
    rig.ports.leader = false;
    const once = rig.write();
    const again = rig.write({ request: true });
    await turn();
    rig.ports.leader = true;
    rig.submit.leadershipChanged();
    await turn();
    expect(states([once, again])).toEqual(['OUTCOME_UNKNOWN', 'waiting']);
    expect(rig.ports.proposed[0]?.batch.commands).toHaveLength(1);
    rig.commit(0);
    await turn();
    expect(again.state).toBe('revision 2');
  });

  it('does not propose again what the first way has answered meanwhile', async () => {
    rig.ports.leader = false;
    const fate = rig.write({ request: true });
    await turn();
    rig.ports.hasLeader = false;
    rig.submit.leadershipChanged();
    rig.apply(rig.ports.forwarded[0]?.commands ?? []);
    rig.ports.leader = true;
    rig.submit.leadershipChanged();
    await turn();
    expect(fate.state).toBe('revision 1');
    expect(rig.ports.proposed).toHaveLength(0);
  });

  it('leaves a write doubtful even when a later leader refuses it', async () => {
    rig.ports.leader = false;
    const fate = rig.write({ request: true, deadlineMs: 100 });
    await turn();
    rig.submit.leadershipChanged();
    await turn();
    rig.submit.forwardRefused({ from: LEADER, sequence: rig.ports.forwarded[1]?.sequence ?? 0 });
    rig.clock.advance(100);
    rig.submit.sweep();
    await turn();
    expect(fate.state).toBe('OUTCOME_UNKNOWN');
  });
});

describe('a place that is lost', () => {
  it('to another entry: the batch is proposed again, with or without a request id', async () => {
    const fates = [rig.write(), rig.write({ request: true })];
    await turn();
    rig.ports.term = 3;
    expect(rig.submit.takeProposed({ index: 1, term: 2 })).toBeNull();
    await turn();
    expect(rig.ports.proposed[1]?.batch.commands).toHaveLength(2);
    rig.commit(1);
    await turn();
    expect(states(fates)).toEqual(['revision 1', 'revision 2']);
  });

  it('below an entry of a later term: everything of ours above it is lost as well', async () => {
    for (let i = 0; i < LIMITS.proposalsInFlightMax; i += 1) {
      rig.write({ valueBytes: LIMITS.entryBatchBytesMax });
      await turn();
    }
    // A later leader's first entry stands before all of them: none ever comes to be applied.
    rig.ports.term = 3;
    rig.ports.nextIndex = 20;
    expect(rig.submit.takeProposed({ index: 0, term: 2 })).toBeNull();
    await turn();
    const again = rig.ports.proposed.slice(LIMITS.proposalsInFlightMax);
    expect(again).toHaveLength(LIMITS.proposalsInFlightMax);
    for (let at = 0; at < again.length; at += 1) rig.commit(LIMITS.proposalsInFlightMax + at);
    await turn();
    expect(rig.submit.waitingCount).toBe(0);
  });

  it('is not lost by an entry of its own term before it', async () => {
    rig.write();
    await turn();
    expect(rig.submit.takeProposed({ index: 0, term: 1 })).toBeNull();
    rig.commit(0);
    await turn();
    expect(rig.ports.proposed).toHaveLength(1);
    expect(rig.submit.waitingCount).toBe(0);
  });

  it('is free for others that this node proposed for', () => {
    const commands = [{ origin: 'elsewhere', sequence: 1, principal: null }];
    rig.submit.proposeForwarded(commands);
    expect(rig.submit.takeProposed({ index: 1, term: 2 })).toBeNull();
    expect(rig.submit.takeProposed({ index: 1, term: 1 })).toBeNull();
  });
});

describe('a snapshot in place of entries', () => {
  it('leaves nobody waiting for what it covers', async () => {
    const once = rig.write();
    const again = rig.write({ request: true });
    await turn();
    rig.submit.stateReplaced();
    await turn();
    expect(states([once, again])).toEqual(['OUTCOME_UNKNOWN', 'waiting']);
    expect(rig.ports.proposed[1]?.batch.commands).toHaveLength(1);
  });
});

describe('deadlines', () => {
  it('say NO_LEADER for what never left, OUTCOME_UNKNOWN for what did', async () => {
    const told = rig.write({ deadlineMs: 100 });
    await turn();
    rig.ports.refusal = 'overloaded';
    const untold = rig.write({ deadlineMs: 100 });
    await turn();
    rig.clock.advance(99);
    rig.submit.sweep();
    await turn();
    expect(states([told, untold])).toEqual(['waiting', 'waiting']);
    rig.clock.advance(1);
    rig.submit.sweep();
    await turn();
    expect(states([told, untold])).toEqual(['OUTCOME_UNKNOWN', 'NO_LEADER']);
    expect(rig.submit.waitingCount).toBe(0);
    rig.ports.refusal = null;
    rig.submit.sweep();
    await turn();
    expect(rig.ports.proposed).toHaveLength(1);
  });

  it('do not undo what is applied later', async () => {
    const fate = rig.write({ deadlineMs: 100 });
    await turn();
    rig.clock.advance(100);
    rig.submit.sweep();
    rig.commit(0);
    await turn();
    expect(fate.state).toBe('OUTCOME_UNKNOWN');
  });
});

describe('bounds', () => {
  it('turn away what is too much, by number', async () => {
    for (let i = 0; i < LIMITS.waitingCommandsMax; i += 1) rig.write();
    const over = rig.write();
    await turn();
    expect(over.state).toBe('OVERLOADED');
    rig.commit(0);
    expect(rig.write().state).toBe('waiting');
    rig.submit.stop();
    await turn();
  });

  it('turn away what is too much, by bytes', async () => {
    const valueBytes = 16 * 1_024 * 1_024;
    const fates = [1, 2, 3, 4].map(() => rig.write({ valueBytes }));
    await turn();
    expect(states(fates)).toEqual(['waiting', 'waiting', 'waiting', 'OVERLOADED']);
  });

  it('turn away writes while the disk is behind, from callers and from followers', async () => {
    rig.ports.unflushed = LIMITS.unflushedBytesMax;
    expect(rig.write().state).toBe('waiting');
    await turn();
    rig.ports.unflushed += 1;
    const over = rig.write();
    await turn();
    expect(over.state).toBe('OVERLOADED');
    expect(rig.submit.proposeForwarded([])).toBe(false);
    rig.ports.unflushed = 0;
    expect(rig.submit.proposeForwarded([])).toBe(true);
  });

  it('hold forwarded batches to who leads', () => {
    rig.ports.leader = false;
    expect(rig.submit.proposeForwarded([])).toBe(false);
    rig.ports.leader = true;
    rig.ports.refusal = 'transferring';
    expect(rig.submit.proposeForwarded([])).toBe(false);
  });
});

describe('stopping', () => {
  it('answers everyone and takes nothing more', async () => {
    const told = rig.write();
    await turn();
    rig.ports.refusal = 'stopped';
    const untold = rig.write();
    rig.submit.stop();
    await turn();
    expect(states([told, untold])).toEqual(['OUTCOME_UNKNOWN', 'UNAVAILABLE']);
    expect(rig.submit.waitingCount).toBe(0);
    const late = await refusalOf(() => rig.submit.submit({ principal: null, advanceTime: {} }, 1_000));
    expect(late.code).toBe('UNAVAILABLE');
    expect(rig.submit.proposeForwarded([])).toBe(false);
    rig.submit.sweep();
    rig.submit.leadershipChanged();
    await turn();
    expect(rig.ports.proposed).toHaveLength(1);
  });
});
