import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventLog } from '../../cluster-tests/history/eventLog.ts';
import { checkLinearizability } from '../../cluster-tests/history/linearizability.ts';
import { prune } from '../../cluster-tests/history/prune.ts';
import type { History, LogLine, OperationLine, Seen } from '../../cluster-tests/history/types.ts';
import { simulate } from './simulatedRun.ts';

const NO_EVENTS = { events: [], log: null };
const BASE = { node: 'any', status: 'ok' } as const;

const seen = (value: string, mod: number, version = 1): Seen => ({
  key: 'k',
  value,
  version,
  mod,
  create: mod - version + 1,
});
const put = (
  client: number,
  [call, ret]: readonly [number, number],
  [value, rev]: readonly [string, number],
): OperationLine => ({
  ...BASE,
  f: 'put',
  client,
  call,
  ret,
  key: 'k',
  a: value,
  b: null,
  out: {},
  rev,
});
const get = (
  client: number,
  [call, ret]: readonly [number, number],
  [item, rev]: readonly [Seen | null, number],
): OperationLine => ({
  ...BASE,
  f: 'get',
  client,
  call,
  ret,
  key: 'k',
  a: 'linearizable',
  b: 0,
  out: { item },
  rev,
});
const lost = (client: number, [call, ret]: readonly [number, number], value: string): OperationLine =>
  ({
    ...put(client, [call, ret], [value, 0]),
    rev: null,
    out: null,
    status: 'info',
    error: 'OUTCOME_UNKNOWN',
  }) as OperationLine;

const verdicts = (operations: readonly OperationLine[], more: Partial<History> = {}) =>
  [true, false].map((revisions) => {
    const { findings } = checkLinearizability({ ...NO_EVENTS, ...more, operations }, { revisions });
    return findings.map(({ verdict }) => verdict).join();
  });

describe('linearizability', () => {
  it('lets a write of unknown outcome happen late, once, or never', () => {
    const early = [lost(1, [1, 2], 'a'), put(2, [3, 4], ['b', 1])];
    expect(verdicts([...early, get(2, [5, 6], [seen('b', 1), 1])])).toEqual(['ok', 'ok']);
    expect(
      verdicts([
        ...early,
        get(2, [5, 6], [seen('b', 1), 1]),
        get(2, [7, 8], [{ ...seen('a', 2, 2), create: 1 }, 2]),
      ]),
    ).toEqual(['ok', 'ok']);
    const twice = [
      ...early,
      get(2, [5, 6], [{ ...seen('a', 2, 2), create: 1 }, 2]),
      put(2, [7, 8], ['c', 3]),
      get(2, [9, 10], [{ ...seen('a', 4, 4), create: 1 }, 4]),
    ];
    expect(verdicts(twice)).toEqual(['illegal', 'illegal']);
  });

  it('does not let a write happen before its call', () => {
    expect(verdicts([get(1, [1, 2], [seen('a', 1), 1]), put(2, [3, 4], ['a', 1])])).toEqual([
      'illegal',
      'illegal',
    ]);
  });

  it('sees by the revision what values alone do not show', () => {
    const swapped = [put(1, [1, 10], ['a', 1]), put(2, [2, 11], ['b', 2])];
    const wrongOrder = get(1, [12, 13], [{ ...seen('a', 1, 2), create: 1 }, 2]);
    expect(verdicts([...swapped, wrongOrder])).toEqual(['illegal', 'ok']);
    const backwards = [get(1, [1, 2], [null, 5]), get(1, [3, 4], [null, 4])];
    expect(verdicts(backwards)).toEqual(['illegal', 'ok']);
  });

  it('does not let one revision be two changes, or one value have two versions', () => {
    const same = [put(1, [1, 2], ['a', 1]), put(2, [3, 4], ['b', 1])];
    expect(verdicts(same)).toEqual(['illegal', 'ok']);
    const later = [put(1, [1, 2], ['a', 1]), get(2, [3, 4], [{ ...seen('a', 1), version: 2 }, 1])];
    expect(verdicts(later)).toEqual(['illegal', 'illegal']);
  });

  it('holds a range against all keys that it has', () => {
    const range = (items: readonly Seen[]): OperationLine => ({
      ...BASE,
      f: 'range',
      client: 9,
      call: 5,
      ret: 6,
      key: 'k',
      a: 'linearizable',
      b: 0,
      out: { items },
      rev: 2,
    });
    const puts = [put(1, [1, 2], ['a', 1]), { ...put(2, [3, 4], ['b', 2]), key: 'k2' } as OperationLine];
    const both = [seen('a', 1), { ...seen('b', 2), key: 'k2' }];
    expect(verdicts([...puts, range(both)])).toEqual(['ok', 'ok']);
    expect(verdicts([...puts, range(both.slice(1))])).toEqual(['illegal', 'illegal']);
    expect(verdicts([...puts, range(both.toReversed())])).toEqual(['illegal', 'illegal']);
    expect(verdicts([...puts, range([])])).toEqual(['illegal', 'illegal']);
  });

  it('leaves refused operations and unanswered reads out', () => {
    const refused = { ...put(1, [1, 2], ['a', 1]), status: 'fail', rev: null, out: null } as OperationLine;
    const unread = { ...get(2, [3, 4], [null, 0]), status: 'info', rev: null, out: null } as OperationLine;
    expect(verdicts([refused, unread, get(3, [5, 6], [null, 3])])).toEqual(['ok', 'ok']);
    expect(verdicts([refused, get(3, [5, 6], [seen('a', 1), 3])])).toEqual(['illegal', 'illegal']);
  });

  it('checks keys that transactions have together as one', () => {
    const both = {
      ...BASE,
      f: 'txn',
      client: 1,
      call: 1,
      ret: 2,
      key: '',
      b: null,
      rev: 1,
      a: {
        compares: [],
        failure: [],
        success: [
          { op: 'put', key: 'k', value: 'a' },
          { op: 'put', key: 'l', value: 'a' },
        ],
      },
      out: { succeeded: true, results: [{ op: 'put' }, { op: 'put' }] },
    } as const satisfies OperationLine;
    const half = { ...get(2, [3, 4], [null, 1]), key: 'l' } as OperationLine;
    const { findings } = checkLinearizability({
      ...NO_EVENTS,
      operations: [both, get(2, [5, 6], [seen('a', 1), 1]), half],
    });
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatchObject({ verdict: 'illegal', subject: 'k' });
    expect(findings[0]?.detail).toContain('get l → nothing at revision 1');
  });

  it('settles writes of unknown outcome by the events', () => {
    const log: LogLine = { f: 'log', prefix: '', after: 0, upTo: 9 };
    const events = [{ type: 'put', ...seen('a', 3) }] as const;
    const operations = [
      lost(1, [1, 2], 'a'),
      lost(2, [3, 4], 'z'),
      get(3, [5, 6], [null, 2]),
      get(3, [7, 8], [seen('a', 3), 4]),
    ];
    const pruned = prune(operations, new EventLog(events, log));
    expect(pruned).toMatchObject({ found: 1, dropped: 1, open: 0 });
    expect(pruned.operations[0]).toMatchObject({ rev: 3, ret: 8 });
    expect(verdicts(operations, { events, log })).toEqual(['ok', 'ok']);
    // Proved to have happened by 8: a later read cannot miss it.
    const missed = [...operations, get(3, [9, 10], [null, 9])];
    expect(verdicts(missed, { events, log })).toEqual(['illegal', 'illegal']);
  });

  it('says unknown when the budget is tiny', () => {
    const { history } = simulate({ seed: 3 });
    const { findings } = checkLinearizability(history, { budget: { steps: 10, memoBytes: 1e9 } });
    expect(new Set(findings.map(({ verdict }) => verdict))).toEqual(new Set(['unknown']));
  });

  it('gets through 5,000 operations of 10 clients on one key, 3 % unanswered, in few steps', () => {
    for (const seed of [1, 2]) {
      const { history } = simulate({ seed, clients: 10, operations: 5_000, keys: 1 });
      for (const revisions of [true, false]) {
        const { findings, steps } = checkLinearizability(history, { revisions });
        expect(findings.map(({ verdict }) => verdict)).toEqual(['ok']);

        expect(steps).toBeLessThan(20_000);
      }
    }
  });

  it('tells good histories from shaken ones as a search without revisions and events does', () => {
    let illegal = 0;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 1, max: 1e6 }), (seed, place) => {
        const { history } = simulate({ seed, clients: 3, operations: 40, keys: 1, infoRate: 0.05 });
        const operations = history.operations.toSpliced(place % history.operations.length, 1);
        const [withRevisions, valuesOnly] = verdicts(operations);
        // Revisions only take orders away.
        if (valuesOnly === 'illegal') expect(withRevisions).toBe('illegal');
        if (withRevisions === 'illegal') illegal += 1;
      }),
      { numRuns: 150 },
    );
    expect(illegal).toBeGreaterThan(10);
  });
});
