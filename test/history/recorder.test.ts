import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Actor, type StoreClient } from '../../cluster-tests/history/actor.ts';
import { checkRecording, readHistory } from '../../cluster-tests/history/readHistory.ts';
import { Recorder } from '../../cluster-tests/history/recorder.ts';
import { KNOWN_CODES, promisesNothingApplied, statusOf } from '../../cluster-tests/history/status.ts';
import type { HistoryLine, OperationLine } from '../../cluster-tests/history/types.ts';
import { WatchRecording } from '../../cluster-tests/history/watchRecording.ts';
import { ManualClock } from '../../src/base/clock.ts';
import { ERROR_CODES, type ErrorCode, HoldfastError } from '../../src/base/errors.ts';

let dir = '';
let file = '';
beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), 'holdfast-history-'));
  file = path.join(dir, 'history.ndjson');
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const recorded = (): readonly HistoryLine[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as HistoryLine);

const item = {
  key: Buffer.from('k'),
  value: Buffer.from('v'),
  createRevision: 3,
  modRevision: 4,
  version: 2,
};
const SEEN = { key: 'k', value: 'v', create: 3, mod: 4, version: 2 };

/** A store that answers what it is told to. */
class Answers implements StoreClient {
  error: ErrorCode | null = null;
  operations: Awaited<ReturnType<StoreClient['transaction']>>['operations'] = [];
  succeeded = true;
  pages: Awaited<ReturnType<StoreClient['range']>>[] = [];
  readonly #wait: Promise<void>;

  constructor(wait: Promise<void> = Promise.resolve()) {
    this.#wait = wait;
  }
  async #answer<T>(answer: T): Promise<T> {
    await this.#wait;
    if (this.error !== null) throw new HoldfastError(this.error, 'as told');
    return answer;
  }
  get: StoreClient['get'] = () => this.#answer({ revision: 5, item });
  put: StoreClient['put'] = () => this.#answer({ revision: 6, previous: null });
  delete: StoreClient['delete'] = () => this.#answer({ revision: 7, deleted: 1, previous: [] });
  range: StoreClient['range'] = () =>
    this.#answer(this.pages.shift() ?? { revision: 5, items: [], count: 0, nextPageToken: null });
  transaction: StoreClient['transaction'] = () =>
    this.#answer({ revision: 8, succeeded: this.succeeded, operations: this.operations });
}

const clock = new ManualClock();
const actorOf = (recorder: Recorder, client: StoreClient) =>
  new Actor({ recorder, client, node: 'n1', timeoutMs: 1_000 });

describe('status', () => {
  it('knows every code, and takes a new one for an open outcome', () => {
    expect([...KNOWN_CODES].sort()).toEqual(Object.keys(ERROR_CODES).sort());
    expect(statusOf('SOMETHING_NEW')).toBe('info');
    expect(promisesNothingApplied('SOMETHING_NEW')).toBe(false);
  });

  it('takes for certain only what the client library promises too', () => {
    for (const code of Object.keys(ERROR_CODES)) {
      if (statusOf(code) === 'fail') expect(promisesNothingApplied(code), code).toBe(true);
    }
    for (const code of ['OUTCOME_UNKNOWN', 'DEADLINE_EXCEEDED', 'INTERNAL', 'UNAVAILABLE', 'CANCELLED']) {
      expect(statusOf(code)).toBe('info');
    }
    for (const code of ['OUTCOME_UNKNOWN', 'DEADLINE_EXCEEDED', 'INTERNAL']) {
      expect(promisesNothingApplied(code)).toBe(false);
    }
  });
});

describe('the recorder', () => {
  it('never gives a time twice', async () => {
    const recorder = new Recorder(file, { clock });
    const times = [recorder.now(), recorder.now()];
    clock.advance(1);
    times.push(recorder.now());
    expect(times[1]).toBe((times[0] ?? 0) + 1);
    expect(times[2]).toBe((times[0] ?? 0) + 1_000);
    await recorder.close();
  });

  it('writes what is under way at its end as something whose outcome nobody knows', async () => {
    const recorder = new Recorder(file, { clock });
    let release = (): void => undefined;
    const wait = new Promise<void>((resolve) => {
      release = resolve;
    });
    const put = actorOf(recorder, new Answers(wait)).put('k', 'v');
    await actorOf(recorder, new Answers()).put('l', 'w');
    await recorder.close();
    release();
    expect(await put).toMatchObject({ status: 'ok' });
    expect(recorded()).toMatchObject([
      { key: 'l', status: 'ok', rev: 6 },
      { key: 'k', status: 'info', ret: null, rev: null, out: null },
    ]);
  });

  it('does not write over a history', async () => {
    const recorder = new Recorder(file, { clock });
    await recorder.close();
    const second = new Recorder(file, { clock });
    await expect(second.close()).rejects.toThrow('EEXIST');
  });
});

describe('an actor', () => {
  it('records each kind of operation with its answer', async () => {
    const recorder = new Recorder(file, { clock });
    const client = new Answers();
    const actor = actorOf(recorder, client);
    expect(await actor.get('k')).toMatchObject({
      f: 'get',
      a: 'linearizable',
      b: 0,
      rev: 5,
      out: { item: SEEN },
    });
    expect(await actor.get('k', { mode: 'serializable', revision: 3 })).toMatchObject({
      a: 'serializable',
      b: 3,
    });
    expect(await actor.put('k', 'v')).toMatchObject({ f: 'put', a: 'v', rev: 6, out: {} });
    expect(await actor.delete('k')).toMatchObject({ f: 'delete', rev: 7, out: { deleted: true } });
    expect(await actor.cas('k', { mod: 4 }, 'w')).toMatchObject({
      f: 'cas',
      a: { mod: 4 },
      b: 'w',
      rev: 8,
      out: { swapped: true },
    });
    client.pages = [
      { revision: 5, items: [item], count: 2, nextPageToken: Buffer.from('more') },
      { revision: 9, items: [{ ...item, key: Buffer.from('l') }], count: 2, nextPageToken: null },
    ];
    expect(await actor.range('')).toMatchObject({
      f: 'range',
      rev: 5,
      out: { items: [SEEN, { ...SEEN, key: 'l' }] },
    });
    await recorder.close();
    expect(recorded().map(({ f }) => f)).toEqual(['get', 'get', 'put', 'delete', 'cas', 'range']);
    expect(checkRecording(await readHistory(file)).verdict).toBe('ok');
  });

  it('records a transaction, and what a repeated answer leaves out as withheld', async () => {
    const recorder = new Recorder(file, { clock });
    const client = new Answers();
    const actor = actorOf(recorder, client);
    const steps = [
      { op: 'put', key: 'k', value: 'x' },
      { op: 'get', key: 'k' },
      { op: 'get', key: 'l' },
    ] as const;
    const request = { compares: [], success: steps, failure: [] };
    const range = (items: readonly (typeof item)[], count: number) =>
      ({ kind: 'range', items, count, more: false }) as const;
    client.operations = [{ kind: 'put', previous: null }, range([item], 1), range([], 0)];
    const told = [{ op: 'put' }, { op: 'get', item: SEEN }, { op: 'get', item: null }];
    expect(await actor.txn(request)).toMatchObject({ rev: 8, out: { succeeded: true, results: told } });
    client.operations = [{ kind: 'put', previous: null }, range([], 1), range([], 0)];
    const left = [{ op: 'put' }, { op: 'withheld' }, { op: 'get', item: null }];
    expect((await actor.txn(request)).out?.results).toEqual(left);
    client.succeeded = false;
    client.operations = [range([], 1)];
    expect((await actor.cas('k', { value: 'a' }, 'b')).out).toEqual({ swapped: false });
    client.operations = [range([item], 1)];
    expect((await actor.cas('k', { value: 'a' }, 'c')).out).toEqual({ swapped: false, item: SEEN });
    client.operations = [range([], 0)];
    expect((await actor.cas('k', { value: 'a' }, 'd')).out).toEqual({ swapped: false, item: null });
    await recorder.close();
  });

  it('goes on as another client after an unknown outcome, and as the same after a refusal', async () => {
    const recorder = new Recorder(file, { clock });
    const client = new Answers();
    const actor = actorOf(recorder, client);
    client.error = 'NOT_LEADER';
    expect(await actor.put('k', 'a')).toMatchObject({
      client: 1,
      status: 'fail',
      error: 'NOT_LEADER',
      rev: null,
      out: null,
    });
    client.error = 'OUTCOME_UNKNOWN';
    expect(await actor.put('k', 'b')).toMatchObject({ client: 1, status: 'info', error: 'OUTCOME_UNKNOWN' });
    client.error = null;
    expect(await actor.put('k', 'c')).toMatchObject({ client: 2, status: 'ok' });
    await recorder.close();
  });

  it('does one thing at a time', async () => {
    const recorder = new Recorder(file, { clock });
    const actor = actorOf(recorder, new Answers());
    const first = actor.get('k');
    await expect(actor.get('k')).rejects.toThrow('one thing at a time');
    await first;
    await recorder.close();
  });
});

describe('a recorded watch', () => {
  async function* batches() {
    yield { revision: 4, events: [{ type: 'put', item, previous: null, withheld: false } as const] };
    yield { revision: 6, events: [] };
    throw new HoldfastError('COMPACTED', 'as told');
  }

  it('has its opening, its beginning, its batches and its end as lines', async () => {
    const recorder = new Recorder(file, { clock });
    const source = {
      ready: () => Promise.resolve(3),
      close: () => undefined,
      [Symbol.asyncIterator]: batches,
    };
    const selector = { prefix: 'k' };
    const watch = new WatchRecording({
      recorder,
      client: { watch: () => source },
      node: 'n1',
      selector,
      previous: true,
    });
    await watch.ended;
    expect(watch.revision).toBe(6);
    expect(watch.isOpen).toBe(false);
    await recorder.close();
    expect(recorded()).toMatchObject([
      { f: 'watch', watch: 1, kind: 'open', selector, from: 0, previous: true, progress: false },
      { kind: 'started', rev: 3 },
      { kind: 'batch', rev: 4, events: [{ type: 'put', ...SEEN, previous: null }] },
      { kind: 'batch', rev: 6, events: [] },
      { kind: 'end', error: 'COMPACTED' },
    ]);
  });
});

describe('a recording', () => {
  const put = (change: Partial<OperationLine>): OperationLine =>
    ({
      f: 'put',
      client: 1,
      call: 1,
      ret: 2,
      key: 'k',
      a: 'a',
      b: null,
      out: {},
      rev: 1,
      status: 'ok',
      node: 'any',
      ...change,
    }) as OperationLine;
  const verdict = (...operations: readonly OperationLine[]) => checkRecording({ operations }).verdict;

  it('is of use when clients wait for their answers and values are unique', () => {
    expect(verdict(put({}), put({ call: 3, ret: 4, a: 'b' } as Partial<OperationLine>))).toBe('ok');
    expect(verdict(put({}), put({ call: 3, ret: 4 }))).toBe('unknown');
    expect(verdict(put({ ret: 9 }), put({ call: 3, ret: 4, a: 'b' } as Partial<OperationLine>))).toBe(
      'unknown',
    );
    expect(verdict(put({ status: 'info' }), put({ call: 3, ret: 4, a: 'b' } as Partial<OperationLine>))).toBe(
      'unknown',
    );
    expect(verdict(put({ ret: 1 }))).toBe('unknown');
  });
});
