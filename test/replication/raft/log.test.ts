import { describe, expect, test } from 'vitest';
import { present } from '../../../src/base/assert.ts';
import { Durability } from '../../../src/replication/raft/durability.ts';
import { entryHash, ZERO_HASH } from '../../../src/replication/raft/entryHash.ts';
import { RaftLog } from '../../../src/replication/raft/log.ts';
import type { Entry } from '../../../src/replication/raft/types.ts';

/** Entries 1, 2, … of these terms, chained. */
function entriesOf(terms: readonly number[], text = ''): Entry[] {
  let hash = ZERO_HASH;
  return terms.map((term, at) => {
    const place = { index: at + 1, term };
    const payload = Buffer.from(text);
    hash = entryHash(hash, place, 'normal', payload);
    return { ...place, type: 'normal', payload, hash };
  });
}

function logOf(terms: readonly number[], { commit = 0, applied = 0 } = {}): RaftLog {
  return new RaftLog({
    base: { index: 0, term: 0, hash: ZERO_HASH },
    entries: entriesOf(terms),
    commit,
    applied,
  });
}

describe('entryHash', () => {
  test('binds the one before, the place, the type and the payload', () => {
    const place = { index: 2, term: 1 };
    const hash = (change: Partial<{ index: number; term: number }>, type: Entry['type'], text: string) =>
      Buffer.from(entryHash(ZERO_HASH, { ...place, ...change }, type, Buffer.from(text))).toString('hex');
    const all = [
      hash({}, 'normal', 'a'),
      hash({ index: 3 }, 'normal', 'a'),
      hash({ term: 2 }, 'normal', 'a'),
      hash({}, 'configuration', 'a'),
      hash({}, 'normal', 'b'),
      Buffer.from(entryHash(Buffer.alloc(32, 1), place, 'normal', Buffer.from('a'))).toString('hex'),
    ];
    expect(new Set(all).size).toBe(all.length);
    // The stored form is fixed for ever: SHA-256(32 zeros | 1 u64 | 2 u64 | 1 u8 | 'a').
    expect(all[0]).toBe('6c1d77fb4344f28eabb94541f9d01460597b6f498669432830d002d23b4775b9');
  });
});

describe('RaftLog', () => {
  test.each([
    // [terms of the log, asked index, asked term, found index, found term]
    [[1, 1, 2, 2, 4], 5, 4, 5, 4],
    [[1, 1, 2, 2, 4], 5, 3, 4, 2],
    [[1, 1, 2, 2, 4], 3, 1, 2, 1],
    [[1, 1, 2, 2, 4], 9, 9, 5, 4],
    [[2, 2], 2, 1, 0, 0],
    [[], 5, 5, 0, 0],
  ])('lastAtOrBelowTerm in %j from %i, term %i', (terms, index, term, foundIndex, foundTerm) => {
    expect(logOf(terms).lastAtOrBelowTerm(index, term)).toEqual({ index: foundIndex, term: foundTerm });
  });

  test('knownPrefix stops at another term, at another hash and at the end', () => {
    const log = logOf([1, 1, 2]);
    expect(log.knownPrefix(entriesOf([1, 1, 2]))).toBe(3);
    expect(log.knownPrefix(entriesOf([1, 1, 3]))).toBe(2);
    expect(log.knownPrefix(entriesOf([1, 1, 2, 2]))).toBe(3);
    expect(log.knownPrefix(entriesOf([1, 1, 2], 'other'))).toBe(0);
  });

  test('I5: a committed entry is never cut', () => {
    const log = logOf([1, 1, 1], { commit: 2 });
    expect(() => log.truncateFrom(2)).toThrow('I5');
    log.truncateFrom(3);
    expect(log.lastIndex).toBe(2);
  });

  test('I7 and I4: the commit index stays in the log and never falls', () => {
    const log = logOf([1, 1], { commit: 1 });
    expect(() => log.commitTo(3)).toThrow('I7');
    expect(log.commitTo(1)).toBe(false);
    expect(log.commitTo(2)).toBe(true);
    expect(log.commit).toBe(2);
  });

  test('hands out each committed entry once, not before it is durable, within the budget', () => {
    const log = logOf([1, 1, 1, 1], { commit: 4 });
    const take = (stable: number, bytesMax: number) =>
      log.takeCommitted({ stable, bytesMax }).map((entry) => entry.index);
    expect(take(0, 1_000)).toEqual([]);
    expect(take(2, 1)).toEqual([1]);
    expect(take(3, 1_000)).toEqual([2, 3]);
    expect(take(4, 1_000)).toEqual([4]);
    expect(take(4, 1_000)).toEqual([]);
    expect(() => log.appliedTo(5)).toThrow('I2');
  });

  test('compaction keeps the chain at the base and refuses to pass the applied index', () => {
    const log = logOf([1, 1, 2, 2], { commit: 4, applied: 3 });
    expect(() => log.compact(4)).toThrow('I2');
    expect(log.compact(3).map((entry) => entry.index)).toEqual([1, 2, 3]);
    expect(log.base).toEqual({ index: 3, term: 2, hash: present(entriesOf([1, 1, 2])[2], 'entry').hash });
    expect([log.firstIndex, log.lastIndex, log.termAt(2), log.termAt(3), log.termAt(4)]).toEqual([
      4,
      4,
      null,
      2,
      2,
    ]);
    expect(log.compact(2)).toEqual([]);
  });

  test('I3: refuses holes, falling terms and impossible positions at start', () => {
    const base = { index: 0, term: 0, hash: ZERO_HASH };
    const start = (entries: Entry[], commit = 0, applied = 0) =>
      new RaftLog({ base, entries, commit, applied });
    expect(() => start(entriesOf([1, 1]).slice(1))).toThrow('I3');
    expect(() => start(entriesOf([2, 1]))).toThrow('I3');
    expect(() => start(entriesOf([1]), 2)).toThrow('I2');
    expect(() => start(entriesOf([1, 1]), 1, 2)).toThrow('I2');
  });
});

describe('Durability', () => {
  const hardState = { term: 1, vote: null, commit: 0 };

  test('I12: a write that was overtaken by a cut proves nothing above the cut', () => {
    const durability = new Durability({ last: 4, hardState });
    const first = durability.hand({ last: 6, hardState });
    durability.cutFrom(5);
    const second = durability.hand({ last: 5, hardState: { ...hardState, term: 3 } });
    durability.cutFrom(5);
    const third = durability.hand({ last: 6, hardState: { ...hardState, term: 4 } });
    durability.persisted(first);
    expect(durability.stable).toBe(4);
    durability.persisted(second);
    expect(durability.stable).toBe(4);
    durability.persisted(third);
    expect(durability.stable).toBe(6);
  });

  test('I12: a write that a snapshot overtook proves nothing behind the snapshot', () => {
    const durability = new Durability({ last: 4, hardState });
    const first = durability.hand({ last: 9, hardState });
    durability.replacedBy(6);
    durability.persisted(first);
    expect(durability.stable).toBe(6);
  });

  test('one report covers the writes before it; old and unknown numbers', () => {
    const durability = new Durability({ last: 0, hardState });
    durability.hand({ last: 1, hardState });
    const second = durability.hand({ last: 2, hardState });
    expect(durability.persisted(second)).toBe(true);
    expect([durability.stable, durability.idle]).toEqual([2, true]);
    expect(durability.persisted(second)).toBe(false);
    expect(() => durability.persisted(second + 1)).toThrow('never handed out');
  });

  test('I1: a stored term never falls', () => {
    const durability = new Durability({ last: 0, hardState });
    expect(() => durability.hand({ last: 0, hardState: { ...hardState, term: 0 } })).toThrow('I1');
  });
});
