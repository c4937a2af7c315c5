import { assert, asyncProperty } from 'fast-check';
import { expect, it } from 'vitest';
import { present } from '../../src/base/assert.ts';
import type { Entry, HardState } from '../../src/replication/raft/types.ts';
import type { WalBatch, WalContents, WriteAheadLog } from '../../src/replication/wal/types.ts';
import {
  batchFor,
  batchOf,
  EMPTY,
  entriesAfter,
  ModelLog,
  type ModelStep,
  metadataAt,
  modelSteps,
  NODE_A,
  NODE_B,
  plain,
  releaseFor,
  run,
  ZERO_END,
} from './writeAheadLogModel.ts';

/** What a suite needs of an implementation. */
export interface WriteAheadLogSubject {
  /** A fresh place for one log. */
  place(): Promise<WriteAheadLogPlace>;
}

export interface WriteAheadLogPlace {
  create(contents: WalContents): Promise<WriteAheadLog>;
  /** Of a log that was closed. */
  open(): Promise<{ wal: WriteAheadLog; contents: WalContents }>;
}

async function applyStep(wal: WriteAheadLog, model: ModelLog, step: ModelStep): Promise<void> {
  const batch = batchFor(step, model);
  const base = releaseFor(step, model);
  if (batch !== null) model.append(batch);
  if (base !== null) model.release(base);
  if (batch !== null) await wal.append(batch);
  if (base !== null) await wal.release(base);
  if (step.kind === 'roll') await wal.roll();
}

/** A batch of term 2 with a vote and two committed entries. */
function held(entries: readonly Entry[], hardState: Partial<HardState> = {}): WalBatch {
  return batchOf(entries, { term: 2, vote: NODE_A, commit: 2, ...hardState });
}

/** What every write-ahead log must do. Call inside a `describe`. */
export function writeAheadLogSuite(subject: WriteAheadLogSubject): void {
  it('gives back what it was created with', async () => {
    const entries = run(ZERO_END, 3);
    const contents: WalContents = {
      hardState: { term: 1, vote: NODE_A, commit: 3 },
      snapshot: EMPTY.snapshot,
      entries,
    };
    const place = await subject.place();
    const wal = await place.create(contents);
    expect([wal.firstIndex(), wal.lastIndex(), wal.pendingWriteMs()]).toEqual([1, 3, 0]);
    await wal.close();
    const reopened = await place.open();
    expect(plain(reopened.contents)).toEqual(plain(contents));
    await reopened.wal.close();
  });

  it('begins at a snapshot when it was created with one', async () => {
    const snapshot = metadataAt({ index: 90, term: 4, hash: Buffer.alloc(32, 9) });
    const place = await subject.place();
    const wal = await place.create({ hardState: { term: 4, vote: null, commit: 90 }, snapshot, entries: [] });
    expect(wal.firstIndex()).toBe(91);
    await wal.append(batchOf(run(snapshot, 2, 5), { commit: 90 }));
    await wal.close();
    const { wal: again, contents } = await place.open();
    expect(plain({ ...contents, entries: [] })).toEqual(
      plain({ hardState: { term: 5, vote: null, commit: 90 }, snapshot, entries: [] }),
    );
    expect(contents.entries.map(({ index }) => index)).toEqual([91, 92]);
    await again.close();
  });

  it('refuses to be created over a log, and to open where there is none', async () => {
    const place = await subject.place();
    await expect(place.open()).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
    await (await place.create(EMPTY)).close();
    await expect(place.create(EMPTY)).rejects.toMatchObject({ code: 'DATA_DIR_INVALID' });
  });

  it('keeps every entry type and an empty payload', async () => {
    const entries = entriesAfter(ZERO_END, [
      { term: 1, type: 'empty', payload: Buffer.alloc(0) },
      { term: 1, type: 'configuration', payload: Buffer.from('c') },
      { term: 2, type: 'normal', payload: Buffer.alloc(70_000, 1) },
    ]);
    const place = await subject.place();
    const wal = await place.create(EMPTY);
    await wal.append(batchOf(entries));
    await wal.close();
    const { wal: again, contents } = await place.open();
    expect(plain({ ...EMPTY, entries: contents.entries })).toEqual(plain({ ...EMPTY, entries }));
    await again.close();
  });

  it('settles batches in the order given, without waiting in between', async () => {
    const place = await subject.place();
    const wal = await place.create(EMPTY);
    const entries = run(ZERO_END, 50);
    const settled: number[] = [];
    await Promise.all(
      entries.map((entry) => wal.append(batchOf([entry])).then(() => settled.push(entry.index))),
    );
    expect(settled).toEqual(entries.map(({ index }) => index));
    await wal.close();
    const { wal: again, contents } = await place.open();
    expect(contents.entries).toHaveLength(50);
    await again.close();
  });

  it('rolls between what was given before and what is given after, without waiting', async () => {
    const place = await subject.place();
    const wal = await place.create(EMPTY);
    const [one, two, three] = run(ZERO_END, 3).map((entry) => batchOf([entry]));
    await Promise.all([
      wal.append(present(one, 'batch 1')),
      wal.append(present(two, 'batch 2')),
      wal.roll(),
      wal.append(present(three, 'batch 3')),
    ]);
    await wal.close();
    const { wal: again, contents } = await place.open();
    expect(contents.entries.map(({ index }) => index)).toEqual([1, 2, 3]);
    await again.close();
  });

  it('takes nothing after it was closed', async () => {
    const wal = await (await subject.place()).create(EMPTY);
    const last = wal.append(batchOf(run(ZERO_END, 1)));
    await wal.close();
    await last;
    await expect(wal.append(batchOf([]))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it.each<[string, (entries: readonly Entry[]) => WalBatch, RegExp]>([
    [
      'a gap',
      (entries) => held(run(present(entries[2], 'entry'), 2, 2).slice(1)),
      /I3: entry 5 does not follow/,
    ],
    ['an older term', (entries) => held(run(present(entries[2], 'entry'), 1, 1)), /I3: .* older term/],
    [
      'a cut of a committed entry',
      (entries) => held(run(present(entries[0], 'entry'), 1, 2)),
      /I4: a committed entry/,
    ],
    ['a term that goes back', () => held([], { term: 1 }), /I1: the term/],
    ['another vote in a term', () => held([], { vote: NODE_B }), /I1: the vote/],
    ['a commit index that goes back', () => held([], { commit: 1 }), /I4: the commit index went back/],
    ['a commit index past the end', () => held([], { commit: 4 }), /I4: the commit index is past/],
  ])('stops at %s', async (_name, make, reason) => {
    const wal = await (await subject.place()).create(EMPTY);
    const entries = run(ZERO_END, 3, 2);
    await wal.append(held(entries));
    const refused = async (): Promise<void> => wal.append(make(entries));
    await expect(refused()).rejects.toThrow(reason);
    await wal.close();
  });

  it('releases up to a base and goes on from there', async () => {
    const place = await subject.place();
    const wal = await place.create(EMPTY);
    const entries = run(ZERO_END, 40, 1, 400);
    for (const entry of entries) await wal.append(batchOf([entry], { commit: entry.index }));
    const base = metadataAt(present(entries[24], 'entry 25'));
    await wal.release(base);
    await wal.release(metadataAt(present(entries[9], 'entry 10')));
    expect([wal.firstIndex(), wal.lastIndex()]).toEqual([26, 40]);
    await wal.close();
    const { wal: again, contents } = await place.open();
    expect(again.firstIndex()).toBe(26);
    expect(plain(contents)).toEqual(
      plain({ hardState: { term: 1, vote: null, commit: 40 }, snapshot: base, entries: entries.slice(25) }),
    );
    await again.close();
  });

  it('takes a base past the commit index that it was told last, since what is applied is committed', async () => {
    const place = await subject.place();
    const wal = await place.create(EMPTY);
    const entries = run(ZERO_END, 5);
    await wal.append(batchOf(entries));
    await wal.release(metadataAt(present(entries[3], 'entry 4')));
    await wal.close();
    const { wal: again, contents } = await place.open();
    expect([contents.hardState.commit, contents.snapshot.index, contents.entries.length]).toEqual([4, 4, 1]);
    await again.close();
  });

  it('refuses a base that is not the entry at its index', async () => {
    const wal = await (await subject.place()).create(EMPTY);
    await wal.append(batchOf(run(ZERO_END, 3), { commit: 3 }));
    const wrong = metadataAt({ index: 2, term: 1, hash: Buffer.alloc(32, 1) });
    await expect(wal.release(wrong)).rejects.toThrow(/I3/);
    await wal.close();
  });

  it('holds exactly what the model holds, through any sequence of steps', async () => {
    await assert(
      asyncProperty(modelSteps, async (steps) => {
        const place = await subject.place();
        const model = new ModelLog(EMPTY);
        let wal = await place.create(EMPTY);
        for (const step of [...steps, { kind: 'reopen' as const }]) {
          if (step.kind === 'reopen') {
            await wal.close();
            const reopened = await place.open();
            wal = reopened.wal;
            expect(plain(reopened.contents)).toEqual(plain(model.contents));
          } else {
            await applyStep(wal, model, step);
          }
          expect(wal.lastIndex()).toBe(model.last.index);
          expect(wal.firstIndex()).toBe(model.contents.snapshot.index + 1);
        }
        await wal.close();
      }),
      { numRuns: 40 },
    );
  });
}
