import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findCycles } from '../../cluster-tests/history/cycles.ts';
import { checkLinearizability } from '../../cluster-tests/history/linearizability.ts';
import { checkListAppend, listOf, listValue } from '../../cluster-tests/history/listAppend.ts';
import type { OperationLine, Status, TxnLine } from '../../cluster-tests/history/types.ts';
import { present } from '../../src/base/assert.ts';
import { simulate } from './simulatedRun.ts';

const WORKLOAD = { f: 'workload', kind: 'append', prefix: 'list/' } as const;

interface Transaction {
  readonly at: readonly [number, number];
  readonly reads?: Readonly<Record<string, string>>;
  /** The list after the append. */
  readonly appends?: Readonly<Record<string, string>>;
  readonly status?: Status;
}

/** Each transaction by a client of its own. */
function lines(transactions: readonly Transaction[]): readonly OperationLine[] {
  return transactions.map(({ at: [call, ret], reads = {}, appends = {}, status = 'ok' }, client): TxnLine => {
    const success = [
      ...Object.keys(reads).map((key) => ({ op: 'get', key: `list/${key}` }) as const),
      ...Object.entries(appends).map(([key, value]) => ({ op: 'put', key: `list/${key}`, value }) as const),
    ];
    const results = [
      ...Object.entries(reads).map(([name, value]) => {
        const key = `list/${name}`;
        const item = value === '' ? null : { key, value, version: 1, mod: 1, create: 1 };
        return { op: 'get', item } as const;
      }),
      ...Object.keys(appends).map(() => ({ op: 'put' }) as const),
    ];
    const answer = status === 'ok' ? { rev: 1, out: { succeeded: true, results } } : { rev: null, out: null };
    const a = { compares: [], success, failure: [] };
    return { f: 'txn', client, call, ret, key: '', a, b: null, status, node: 'any', ...answer };
  });
}

const check = (transactions: readonly Transaction[]) => {
  const finding = present(checkListAppend(lines(transactions), WORKLOAD).findings[0], 'finding');
  return { verdict: finding.verdict, detail: finding.detail };
};

/** Anomalies by their usual names; all but the last few overlap in time. */
const ANOMALIES: Readonly<Record<string, readonly Transaction[]>> = {
  'a lost update': [
    { at: [1, 10], appends: { x: 'a' } },
    { at: [2, 11], appends: { x: 'b' } },
  ],
  'a write skew': [
    { at: [1, 10], reads: { y: '' }, appends: { x: 'a' } },
    { at: [2, 11], reads: { x: '' }, appends: { y: 'b' } },
  ],
  'a read skew': [
    { at: [1, 10], appends: { x: 'a', y: 'b' } },
    { at: [2, 11], reads: { x: 'a', y: '' } },
  ],
  'circular information': [
    { at: [1, 10], reads: { y: 'b' }, appends: { x: 'a' } },
    { at: [2, 11], reads: { x: 'a' }, appends: { y: 'b' } },
  ],
  'a long fork': [
    { at: [1, 10], appends: { x: 'a' } },
    { at: [2, 11], appends: { y: 'b' } },
    { at: [3, 12], reads: { x: 'a', y: '' } },
    { at: [4, 13], reads: { x: '', y: 'b' } },
  ],
  'a stale read': [
    { at: [1, 2], appends: { x: 'a' } },
    { at: [3, 4], reads: { x: '' } },
    { at: [5, 6], reads: { x: 'a' } },
  ],
  'an append that nobody finds': [
    { at: [1, 2], appends: { x: 'a' } },
    { at: [3, 4], reads: { x: '' } },
  ],
  'a read of the future': [
    { at: [1, 2], reads: { x: 'a' } },
    { at: [3, 4], appends: { x: 'a' } },
  ],
  'reads that do not agree': [
    { at: [1, 10], appends: { x: 'a' } },
    { at: [2, 11], appends: { x: 'a,b' } },
    { at: [3, 12], reads: { x: 'b,a' } },
  ],
  'reads that do not agree on writes of unknown outcome': [
    { at: [1, 2], appends: { x: 'a' }, status: 'info' },
    { at: [3, 4], appends: { x: 'b' }, status: 'info' },
    { at: [5, 12], reads: { x: 'a,b' } },
    { at: [6, 11], reads: { x: 'b,a' } },
  ],
  'writes in two orders': [
    { at: [1, 2], appends: { x: 'a', y: 'd,c' }, status: 'info' },
    { at: [3, 4], appends: { x: 'a,b', y: 'd' }, status: 'info' },
    { at: [5, 6], reads: { x: 'a,b', y: 'd,c' } },
  ],
  'an element of two appends': [
    { at: [1, 10], appends: { x: 'a' } },
    { at: [2, 11], appends: { x: 'a' } },
    { at: [12, 13], reads: { x: 'a' } },
  ],
  'an element twice': [
    { at: [1, 2], appends: { x: 'a' } },
    { at: [3, 4], reads: { x: 'a,a' } },
  ],
  'an element of nobody': [{ at: [1, 2], reads: { x: 'z' } }],
  'an element of a refused append': [
    { at: [1, 2], appends: { x: 'a' }, status: 'fail' },
    { at: [3, 4], reads: { x: 'a' } },
  ],
};

describe('transactions on lists', () => {
  it.each(Object.entries(ANOMALIES))('fail with %s', (_, transactions) => {
    expect(check(transactions)).toMatchObject({ verdict: 'illegal' });
  });

  it('pass where an order is left', () => {
    const overlapping: readonly Transaction[] = [
      { at: [1, 20], reads: { x: '' } },
      { at: [2, 21], reads: { x: 'a' } },
      { at: [3, 22], appends: { x: 'a' } },
      { at: [30, 31], reads: { x: 'a' }, appends: { y: 'b' } },
      { at: [32, 33], appends: { x: 'a,c' } },
    ];
    expect(check(overlapping)).toEqual({ verdict: 'ok', detail: '' });
  });

  it('let an append of unknown outcome happen late or never', () => {
    const open = { at: [1, 2], appends: { x: 'b,a' }, status: 'info' } as const;
    expect(check([open, { at: [3, 4], reads: { x: '' } }])).toMatchObject({ verdict: 'ok' });
    const late = [open, { at: [3, 4], reads: { x: '' } }, { at: [5, 6], appends: { x: 'b' } }] as const;
    expect(check([...late, { at: [7, 8], reads: { x: 'b,a' } }])).toMatchObject({ verdict: 'ok' });
    const gone = [...late, { at: [7, 8], reads: { x: 'b,a' } }, { at: [9, 10], reads: { x: 'b' } }] as const;
    expect(check(gone)).toMatchObject({ verdict: 'illegal' });
  });

  it('say what has no order', () => {
    const { detail } = check(present(ANOMALIES['a write skew'], 'write skew'));
    expect(detail).toContain('these have no order');
    expect(detail.match(/did not see what was appended by/g)).toHaveLength(2);
  });

  it('are unknown when there are none', () => {
    expect(check([])).toMatchObject({ verdict: 'unknown' });
  });

  it('cost edges in proportion to their number', () => {
    const { history } = simulate({ seed: 5, clients: 10, operations: 1_500, lists: 1, infoRate: 0.03 });
    const { findings, transactions, edges } = checkListAppend(history.operations, WORKLOAD);
    expect(findings.map(({ verdict }) => verdict)).toEqual(['ok']);
    expect(transactions).toBeGreaterThan(1_200);
    expect(edges).toBeLessThan(transactions * 10);
  });

  it('fail only where no order is to be found either', () => {
    let illegal = 0;
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e6 }), fc.integer({ min: 0, max: 1e6 }), (seed, place) => {
        const { history } = simulate({ seed, clients: 4, operations: 25, lists: 1, infoRate: 0 });
        const at = place % history.operations.length;
        const operations = history.operations.toSpliced(at, 1);
        const [finding] = checkListAppend(operations, WORKLOAD).findings;
        if (finding?.verdict !== 'illegal') return;
        illegal += 1;
        const search = checkLinearizability({ operations, events: [], log: null }, { revisions: false });
        expect(search.findings.map(({ verdict }) => verdict)).toContain('illegal');
      }),
      { numRuns: 150 },
    );
    expect(illegal).toBeGreaterThan(10);
  });

  it('have lists as values and back', () => {
    expect(listOf(listValue(['a', 'b']))).toEqual(['a', 'b']);
    expect(listOf(null)).toEqual([]);
    expect(listOf('')).toEqual([]);
  });
});

describe('cycles', () => {
  it('are found, one in each part, as a path that closes', () => {
    const edge = (from: number, to: number) => ({ from, to, label: `${from}${to}` });
    const edges = [
      edge(0, 1),
      edge(1, 2),
      edge(2, 0),
      edge(2, 3),
      edge(3, 4),
      edge(4, 3),
      edge(4, 5),
      edge(6, 6),
    ];
    const cycles = findCycles(7, edges).map((cycle) => cycle.map(({ label }) => label));
    expect(cycles.map((cycle) => cycle.length).sort((a, b) => a - b)).toEqual([1, 2, 3]);
    expect(findCycles(7, edges.slice(0, 2))).toEqual([]);
  });

  it('are found exactly where following all paths finds one', () => {
    const pair = fc.tuple(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 5 }));
    fc.assert(
      fc.property(fc.array(pair, { maxLength: 9 }), (pairs) => {
        const edges = pairs.map(([from, to]) => ({ from, to, label: null }));
        const reaches = (from: number, to: number, seen = new Set<number>()): boolean =>
          pairs.some(
            ([a, b]) => a === from && (b === to || (!seen.has(b) && reaches(b, to, new Set([...seen, b])))),
          );
        const hasCycle = [0, 1, 2, 3, 4, 5].some((node) => reaches(node, node));
        const cycles = findCycles(6, edges);
        expect(cycles.length > 0).toBe(hasCycle);
        for (const cycle of cycles) {
          for (const [i, edge] of cycle.entries()) expect(edge.to).toBe(cycle[(i + 1) % cycle.length]?.from);
        }
      }),
      { numRuns: 500 },
    );
  });
});
