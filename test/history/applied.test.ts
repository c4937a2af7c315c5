import { describe, expect, it } from 'vitest';
import { checkApplied, checkDigests, checkRequestIds } from '../../cluster-tests/history/applied.ts';
import { checkEvents } from '../../cluster-tests/history/eventLog.ts';
import { checkRevisions } from '../../cluster-tests/history/revisions.ts';
import { checkSums } from '../../cluster-tests/history/sums.ts';
import type {
  AppliedLine,
  DigestLine,
  Finding,
  KeyEvent,
  OperationLine,
} from '../../cluster-tests/history/types.ts';
import { simulate } from './simulatedRun.ts';

const verdicts = (findings: readonly Finding[]) => findings.map(({ verdict }) => verdict);

describe('kept changes', () => {
  const { history } = simulate({ seed: 6, infoRate: 0.1 });
  const illegal = (change: Partial<typeof history>) =>
    checkApplied({ ...history, ...change }).flatMap(({ verdict, subject }) =>
      verdict === 'illegal' ? [subject] : [],
    );
  const without = (wanted: (line: OperationLine) => boolean) => {
    const at = history.operations.findIndex(wanted);
    return { operations: history.operations.toSpliced(at, 1) };
  };

  it('have one operation each behind them', () => {
    expect(illegal({})).toEqual([]);
    expect(illegal(without(({ f, rev }) => f === 'put' && rev !== null))).toEqual(['puts']);
    expect(illegal(without((line) => line.f === 'delete' && line.out?.deleted === true))).toEqual([
      'deletes',
    ]);
  });

  it('are deleted by an operation of unknown outcome once at most', () => {
    const at = history.operations.findIndex((line) => line.f === 'delete' && line.out?.deleted === true);
    const deletion = history.operations[at] as OperationLine;
    const unknown = { ...deletion, rev: null, out: null, status: 'info' } as OperationLine;
    const operations = history.operations.toSpliced(at, 1, unknown);
    expect(illegal({ operations })).toEqual([]);
    const event = history.events.find(({ mod }) => mod === deletion.rev) as KeyEvent;
    const open = operations.filter(
      ({ f, key, status }) => f === 'delete' && key === event.key && status === 'info',
    );
    const again = open.map((_, i) => ({ ...event, mod: 9_000 + i }));
    expect(illegal({ operations, events: [...history.events, ...again] })).toEqual(['deletes']);
  });
});

describe('request ids', () => {
  const applied = (node: string, number: number, index: number): AppliedLine => ({
    f: 'applied',
    node,
    clientId: 7,
    number,
    index,
  });

  it('stand for one entry on every node, however often a node goes over it', () => {
    expect(
      verdicts(
        checkRequestIds([applied('n1', 1, 5), applied('n2', 1, 5), applied('n1', 1, 5), applied('n1', 2, 6)]),
      ),
    ).toEqual(['ok']);
    expect(verdicts(checkRequestIds([applied('n1', 1, 5), applied('n1', 1, 6)]))).toEqual(['illegal']);
    expect(verdicts(checkRequestIds([applied('n1', 1, 5), applied('n2', 1, 6)]))).toEqual(['illegal']);
    expect(checkRequestIds([])).toEqual([]);
  });
});

describe('digests', () => {
  const line = (node: string, index: number, digest: string): DigestLine => ({
    f: 'digest',
    node,
    index,
    rev: index,
    digest,
  });

  it('are equal at equal indexes', () => {
    expect(verdicts(checkDigests([line('n1', 4, 'x'), line('n1', 5, 'a'), line('n2', 5, 'a')]))).toEqual([
      'ok',
    ]);
    expect(verdicts(checkDigests([line('n1', 5, 'a'), line('n2', 5, 'b')]))).toEqual(['illegal']);
    expect(verdicts(checkDigests([line('n1', 5, 'a'), { ...line('n2', 5, 'a'), rev: 4 }]))).toEqual([
      'illegal',
    ]);
    // An earlier difference stays one.
    expect(
      verdicts(
        checkDigests([line('n1', 5, 'a'), line('n2', 5, 'b'), line('n1', 6, 'c'), line('n2', 6, 'c')]),
      ),
    ).toEqual(['illegal']);
  });

  it('prove nothing at different indexes, or alone', () => {
    expect(verdicts(checkDigests([line('n1', 5, 'a'), line('n2', 6, 'b')]))).toEqual(['unknown']);
    expect(verdicts(checkDigests([line('n1', 5, 'a')]))).toEqual(['unknown']);
  });
});

describe('events', () => {
  const { history } = simulate({ seed: 2 });
  // The last of its key: no later event gives it away.
  const at = history.events.findLastIndex(
    ({ type, version, key, mod }) =>
      type === 'put' && version > 2 && !history.events.some((other) => other.key === key && other.mod > mod),
  );
  const event = history.events[at];
  const changed = (change: Partial<KeyEvent>): readonly KeyEvent[] =>
    history.events.map((event, i) => (i === at ? { ...event, ...change } : event));
  const deletion = history.events.find(({ type }) => type === 'delete');

  it('follow from one another', () => {
    expect(verdicts(checkEvents(history.events))).toEqual(['ok']);
  });

  it.each([
    ['a version is skipped', changed({ version: (event?.version ?? 0) + 1 })],
    ['a creation moves', changed({ create: 0 })],
    ['a previous value is wrong', changed({ previous: null })],
    ['one is missing', history.events.filter((other) => other.key !== event?.key || other.version !== 2)],
    ['one comes twice', history.events.toSpliced(at, 0, ...(event === undefined ? [] : [event]))],
    [
      'a key changes twice at a revision',
      history.events.toSpliced(at + 1, 0, {
        ...(event as KeyEvent),
        version: (event?.version ?? 0) + 1,
        previous: event ?? null,
      }),
    ],
    [
      'two are swapped',
      history.events.with(at, history.events[at + 1] as KeyEvent).with(at + 1, event as KeyEvent),
    ],
    [
      'something is deleted twice',
      [...history.events, { ...(deletion as KeyEvent), key: 'none', mod: 9_999, previous: null }],
    ],
    [
      'a deletion has a version',
      [
        ...history.events,
        { ...(event as KeyEvent), type: 'delete', mod: 9_999, previous: event ?? null } as KeyEvent,
      ],
    ],
  ])('are no past when %s', (_, events) => {
    expect(verdicts(checkEvents(events))).toEqual(['illegal']);
  });
});

describe('revisions', () => {
  const { history } = simulate({ seed: 4, clients: 2, infoRate: 0 });
  const illegal = (operations: readonly OperationLine[]) =>
    checkRevisions({ ...history, operations })
      .findings.filter(({ verdict }) => verdict === 'illegal')
      .map(({ check }) => check);

  it('swapped between two operations that did not overlap break the order of time', () => {
    const puts = history.operations.filter(({ f, status }) => f === 'put' && status === 'ok');
    const [first, last] = [puts[3], puts.at(-3)];
    const swapped = history.operations.map((line) => {
      if (line === first) return { ...line, rev: last?.rev ?? null };
      return line === last ? { ...line, rev: first?.rev ?? null } : line;
    });
    expect(illegal(history.operations)).toEqual([]);
    expect(illegal(swapped)).toEqual(expect.arrayContaining(['revision order', 'replay']));
  });

  it('tell which branch has run, also where both look alike', () => {
    const a = {
      compares: [{ key: 'none', relation: '=', target: 'version', wanted: 0 }],
      success: [{ op: 'get', key: 'none' }],
      failure: [{ op: 'get', key: 'none' }],
    } as const;
    const out = { succeeded: true, results: [{ op: 'get', item: null }] } as const;
    const end = Math.max(...history.operations.map(({ ret }) => ret ?? 0));
    const { rev } = history.operations.at(-1) as OperationLine;
    const line = {
      f: 'txn',
      key: '',
      a,
      b: null,
      out,
      rev,
      client: 99,
      call: end + 1,
      ret: end + 2,
      status: 'ok',
      node: 'any',
    } as const;
    expect(illegal([...history.operations, line])).toEqual([]);
    expect(illegal([...history.operations, { ...line, out: { ...out, succeeded: false } }])).toEqual([
      'replay',
    ]);
  });

  it('of unanswered writes, found among the events, must not lie before their calls', () => {
    const at = history.operations.findIndex(({ f, rev }) => f === 'put' && (rev ?? 0) > 10);
    const put = history.operations[at] as OperationLine;
    const end = Math.max(...history.operations.map(({ ret }) => ret ?? 0));
    const late = {
      ...put,
      client: 99,
      call: end + 1,
      ret: end + 2,
      rev: null,
      out: null,
      status: 'info',
    } as OperationLine;
    expect(illegal([...history.operations.toSpliced(at, 1), late])).toContain('revision order');
  });

  it('that the events do not cover are counted, and alone are no proof', () => {
    const { events } = history;
    const log = { f: 'log', prefix: 'other/', after: 0, upTo: 1 } as const;
    const { findings, replayed, notCovered } = checkRevisions({
      operations: history.operations,
      events,
      log,
    });
    expect({ replayed, notCovered }).toEqual({ replayed: 0, notCovered: history.operations.length });
    expect(findings.find(({ check }) => check === 'replay')).toMatchObject({ verdict: 'unknown' });
  });
});

describe('sums', () => {
  it('need somebody who has read them', () => {
    const { history } = simulate({ seed: 1, transfers: 0.5 });
    const workload = { f: 'workload', kind: 'sum', prefix: 'sum/', total: 500, since: 1 } as const;
    expect(checkSums(history, workload).sums).toBeGreaterThan(50);
    expect(verdicts(checkSums(history, workload).findings)).toEqual(['ok']);
    expect(verdicts(checkSums(history, { ...workload, total: 499 }).findings)).toEqual(['illegal']);
    expect(verdicts(checkSums({ operations: [], events: [] }, workload).findings)).toEqual(['unknown']);
  });

  it('are broken by one answer, or one state, alone', () => {
    const { history, faulted } = simulate({ seed: 1, transfers: 0.6, fault: 'transaction half seen' });
    const workload = { f: 'workload', kind: 'sum', prefix: 'sum/', total: 500, since: 1 } as const;
    expect(faulted).toBe(true);
    expect(verdicts(checkSums({ ...history, events: [] }, workload).findings)).toEqual(['illegal']);
    const half = simulate({ seed: 1, transfers: 0.6, fault: 'half a transaction' });
    expect(verdicts(checkSums({ ...half.history, operations: [] }, workload).findings)).toEqual(['illegal']);
  });
});
