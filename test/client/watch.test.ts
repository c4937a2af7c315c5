import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/base/errors.ts';
import type { HoldfastClient, Watch } from '../../src/client/index.ts';
import { Rig, type RunningNode } from '../api/rig.ts';
import { until } from '../api/until.ts';

let rig: Rig;
let running: RunningNode;
let store: HoldfastClient;

beforeEach(async () => {
  rig = await Rig.create();
  running = await rig.start();
  store = rig.client([running.endpoint]);
});
afterEach(() => rig.close());

async function take(watch: Watch, count: number): Promise<string[]> {
  const told: string[] = [];
  while (told.length < count) {
    const { value } = await watch.next();
    for (const event of value?.events ?? [])
      told.push([event.type, event.item.key.toString(), event.item.value.toString()].join(' '));
  }
  return told;
}

describe('a watch', () => {
  it('tells what happens from now on, in order', async () => {
    await store.put('w/0', 'before');
    const watch = store.watch({ prefix: 'w/' });
    expect(await watch.ready()).toBe(2);
    await store.put('w/1', 'one');
    await store.put('x', 'not this');
    await store.delete('w/1');
    expect(await take(watch, 2)).toEqual(['put w/1 one', 'delete w/1 ']);
    watch.close();
    expect(await watch.next()).toEqual({ done: true, value: undefined });
  });

  it('begins at a revision, and can tell what was there before', async () => {
    await store.put('w', 'one');
    await store.put('w', 'two');
    const watch = store.watch({ key: 'w', startRevision: 3, previous: true });
    const { value } = await watch.next();
    expect(value?.revision).toBe(3);
    expect(value?.events[0]?.previous?.value.toString()).toBe('one');
    watch.close();
  });

  it('goes on after a restart of the node, without a gap and without a repetition', async () => {
    const watch = store.watch({ prefix: '' });
    await watch.ready();
    await store.put('k', '1');
    expect(await take(watch, 1)).toEqual(['put k 1']);
    await rig.stop(running.server);
    running = await rig.start({ port: running.port, node: running.node });
    await store.put('k', '2', { timeoutMs: 20_000 });
    await store.put('k', '3');
    expect(await take(watch, 2)).toEqual(['put k 2', 'put k 3']);
    watch.close();
    await until(() => rig.state.watches.size === 0, 'the node to forget the watch');
  });

  it('goes on by itself after it was too slow', async () => {
    const watch = store.watch({ prefix: '' });
    await watch.ready();
    await store.put('k', '1');
    running.node.cancelWatches(new HoldfastError('WATCH_BEHIND', 'fake'));
    await store.put('k', '2');
    expect(await take(watch, 2)).toEqual(['put k 1', 'put k 2']);
    watch.close();
  });

  it('moves to another node when the one it is on stops', async () => {
    const other = await rig.start();
    const both = rig.client([running.endpoint, other.endpoint]);
    const watch = both.watch({ prefix: '' });
    await watch.ready();
    const [on] = [...rig.state.watches].map((open) => open.node);
    await rig.stop(on === running.node ? running.server : other.server);
    await both.put('k', 'v');
    expect(await take(watch, 1)).toEqual(['put k v']);
    watch.close();
  });

  it('throws COMPACTED when what comes next is no longer kept', async () => {
    for (const value of ['1', '2', '3']) await store.put('k', value);
    await store.compact(3);
    const watch = store.watch({ prefix: '', startRevision: 2 });
    await expect(watch.next()).rejects.toMatchObject({ code: 'COMPACTED' });
    expect(await watch.next()).toEqual({ done: true, value: undefined });
    await expect(watch.ready()).rejects.toMatchObject({ code: 'CANCELLED' });
  });

  it('does not read ahead of the application without bound, and loses nothing by it', async () => {
    const watch = store.watch({ prefix: '' });
    await watch.ready();
    const value = Buffer.alloc(100_000, 1);
    for (let i = 0; i < 300; i += 1) await store.put(`k${i}`, value);
    const seen: string[] = [];
    while (seen.length < 300) {
      const { value: batch } = await watch.next();
      for (const event of batch?.events ?? []) seen.push(event.item.key.toString());
    }
    expect(seen).toEqual(Array.from({ length: 300 }, (_, i) => `k${i}`));
    watch.close();
  });

  it('ends with the loop over it, and with the client', async () => {
    const watch = store.watch({ prefix: '' });
    await watch.ready();
    await store.put('k', 'v');
    for await (const batch of watch) {
      expect(batch.events).toHaveLength(1);
      break;
    }
    await until(() => rig.state.watches.size === 0, 'the node to forget the watch');
    const other = store.watch({ prefix: '' });
    const next = other.next();
    await store.close();
    expect(await next).toEqual({ done: true, value: undefined });
  });
});
