import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LIMITS } from '../../src/base/limits.ts';
import type { WatchHandle, WatchQuery } from '../../src/store/types.ts';
import { command, put, StoreRig, write } from './storeRig.ts';
import { ALL, one, Receiver } from './watchReceiver.ts';

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

describe('a watch that may not see all names', () => {
  const hides = (...hidden: readonly string[]): Pick<WatchQuery, 'visible'> => ({
    visible: () => (key) => !hidden.includes(key),
  });

  it('is told how far it is by what it may see, from history and from now on', () => {
    rig.run(put('k', '1'));
    rig.run(put('hidden', '2'));
    const late = watch({ ...ALL, ...hides('hidden'), startRevision: 1 });
    const live = watch({ ...ALL, ...hides('hidden') });
    settle();
    expect(late.receiver.batches.map(({ revision }) => revision)).toEqual([1]);
    rig.run(put('k', '3'), put('hidden', '3'));
    rig.run(put('hidden', '4'));
    settle();
    expect(live.receiver.batches.map(({ revision }) => revision)).toEqual([3]);
    expect(live.receiver.told).toEqual(['3:k=3']);
  });

  it('is neither ended by the others nor resumed at one of them when it does not keep up', async () => {
    const { receiver } = watch({ ...ALL, ...hides('hidden') });
    receiver.room = 1;
    rig.run(put('k', 'first'));
    settle();
    for (let count = 0; count <= LIMITS.watchBufferEventsMax; count += 1) rig.run(put('hidden', `${count}`));
    expect(receiver.ended).toBeNull();
    const { revision } = rig.store;
    rig.run(put('k', 'second'));
    await rig.store.close();
    expect(receiver.ended).toEqual({ code: 'UNAVAILABLE', resumeRevision: revision + 1 });
  });

  it('has progress as one of names that are not written', () => {
    const { receiver } = watch({ ...ALL, ...hides('hidden'), progress: true });
    rig.run(put('hidden', '1'));
    rig.store.progressTick();
    expect(receiver.batches).toEqual([{ revision: 1, events: [] }]);
  });

  it('of one key that it may not see is through its history at once', () => {
    // More than is looked at in one turn of the event loop.
    const commands = Array.from({ length: 3_000 }, (_, at) => write([put('hidden', `${at}`)]));
    for (let count = 0; count < 3; count += 1) rig.apply(...commands);
    let full = false;
    const receiver = Object.assign(new Receiver(), { isFull: () => full });
    const { handle } = watch(one('hidden', { ...hides('hidden'), startRevision: 1 }), receiver);
    turns.shift()?.();
    full = true;
    settle();
    rig.apply(command({ compact: { revision: rig.store.revision } }));
    full = false;
    handle.resume();
    settle();
    expect([receiver.told, receiver.ended]).toEqual([[], null]);
  });

  it('is not told what it may see no more when it is told', () => {
    const hidden = new Set<string>();
    const { receiver } = watch({ ...ALL, visible: () => (key) => !hidden.has(key) });
    rig.run(put('a', '1'));
    rig.run(put('b', '2'));
    hidden.add('b');
    settle();
    expect(receiver.batches.map(({ revision }) => revision)).toEqual([1]);
    expect(receiver.told).toEqual(['1:a=1']);
  });

  it('asks what it may see once for what is written at once and once for what is told at once', () => {
    let asked = 0;
    const visible = () => {
      asked += 1;
      return () => true;
    };
    const { receiver } = watch({ ...ALL, start: 'k', end: 'l', visible });
    rig.apply(...Array.from({ length: 500 }, (_, at) => write([put(`k${at}`), put(`m${at}`)])));
    expect(asked).toBe(1);
    settle();
    expect([receiver.told.length, asked]).toEqual([500, 2]);
    watch({ ...ALL, startRevision: 1, visible });
    settle();
    expect(asked).toBe(4);
    rig.run(put('outside'));
    watch({ ...ALL, start: 'x', end: 'y', visible });
    expect(asked).toBe(5);
  });
});
