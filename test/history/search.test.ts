import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Interval, type Model, search } from '../../cluster-tests/history/search.ts';

/** One register, as small as can be. */
interface Register {
  readonly write?: number;
  readonly read?: number;
  /** Writes `write` if the register is `expected`; `swapped` says whether it was; absent: nobody was told. */
  readonly expected?: number;
  readonly swapped?: boolean;
}

function apply(state: number, operation: Register): number | undefined {
  if (operation.read !== undefined) return operation.read === state ? state : undefined;
  if (operation.expected === undefined) return operation.write;
  const holds = operation.expected === state;
  if (operation.swapped !== undefined && operation.swapped !== holds) return undefined;
  return holds ? operation.write : state;
}

const REGISTER: Model<number, Register> = {
  initial: 0,
  step: apply,
  isRead: ({ read, swapped }) => read !== undefined || swapped === false,
  keyOf: String,
};

/**
 * All orders, tried one by one: what has returned before another call comes first, and what has a lower rank, where
 * ranks are required; what has not returned may be left out.
 */
function hasOrder(intervals: readonly Interval<Register>[], required = false, state = 0): boolean {
  if (intervals.every(({ ret }) => ret === null)) return true;
  return intervals.some((chosen, i) => {
    const isBlocked = intervals.some(
      (other) =>
        (other.ret !== null && other.ret < chosen.call) ||
        (required && (other.rank ?? Infinity) < (chosen.rank ?? -Infinity)),
    );
    const after = isBlocked ? undefined : apply(state, chosen.operation);
    return after !== undefined && hasOrder(intervals.toSpliced(i, 1), required, after);
  });
}

const small = fc.integer({ min: 0, max: 3 });
const operation: fc.Arbitrary<Register> = fc.oneof(
  fc.record({ write: small }),
  fc.record({ read: small }),
  fc.record({ write: small, expected: small, swapped: fc.boolean() }),
);
const unanswered: fc.Arbitrary<Register> = fc.oneof(
  fc.record({ write: small }),
  fc.record({ write: small, expected: small }),
);
const time = fc.integer({ min: 0, max: 12 });
const interval: fc.Arbitrary<Interval<Register>> = fc
  .oneof(
    { weight: 5, arbitrary: fc.tuple(time, time, operation) },
    { weight: 1, arbitrary: fc.tuple(time, fc.constant(null), unanswered) },
  )
  .map(([call, length, operation]) => ({ call, ret: length === null ? null : call + length, operation }));

describe('search', () => {
  it('says what trying all orders says', () => {
    const seen = { ok: 0, illegal: 0 };
    fc.assert(
      fc.property(fc.array(interval, { minLength: 1, maxLength: 7 }), (intervals) => {
        const expected = hasOrder(intervals) ? 'ok' : 'illegal';
        seen[expected] += 1;
        expect(search(REGISTER, intervals).verdict).toBe(expected);
      }),
      { numRuns: 4_000 },
    );
    expect(seen.ok).toBeGreaterThan(400);
    expect(seen.illegal).toBeGreaterThan(400);
  });

  it('holds an order to the ranks where they are required, and not where they are hints', () => {
    const ranked = fc
      .tuple(interval, fc.integer({ min: 0, max: 4 }))
      .map(([interval, rank]) => (interval.ret === null || rank === 0 ? interval : { ...interval, rank }));
    let refused = 0;
    fc.assert(
      fc.property(fc.array(ranked, { minLength: 1, maxLength: 6 }), (intervals) => {
        const expected = hasOrder(intervals) ? 'ok' : 'illegal';
        const expectedByRank = hasOrder(intervals, true) ? 'ok' : 'illegal';
        expect(search(REGISTER, intervals).verdict).toBe(expected);
        expect(search(REGISTER, intervals, { ranks: 'required' }).verdict).toBe(expectedByRank);
        if (expected !== expectedByRank) refused += 1;
      }),
      { numRuns: 3_000 },
    );
    expect(refused).toBeGreaterThan(100);
  });

  it('gives an order that keeps to real time and that the model accepts', () => {
    fc.assert(
      fc.property(fc.array(interval, { minLength: 1, maxLength: 9 }), (intervals) => {
        const result = search(REGISTER, intervals);
        if (result.verdict !== 'ok') return;
        const ordered = result.order.map((i) => intervals[i] as Interval<Register>);
        let state: number | undefined = 0;
        for (const [i, { operation, call }] of ordered.entries()) {
          state = state === undefined ? undefined : apply(state, operation);
          for (const later of ordered.slice(i + 1))
            expect(later.ret ?? Infinity).toBeGreaterThanOrEqual(call);
        }
        expect(state).toBeDefined();
        const answered = intervals.flatMap(({ ret }, i) => (ret === null ? [] : [i]));
        expect(result.order).toEqual(expect.arrayContaining(answered));
      }),
      { numRuns: 2_000 },
    );
  });

  it('names the longest part that has an order, and what is stuck after it', () => {
    const result = search(REGISTER, [
      { call: 1, ret: 2, operation: { write: 1 } },
      { call: 3, ret: 4, operation: { write: 2 } },
      { call: 5, ret: 8, operation: { read: 1 } },
      { call: 6, ret: 7, operation: { read: 2 } },
      { call: 9, ret: 10, operation: { read: 2 } },
    ]);
    expect(result).toMatchObject({ verdict: 'illegal', longest: [0, 1, 3], stuck: [2] });
  });

  it('says unknown, and never ok, where the budget ends', () => {
    const intervals = Array.from({ length: 12 }, (_, i) => ({
      call: i,
      ret: 100 + i,
      operation: { write: i },
    }));
    const impossible = [...intervals, { call: 200, ret: 201, operation: { read: 99 } }];
    expect(search(REGISTER, impossible, { budget: { steps: 1_000, memoBytes: 1e9 } }).verdict).toBe(
      'unknown',
    );
    expect(search(REGISTER, impossible, { budget: { steps: 1e9, memoBytes: 10_000 } }).verdict).toBe(
      'unknown',
    );
    expect(search(REGISTER, impossible).verdict).toBe('illegal');
    expect(search(REGISTER, [], { budget: { steps: 0, memoBytes: 0 } }).verdict).toBe('ok');
  });
});
