import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import { SeededRandom } from '../../src/base/random.ts';
import type { WatchHandle, WatchQuery, WatchSink } from '../../src/store/types.ts';
import { command, put, remove, StoreRig, write } from './storeRig.ts';
import { ALL, one, Receiver, textOf } from './watchReceiver.ts';

let rig: StoreRig;
let turns: (() => void)[];
beforeEach(async () => {
  turns = [];
  rig = await StoreRig.create({ schedule: (run) => turns.push(run), cacheBytesMax: 200 });
});
afterEach(() => rig.destroy());

/** Runs the turns of the event loop that are due, and those that they make. */
function settle(): void {
  for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) turn();
}

function watch(query: WatchQuery, receiver = new Receiver()): { receiver: Receiver; handle: WatchHandle } {
  return { receiver, handle: rig.store.watch(query, receiver) };
}

describe('what a watch is told', () => {
  it('is what happens in its range from now on, in order, not yet while it happens', () => {
    rig.run(put('b', 'before'));
    const { receiver, handle } = watch({ ...ALL, start: 'b', end: 'd' });
    expect(handle.startedAfterRevision).toBe(1);
    rig.run(put('a', '1'), put('b', '2'), put('d', '3'));
    rig.run(put('c', '4'));
    rig.run(remove('b'), remove('nothing'));
    expect(receiver.batches).toEqual([]);
    settle();
    expect(receiver.told).toEqual(['2:b=2', '3:c=4', '4:b-']);
    expect(receiver.batches.at(-1)?.revision).toBe(4);
  });

  it.each(['__proto__', '\0', '\xff', 'constructor'])('of exactly one key: %j', (key) => {
    const { receiver } = watch(one(key));
    rig.run(put(key, ''), put(`${key}\0`, 'no'), put('other', 'no'));
    settle();
    expect(receiver.told).toEqual([`1:${key}=`]);
  });

  it('begins in the past, without gap or repetition, whatever happens meanwhile', () => {
    const total = LIMITS.watchScanEventsMax * 2 + 10;
    for (let done = 0; done < total; done += 10) {
      rig.run(...Array.from({ length: 10 }, (_, position) => put(`k${position}`, `${done}`)));
    }
    const range = watch({ ...ALL, startRevision: 3 });
    const exact = watch(one('k7', { startRevision: 3 }));
    for (let extra = 0; extra < 20; extra += 1) {
      turns.shift()?.();
      rig.run(put('k7', `extra${extra}`));
    }
    settle();
    const last = total / 10 + 20;
    const revisions = range.receiver.batches.flatMap(({ events }) =>
      events.map(({ item }) => item?.modRevision ?? 0),
    );
    expect(revisions).toHaveLength((total / 10 - 2) * 10 + 20);
    expect([...revisions].sort((a, b) => a - b)).toEqual(revisions);
    expect([...new Set(revisions)]).toEqual(Array.from({ length: last - 2 }, (_, position) => position + 3));
    expect(exact.receiver.told).toEqual(range.receiver.told.filter((text) => text.includes(':k7=')));
  });

  it('never cuts a revision in two, however large it is', () => {
    const { receiver } = watch(ALL);
    const most = LIMITS.transactionOperationsMax;
    const wide = () =>
      rig.run(...Array.from({ length: most }, (_, position) => put(`k${position}`, 'x'.repeat(20_000))));
    for (let round = 0; round < 4; round += 1) wide();
    settle();
    wide();
    settle();
    expect(receiver.ended).toBeNull();
    for (const { events } of receiver.batches) expect(events.length % most).toBe(0);
    expect(receiver.told).toHaveLength(5 * most);
  });

  it('may lie ahead of this node', () => {
    const { receiver, handle } = watch({ ...ALL, startRevision: 3 });
    expect(handle.startedAfterRevision).toBe(2);
    for (const value of ['1', '2', '3', '4']) rig.run(put('k', value));
    settle();
    expect(receiver.told).toEqual(['3:k=3', '4:k=4']);
  });

  it('has the previous values when they are asked for, from history and from now on', async () => {
    rig.run(put('k', 'a'));
    await rig.store.flushed();
    rig.run(put('k', 'b'));
    rig.run(remove('k'));
    const { receiver } = watch({ ...ALL, startRevision: 1, previous: true });
    settle();
    rig.run(put('k', 'c'));
    rig.run(put('k', 'd'), put('new', ''));
    settle();
    const previous = receiver.batches.flatMap(({ events }) =>
      events.map((event) => [
        textOf(event),
        event.previous ? Buffer.from(event.previous.value).toString() : null,
      ]),
    );
    expect(previous).toEqual([
      ['1:k=a', null],
      ['2:k=b', 'a'],
      ['3:k-', 'b'],
      ['4:k=c', null],
      ['5:k=d', 'c'],
      ['5:new=', null],
    ]);
  });

  it('is nothing more once it is closed', () => {
    const { receiver, handle } = watch(ALL);
    rig.run(put('k', 'v'));
    handle.close();
    handle.resume();
    settle();
    rig.run(put('k', 'w'));
    settle();
    expect([receiver.told, receiver.ended, rig.store.size.watches]).toEqual([[], null, 0]);
  });

  it('is the same as in history, over random runs with pauses', () => {
    const random = new SeededRandom(11);
    const watched = [ALL, one('k3'), { ...ALL, start: 'k2', end: 'k5' }].map((query) => watch(query));
    const late: ReturnType<typeof watch>[] = [];
    for (let round = 0; round < 300; round += 1) {
      const key = `k${random.integer({ min: 0, max: 8 })}`;
      rig.run(random.integer({ min: 0, max: 4 }) === 0 ? remove(key) : put(key, `${round}`));
      for (const { receiver, handle } of [...watched, ...late]) {
        if (random.integer({ min: 0, max: 5 }) === 0) receiver.room = random.integer({ min: 1, max: 3 });
        if (random.integer({ min: 0, max: 5 }) === 0) {
          receiver.room = Number.POSITIVE_INFINITY;
          handle.resume();
        }
      }
      if (round % 50 === 49) late.push(watch({ ...ALL, startRevision: 1 }));
      if (random.integer({ min: 0, max: 3 }) === 0) settle();
    }
    for (const { receiver, handle } of [...watched, ...late]) {
      receiver.room = Number.POSITIVE_INFINITY;
      handle.resume();
    }
    settle();
    const complete = watch({ ...ALL, startRevision: 1 });
    settle();
    const history = complete.receiver.told;
    expect(history.length).toBe(rig.store.revision);
    const of = (keys: string[]) => history.filter((text) => keys.some((key) => text.includes(`:${key}`)));
    expect(watched.map(({ receiver }) => receiver.told)).toEqual([
      history,
      of(['k3']),
      of(['k2', 'k3', 'k4']),
    ]);
    for (const { receiver } of late) expect(receiver.told).toEqual(history);
  });
});

describe('a slow receiver', () => {
  const full = () => {
    const { receiver, handle } = watch(one('k'));
    receiver.room = 1;
    rig.run(put('k', 'first'));
    settle();
    return { receiver, handle };
  };

  it('is told nothing until it resumes, and then everything', () => {
    const { receiver, handle } = full();
    rig.run(put('k', 'second'));
    settle();
    expect(receiver.told).toEqual(['1:k=first']);
    receiver.room = 5;
    handle.resume();
    settle();
    expect(receiver.told).toEqual(['1:k=first', '2:k=second']);
  });

  it('may resume while it is being told', () => {
    const eager = new Receiver();
    let handle: WatchHandle | null = null;
    const deliver: WatchSink['deliver'] = (batch) => {
      eager.deliver(batch);
      handle?.resume();
      return false;
    };
    handle = rig.store.watch(one('k'), {
      deliver,
      cancelled: (error) => expect(error.code).toBe('UNAVAILABLE'),
    });
    for (const value of ['1', '2', '3']) {
      rig.run(put('k', value));
      settle();
    }
    expect(eager.told).toEqual(['1:k=1', '2:k=2', '3:k=3']);
  });

  it('has room for the most events, and ends with the next; from where it resumes nothing is missing', () => {
    const { receiver } = full();
    for (let count = 0; count < LIMITS.watchBufferEventsMax; count += 1) rig.run(put('k', `${count}`));
    expect(receiver.ended).toBeNull();
    rig.run(put('k', 'over'));
    expect(receiver.ended).toEqual({ code: 'WATCH_BEHIND', resumeRevision: 2 });
    const again = watch(one('k', { startRevision: 2 }));
    settle();
    expect(again.receiver.told).toHaveLength(LIMITS.watchBufferEventsMax + 1);
    expect(again.receiver.told[0]).toBe('2:k=0');
  });

  it('ends with the most bytes', () => {
    const { receiver } = full();
    const value = 'x'.repeat(1024 * 1024);
    for (let count = 0; count < 7; count += 1) rig.run(put('k', value));
    expect(receiver.ended).toBeNull();
    rig.run(put('k', value));
    expect(receiver.ended).toMatchObject({ code: 'WATCH_BEHIND', resumeRevision: 2 });
  });

  it('is not one that is only told much at once', () => {
    const { receiver } = watch(ALL);
    const commands = Array.from({ length: 4_000 }, (_, position) =>
      write([put(`k${position % 50}`, `${position}`)]),
    );
    rig.apply(...commands);
    settle();
    expect(receiver.ended).toBeNull();
    expect(receiver.told).toHaveLength(4_000);
  });

  it('that reads history is not ended by what happens meanwhile', () => {
    for (let count = 0; count < 10; count += 1) rig.run(put('k', 'x'.repeat(600_000)));
    const { receiver, handle } = watch(one('k', { startRevision: 1 }));
    receiver.room = 1;
    settle();
    for (let count = 0; count <= LIMITS.watchBufferEventsMax; count += 1) rig.run(put('k', `${count}`));
    expect(receiver.ended).toBeNull();
    receiver.room = Number.POSITIVE_INFINITY;
    handle.resume();
    settle();
    expect(receiver.told).toHaveLength(10 + LIMITS.watchBufferEventsMax + 1);
  });
});

describe('the edge of history', () => {
  beforeEach(() => {
    for (const value of ['1', '2', '3', '4']) rig.run(put('k', value));
    rig.apply(command({ compact: { revision: 2 } }));
  });

  it.each([1, 2])('a watch from the compacted revision %i does not begin', (startRevision) => {
    expect(() => watch({ ...ALL, startRevision })).toThrow(expect.objectContaining({ code: 'COMPACTED' }));
  });

  it('the first revision after it is told, with its previous value', () => {
    const { receiver } = watch({ ...ALL, startRevision: 3, previous: true });
    settle();
    expect(receiver.told).toEqual(['3:k=3', '4:k=4']);
    expect(Buffer.from(receiver.batches[0]?.events[0]?.previous?.value ?? '').toString()).toBe('2');
  });

  it('passing a watch that has not been told yet ends it', () => {
    const behind = watch({ ...ALL, startRevision: 3 });
    const paused = watch(ALL);
    paused.receiver.room = 1;
    rig.run(put('k', '5'));
    settle();
    rig.run(put('k', '6'));
    behind.receiver.room = Number.POSITIVE_INFINITY;
    const late = watch({ ...ALL, startRevision: 3 });
    rig.apply(command({ compact: { revision: 6 } }));
    rig.run(put('k', '7'));
    paused.handle.resume();
    settle();
    expect(late.receiver.ended).toEqual({ code: 'COMPACTED', resumeRevision: 0 });
    expect(paused.receiver.ended).toEqual({ code: 'COMPACTED', resumeRevision: 0 });
    expect(paused.receiver.told).toEqual(['5:k=5']);
  });
});

describe('progress and ends', () => {
  it('is marked for idle watches that ask for it, and not beside events', () => {
    const asking = watch(one('k', { progress: true }));
    const silent = watch(one('k'));
    rig.run(put('other', ''));
    rig.store.progressTick();
    expect(asking.receiver.batches).toEqual([{ revision: 1, events: [] }]);
    rig.run(put('k', 'v'));
    rig.store.progressTick();
    settle();
    rig.store.progressTick();
    expect(asking.receiver.batches.map(({ revision, events }) => [revision, events.length])).toEqual([
      [1, 0],
      [2, 1],
    ]);
    rig.store.progressTick();
    expect(asking.receiver.batches).toHaveLength(3);
    expect(silent.receiver.batches).toHaveLength(1);
  });

  it('has room for the most watches', () => {
    const watches = Array.from({ length: LIMITS.watchesPerNodeMax }, (_, position) =>
      watch(one(`k${position}`)),
    );
    expect(() => watch(ALL)).toThrow(expect.objectContaining({ code: 'OVERLOADED' }));
    rig.run(put('k77', 'v'));
    settle();
    expect(watches.filter(({ receiver }) => receiver.batches.length > 0)).toHaveLength(1);
    watches[0]?.handle.close();
    watch(ALL);
  });

  it('ends watches where they can begin again when the store closes', async () => {
    const idle = watch(one('quiet'));
    const busy = watch(one('k'));
    rig.run(put('k', '1'));
    rig.run(put('k', '2'));
    await rig.store.close();
    expect(idle.receiver.ended).toEqual({ code: 'UNAVAILABLE', resumeRevision: 3 });
    expect(busy.receiver.ended).toEqual({ code: 'UNAVAILABLE', resumeRevision: 1 });
  });
});

describe('a receiver that is full before it is told anything', () => {
  it('is told nothing until it has resumed, and then everything', () => {
    rig.run(put('a', '1'));
    rig.run(put('a', '2'));
    let full = true;
    const receiver = Object.assign(new Receiver(), { isFull: () => full });
    const { handle } = watch({ ...ALL, startRevision: 1 }, receiver);
    settle();
    expect(receiver.told).toEqual([]);
    full = false;
    handle.resume();
    settle();
    expect(receiver.told).toEqual(['1:a=1', '2:a=2']);
  });
});
