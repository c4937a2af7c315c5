import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../src/base/clock.ts';
import { HoldfastError } from '../../src/base/errors.ts';
import { LIMITS } from '../../src/base/limits.ts';
import type { AuditedReads } from '../../src/node/auditedReads.ts';
import type { Authorisation } from '../../src/node/authorisation.ts';
import { NodeKvPort } from '../../src/node/kvPort.ts';
import type { Read } from '../../src/node/read.ts';
import { ScanTurns } from '../../src/node/scanTurns.ts';
import type { Submit } from '../../src/node/submit.ts';
import { bytes, put, StoreRig } from '../store/storeRig.ts';
import { turns as settled } from './manualScheduler.ts';

let clock: ManualClock;
let turns: (() => void)[];
let scans: ScanTurns;
let done: string[];
beforeEach(() => {
  clock = new ManualClock();
  turns = [];
  done = [];
  const never = (): never => {
    throw new Error('not used');
  };
  const scheduler = { afterPoll: (run: () => void) => void turns.push(run), after: never, every: never };
  scans = new ScanTurns({ clock, scheduler, namesPerTurn: 10 });
});

const caller = (name: string, deadlineMs = 100) => ({
  principal: { kind: 'token', name, address: '' },
  deadlineMs,
});
const scan = (what: string, names: number, by = caller('ada')): Promise<string> =>
  scans.run(by, () => {
    done.push(what);
    scans.visited(names);
    return what;
  });
const turn = (): void => turns.shift()?.();
const doneNow = (): string[] => done.splice(0);

describe('scans', () => {
  it('run at once while there is room in the turn, and else in the next, in order', async () => {
    const all = [scan('a', 4), scan('b', 7), scan('c', 1), scan('d', 10), scan('e', 1)];
    expect([doneNow(), scans.waitingCount]).toEqual([['a', 'b'], 3]);
    turn();
    expect(doneNow()).toEqual(['c', 'd']);
    turn();
    expect([doneNow(), scans.waitingCount, turns.length]).toEqual([['e'], 0, 1]);
    expect(await Promise.all(all)).toEqual(['a', 'b', 'c', 'd', 'e']);
    turn();
    expect([turns.length, doneNow()]).toEqual([0, []]);
    void scan('f', 10);
    expect(doneNow()).toEqual(['f']);
  });

  it('do not overtake what waits, and are wide as a whole', () => {
    for (const what of ['a', 'b', 'c']) void scan(what, 1_000);
    expect(doneNow()).toEqual(['a']);
    turn();
    expect(doneNow()).toEqual(['b']);
    turn();
    expect(doneNow()).toEqual(['c']);
  });

  it('of one who asks for many keep another one waiting for one of them only', () => {
    for (const what of ['a1', 'a2', 'a3', 'a4']) void scan(what, 10);
    void scan('b1', 10, caller('bob'));
    expect(doneNow()).toEqual(['a1']);
    for (let count = 0; count < 4; count += 1) turn();
    expect(doneNow()).toEqual(['a2', 'b1', 'a3', 'a4']);
  });

  it('are given up at their deadline, and what they throw is theirs', async () => {
    void scan('a', 10);
    const late = scan('late', 10, caller('ada', 5));
    const failing = scans.run(caller('ada'), () => {
      throw new HoldfastError('COMPACTED', 'too old');
    });
    const refused = [
      expect(late).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' }),
      expect(failing).rejects.toMatchObject({ code: 'COMPACTED' }),
    ];
    const last = scan('last', 1);
    clock.advance(6);
    turn();
    await Promise.all(refused);
    expect([doneNow(), await last, scans.waitingCount]).toEqual([['a', 'last'], 'last', 0]);
  });

  it('wait in bounded number', async () => {
    void scan('a', 10);
    for (let count = 0; count < LIMITS.waitingReadsMax; count += 1) void scan('b', 1);
    await expect(scan('c', 1)).rejects.toMatchObject({ code: 'OVERLOADED' });
  });
});

describe('ranges that are asked for in one turn', () => {
  it('go over the names of one turn only, also counts, and names that may not be seen', async () => {
    const rig = await StoreRig.create();
    try {
      rig.run(...['a', 'b', 'c', 'd', 'e', 'f'].map((key) => put(key)));
      const port = new NodeKvPort({
        store: rig.store,
        scans,
        read: { linearizable: () => Promise.resolve() } as unknown as Read,
        authorisation: { visibleNow: () => () => false } as unknown as Authorisation,
        submit: {} as Submit,
        auditedReads: {} as AuditedReads,
        refusal: () => null,
      });
      const range = { start: bytes(''), end: bytes('') };
      const request = { range, limit: 0, keysOnly: true, countOnly: true, revision: 0, serializable: false };
      const answers: number[] = [];
      for (let count = 0; count < 5; count += 1) {
        const asked = port.range(caller('ada'), { ...request, pageToken: bytes('') });
        void asked.then(({ count: seen }) => answers.push(seen));
      }
      await settled();
      expect([answers, scans.waitingCount]).toEqual([[0, 0], 3]);
      turn();
      await settled();
      expect([answers.length, scans.waitingCount]).toEqual([4, 1]);
      turn();
      await settled();
      expect(answers).toEqual([0, 0, 0, 0, 0]);
    } finally {
      await rig.destroy();
    }
  });
});
